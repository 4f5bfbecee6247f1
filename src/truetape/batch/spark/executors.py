"""Compares executors on other machines with this driver before any work is sent to them.

Executors import this module from the package that the driver ships, with a Python that may have no
other package: it must import only the standard library and truetape.
"""

import socket
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

import truetape
from truetape.host.errors import ConfigError, TransientError, TruetapeError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ANSWER_WITHIN_S = 600.0
"""How long executors may take to answer: on a full cluster, earlier jobs must end first."""
_SEE = 'see "Executors differ" in docs/CLUSTER.md'
_TERMINAL = (
    "PYTHON_VERSION_MISMATCH",
    "Cannot run program",
    "ModuleNotFoundError",
    "local class incompatible",
)
"""Parts of Spark's messages for errors that a retry cannot fix."""


PACKAGES = ("deltalake", "duckdb", "numpy", "pyarrow", "pydantic", "pyyaml")
"""The packages that executors decode and write with."""
ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class SparkVersions:
    """The versions on one machine; they must be equal on all machines."""

    spark: str
    python: str
    truetape: str
    packages: tuple[str, ...] = ()
    """The versions of `PACKAGES`, in their order."""

    @classmethod
    def here(cls) -> "SparkVersions":
        """Return the versions of this process."""
        import pyspark

        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        packages = tuple(map(_version, PACKAGES))
        return cls(pyspark.__version__, python, truetape.__version__, packages)

    def named(self) -> dict[str, str]:
        """Return each version by the name of what it is of."""
        packages = dict(zip(PACKAGES, self.packages, strict=False))
        return {"spark": self.spark, "python": self.python, "truetape": self.truetape} | packages


def require_alike(spark: "SparkSession") -> None:
    """Compare the present executors with this driver, with one task on every core.

    Raise ConfigError if versions differ; it names them and the hosts. Raise TransientError if the
    executors do not answer.
    """
    context = spark.sparkContext
    driver = SparkVersions.here()
    differing = differences(driver, _executor_versions(spark))
    if differing:
        wanted = " ".join(
            f"{name}=={version}" for name, version in zip(PACKAGES, driver.packages, strict=True)
        )
        raise ConfigError(
            f"{context.master}: {'; '.join(differing)}; executors need `pip install {wanted}`; "
            f"{_SEE}"
        )


def differences(driver: SparkVersions, executors: Iterable[tuple[str, SparkVersions]]) -> list[str]:
    """Return how executors, given by host, differ from the driver; each difference once."""
    own = driver.named()
    differing = {
        f"{name} is {version} on {host} and {own[name]} in the driver": None
        for host, versions in executors
        for name, version in versions.named().items()
        if version != own[name]
    }
    return list(differing)


def executor_error(message: str, master: str) -> TruetapeError:
    """Return the error for a failed comparison: ConfigError if a retry cannot fix it."""
    lines = [line.strip() for line in message.splitlines()]
    terminal = [line for line in lines if any(text in line for text in _TERMINAL)]
    if terminal:
        return ConfigError(
            f"the executors of {master} cannot run this driver: {terminal[0]}; {_SEE}"
        )
    return TransientError(f"the executors of {master} did not answer: {next(iter(lines), '')}")


def _executor_versions(spark: "SparkSession") -> list[tuple[str, SparkVersions]]:
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    context = spark.sparkContext
    timer = threading.Timer(ANSWER_WITHIN_S, context.cancelAllJobs)
    timer.daemon = True
    timer.start()
    answers: list[tuple[str, SparkVersions]] = []
    compared = 0
    try:
        while (cores := context.defaultParallelism) > compared:  # executors may have joined
            answers += context.parallelize(range(cores), cores).map(_answer).collect()
            compared = cores
    except (Py4JJavaError, PySparkException) as error:
        message = str(getattr(error, "java_exception", error))
        raise executor_error(message, str(context.master)) from error
    finally:
        timer.cancel()
    return answers


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ABSENT


def _answer(_: int) -> tuple[str, SparkVersions]:
    return socket.gethostname(), SparkVersions.here()
