"""The speed layer: provisional bars within a second, from one long streaming query."""
