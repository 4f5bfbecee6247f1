"""Served bars made equal to recomputed ones: diff, publication, sealing, revert, indicators."""
