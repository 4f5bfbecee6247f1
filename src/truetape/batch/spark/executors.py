"""Executors on other machines: whether they can run what this driver sends, asked at the start.

Executors import this module from the package that the driver ships, with a Python that may have
nothing else: it must not import more than the standard library and truetape.
"""

import socket
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import truetape
from truetape.host.errors import ConfigError, TransientError, TruetapeError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ANSWER_WITHIN_S = 600.0
"""How long executors may take to answer: on a full cluster, until the jobs in front have ended."""
_SEE = 'see "Executors differ" in docs/CLUSTER.md'
_FOR_GOOD = (
    "PYTHON_VERSION_MISMATCH",
    "Cannot run program",
    "ModuleNotFoundError",
    "local class incompatible",
)
"""What Spark says when trying again would end the same way."""


@dataclass(frozen=True, slots=True)
class Versions:
    """What runs on a machine; all of it must be the same on all of them."""

    spark: str
    python: str
    truetape: str

    @classmethod
    def here(cls) -> "Versions":
        """Return what runs in this process."""
        import pyspark

        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return cls(pyspark.__version__, python, truetape.__version__)


def require_alike(spark: "SparkSession") -> None:
    """Compare the executors that are there with this driver, by a task on every core.

    ConfigError names what differs, and where. TransientError when they do not answer.
    """
    context = spark.sparkContext
    differing = differences(Versions.here(), _asked(spark))
    if differing:
        raise ConfigError(f"{context.master}: {'; '.join(differing)}; {_SEE}")


def differences(driver: Versions, executors: Iterable[tuple[str, Versions]]) -> list[str]:
    """Say how executors, given by host, differ from the driver; each difference once."""
    found = {
        f"{field.name} is {getattr(there, field.name)} on {host} and "
        f"{getattr(driver, field.name)} in the driver": None
        for host, there in executors
        for field in fields(Versions)
        if getattr(there, field.name) != getattr(driver, field.name)
    }
    return list(found)


def explained(said: str, master: str) -> TruetapeError:
    """Return the error that a failed question stands for."""
    lines = [line.strip() for line in said.splitlines()]
    hopeless = [line for line in lines if any(text in line for text in _FOR_GOOD)]
    if hopeless:
        return ConfigError(
            f"the executors of {master} cannot run this driver: {hopeless[0]}; {_SEE}"
        )
    return TransientError(f"the executors of {master} did not answer: {next(iter(lines), '')}")


def _asked(spark: "SparkSession") -> list[tuple[str, Versions]]:
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    context = spark.sparkContext
    timer = threading.Timer(ANSWER_WITHIN_S, context.cancelAllJobs)
    timer.daemon = True
    timer.start()
    told: list[tuple[str, Versions]] = []
    asked = 0
    try:
        while (cores := context.defaultParallelism) > asked:  # others may have come meanwhile
            told += context.parallelize(range(cores), cores).map(_answer).collect()
            asked = cores
    except (Py4JJavaError, PySparkException) as error:
        said = str(getattr(error, "java_exception", error))
        raise explained(said, str(context.master)) from error
    finally:
        timer.cancel()
    return told


def _answer(_: int) -> tuple[str, Versions]:
    return socket.gethostname(), Versions.here()
