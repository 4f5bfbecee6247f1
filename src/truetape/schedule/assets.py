"""The assets that DAGs hand to each other. Each event carries what happened in its `extra`."""

from airflow.sdk import Asset, AssetWatcher

from truetape.schedule.watch import SpeedStepTrigger

RAW = Asset("raw")
"""New records in the lake's `raw`: how many, and how many dead letters came of them."""
DIRTY = Asset("dirty_sessions")
"""Sessions for which something was archived after they were recomputed, and how many symbols."""
BARS = Asset("bars")
"""A session's final bars in the store: venue, session, rev, edits."""
SPEED_STEP = Asset(
    "speed_step", watchers=[AssetWatcher(name="speed_step", trigger=SpeedStepTrigger())]
)
"""A step that the supervisor of the speed layer should take: action, why, order."""
