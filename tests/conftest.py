"""Fixtures that the whole run shares: one Spark session, one Kafka, one InfluxDB."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from truetape.batch.spark import spark_session
from truetape.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a machine of its own: an empty home, the shared cache."""
    return Settings.from_env({"TRUETAPE_HOME": str(tmp_path / "home")})


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator["SparkSession"]:
    """One local Spark session for the whole run, with the Delta and Kafka connectors."""
    from truetape.local.jars import spark_jars

    settings = Settings.from_env({"TRUETAPE_HOME": str(tmp_path_factory.mktemp("home"))})
    session = spark_session("truetape tests", settings, spark_jars(settings.cache))
    yield session
    session.stop()
