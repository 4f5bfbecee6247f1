"""One migrated Airflow database for the test run, and the DAGs as Airflow reads them."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """Create an SQLite database in the Airflow home of this test run."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="session")
def bag(airflow_db: None) -> "DagBag":
    """All DAGs of the dags folder, read in this process."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag()
