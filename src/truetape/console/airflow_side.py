"""What the console asks Airflow itself, in the API server's process. Changes nothing."""

from truetape.schedule import dag_names


def is_supervised() -> bool | None:
    """Say whether the DAG that supervises the speed layer runs by its schedule; None where Airflow
    has no such DAG or cannot be asked.
    """
    try:
        from airflow.models.dag import DagModel
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        return None
    try:
        found = DagModel.get_dagmodel(dag_names.SPEED_LAYER)
    except SQLAlchemyError:
        return None
    return None if found is None else not found.is_paused
