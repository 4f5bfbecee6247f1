"""Which bars were served and why: as-of, lineage of a bar, `read_bars`, `read_trades`."""
