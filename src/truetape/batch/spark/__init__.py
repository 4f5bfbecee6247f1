"""Spark adapters of the batch layer: sessions, tables, and the decoder and fold as expressions."""
