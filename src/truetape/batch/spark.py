"""The Spark session: the one place that starts Spark. Knows nothing of trades."""

import os
from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import SparkSession

from truetape.batch.spark_conf import placement, semantics
from truetape.settings import Settings


def spark_session(app: str, settings: Settings, jars: list[Path]) -> SparkSession:
    """Start or return this process's Spark session, with Delta and Kafka from `jars` where there
    are any.

    In a job that `spark-submit` started, master, memory and jars are what was submitted; what
    results rest on is set here in any case.
    """
    builder = SparkSession.builder.appName(app)
    if not _was_submitted(os.environ):
        builder = builder.master(settings.spark_master)
        for key, value in placement(settings, jars, settings.spark_master).items():
            builder = builder.config(key, value)
    for key, value in semantics().items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def _was_submitted(env: Mapping[str, str]) -> bool:
    """Say whether a JVM waits for this process already, as pyspark finds it."""
    return "PYSPARK_GATEWAY_PORT" in env
