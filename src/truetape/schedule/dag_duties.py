"""The DAGs that the served bars depend on, and the part of each. Imports nothing of Airflow."""

from collections.abc import Iterable

from truetape.pipeline.facts import DagDuty, Part
from truetape.schedule import dag_names


def duties(venues: Iterable[str]) -> tuple[DagDuty, ...]:
    """Return the DAGs of an Airflow with these venues. Forms without a schedule are not listed."""
    return (
        DagDuty(dag_names.SPEED_LAYER, Part.SUPERVISION),
        DagDuty(dag_names.ARCHIVE_TRADES, Part.ARCHIVE),
        *(DagDuty(dag_names.batch_recompute(venue), Part.SESSIONS, venue) for venue in venues),
        DagDuty(dag_names.REPAIR_SESSIONS, Part.REPAIRS),
        DagDuty(dag_names.DATA_QUALITY, Part.CHECKS),
        DagDuty(dag_names.BACKFILL_FROM_KAFKA, Part.FILLING),
        DagDuty(dag_names.MAINTENANCE, Part.UPKEEP),
    )
