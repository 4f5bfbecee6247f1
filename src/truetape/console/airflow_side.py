"""Queries of the console to Airflow's database, in the API server's process. Changes nothing."""

from truetape.schedule import dag_names


def is_supervised() -> bool | None:
    """True if the DAG that supervises the speed layer is not paused.

    Return None if Airflow has no such DAG or cannot be asked.
    """
    try:
        from airflow.models.dag import DagModel
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        return None
    try:
        dag = DagModel.get_dagmodel(dag_names.SPEED_LAYER)
    except SQLAlchemyError:
        return None
    return None if dag is None else not dag.is_paused
