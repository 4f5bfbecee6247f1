"""The assets that trigger DAGs. The `extra` of each event says what happened. No task code."""

from airflow.sdk import Asset, AssetWatcher

from truetape.schedule.watch import SpeedStepTrigger

RAW = Asset("raw")
"""New records in the lake's table `raw`. Extra: the number of records and of dead letters."""
DIRTY = Asset("dirty_sessions")
"""Recomputed sessions with records archived since. Extra: the sessions and their symbol counts."""
BARS = Asset("bars")
"""A session's final bars in the store. Extra: venue, session, rev, edits."""
SPEED_STEP = Asset(
    "speed_step", watchers=[AssetWatcher(name="speed_step", trigger=SpeedStepTrigger())]
)
"""A step that the supervisor of the speed layer should take. Extra: action, why, order."""
