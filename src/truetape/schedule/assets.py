"""The assets that trigger DAGs. The `extra` of each event says what happened. No task code."""

from airflow.sdk import Asset, AssetWatcher

from truetape.schedule.watch import SpeedStepTrigger

LAKE, SERVED, SPEED = "lake", "served bars", "speed layer"
"""The groups of the assets."""
RAW = Asset(
    "raw_trades",
    "x-truetape://lake/raw",
    group=LAKE,
    extra={"description": "New Kafka records were archived in the lake's table raw."},
)
"""Extra of an event: the number of records and of dead letters."""
DIRTY = Asset(
    "dirty_sessions",
    "x-truetape://lake/dirty",
    group=LAKE,
    extra={"description": "A late trade, cancel or correction changes a recomputed session."},
)
"""Extra of an event: the sessions and their symbol counts."""
BARS = Asset(
    "final_bars",
    "x-truetape://served/bars",
    group=SERVED,
    extra={"description": "The bars of a session were published as final, or confirmed."},
)
"""Extra of an event: venue, session, rev, edits."""
SPEED_STEP = Asset(
    "speed_layer_step",
    "x-truetape://speed/step",
    group=SPEED,
    extra={"description": "The supervisor of the speed layer has a step to take."},
    watchers=[AssetWatcher(name="speed_layer_step", trigger=SpeedStepTrigger())],
)
"""Extra of an event: action, why, order."""
