"""The Delta tables: paths, schemas, events, coverage, dirty marks, lineage, maintenance."""
