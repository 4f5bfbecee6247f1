"""The ids of the DAGs, for code that starts or queries them. Imports nothing of Airflow."""

from collections.abc import Iterable

ARCHIVE_TRADES = "archive_trades"
BACKFILL_FROM_KAFKA = "backfill_from_kafka"
DATA_QUALITY = "data_quality"
MAINTENANCE = "maintenance"
REPAIR_SESSIONS = "repair_sessions"
REVERT_SESSION = "revert_session"
SPEED_LAYER = "speed_layer"
SPEED_LAYER_CONTROL = "speed_layer_control"


def batch_recompute(venue: str) -> str:
    """Return the id of the DAG that makes a venue's sessions final."""
    return f"batch_recompute_{venue.lower()}"


def all_dags(venues: Iterable[str]) -> list[str]:
    """Return the ids of all DAGs of an Airflow with these venues."""
    fixed = [
        ARCHIVE_TRADES, BACKFILL_FROM_KAFKA, DATA_QUALITY, MAINTENANCE, REPAIR_SESSIONS,
        REVERT_SESSION, SPEED_LAYER, SPEED_LAYER_CONTROL,
    ]  # fmt: skip
    return [*fixed, *(batch_recompute(venue) for venue in venues)]
