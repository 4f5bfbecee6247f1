"""The Spark session: the one place that starts Spark. Knows nothing about trades."""

import os
from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import SparkSession

from truetape.batch.spark.conf import executor_python, is_local, placement, semantics
from truetape.batch.spark.executors import require_alike
from truetape.batch.spark.package import packages_for
from truetape.host.settings import Settings


def spark_session(
    app: str, settings: Settings, jars: list[Path], extra: Mapping[str, str] | None = None
) -> SparkSession:
    """Start or return this process's Spark session, with Kafka from `jars`, if any.
    `extra` is configuration for a new session only.

    In a job that `spark-submit` started, master, memory, jars and packages are the submitted ones;
    the settings that results depend on (`semantics`) are always set here. On a cluster, a new
    session compares its executors with this driver first; see `executors.require_alike`.
    """
    builder = SparkSession.builder.appName(app)
    if not _was_submitted(os.environ):
        master = settings.spark_master
        os.environ.setdefault("PYSPARK_PYTHON", executor_python(master))
        packages = packages_for(master, settings.cache)
        placed = placement(settings, jars, packages, master)
        builder = builder.master(master).config(map={**placed, **(extra or {})})
    is_new = SparkSession.getActiveSession() is None
    session = builder.config(map={**semantics()}).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    if is_new and not is_local(str(session.sparkContext.master)):
        require_alike(session)
    return session


def _was_submitted(env: Mapping[str, str]) -> bool:
    """True if `spark-submit` started this process, as pyspark detects it."""
    return "PYSPARK_GATEWAY_PORT" in env
