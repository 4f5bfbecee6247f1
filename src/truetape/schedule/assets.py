"""The assets that DAGs hand to each other. Each event carries what happened in its `extra`."""

from airflow.sdk import Asset

RAW = Asset("raw")
"""New records in the lake's `raw`: how many, and how many dead letters came of them."""
BARS = Asset("bars")
"""A session's final bars in the store: venue, session, rev, edits."""
