"""Publishing: the diff of served and recomputed bars, the write, revert, indicators."""
