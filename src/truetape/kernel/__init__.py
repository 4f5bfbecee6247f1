"""The kernel: what `market` and `feeds` define, computed on Arrow tables. Knows no store."""
