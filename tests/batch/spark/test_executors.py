"""What executors answer, compared with the driver, and what their silence means."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from support.spark_cluster import bare_python
from truetape.batch.spark.executors import (
    ABSENT,
    PACKAGES,
    SparkVersions,
    differences,
    executor_error,
)
from truetape.batch.spark.package import package
from truetape.host.errors import ConfigError, TransientError

DRIVER = SparkVersions(spark="4.2.0", python="3.11", truetape="0.1.0")
MASTER = "spark://master:7077"


def test_executors_that_run_the_same_do_not_differ() -> None:
    assert differences(DRIVER, [("one", DRIVER), ("two", DRIVER)]) == []


def test_what_differs_is_named_with_its_host_and_once() -> None:
    other = SparkVersions(spark="4.1.0", python="3.12", truetape="0.1.0")

    assert differences(DRIVER, [("one", DRIVER), ("two", other), ("two", other)]) == [
        "spark is 4.1.0 on two and 4.2.0 in the driver",
        "python is 3.12 on two and 3.11 in the driver",
    ]


def test_a_package_that_is_absent_or_of_another_version_is_named() -> None:
    here = SparkVersions.here()
    assert ABSENT not in here.packages
    bare = replace(here, packages=(ABSENT, *here.packages[1:]))

    assert differences(here, [("two", bare)]) == [
        f"{PACKAGES[0]} is absent on two and {here.packages[0]} in the driver"
    ]


@pytest.mark.parametrize(
    "said",
    [
        "Job aborted\npyspark.errors.PySparkRuntimeError: [PYTHON_VERSION_MISMATCH] 3.9 and 3.11",
        'Job aborted\njava.io.IOException: Cannot run program "python3.11": error=2',
        "Job aborted\nModuleNotFoundError: No module named 'truetape'",
        "java.io.InvalidClassException: o.a.s.rdd.RDD; local class incompatible",
    ],
    ids=["another Python", "no Python", "no truetape", "another Spark"],
)
def test_what_stays_so_is_not_tried_again(said: str) -> None:
    error = executor_error(said, MASTER)

    assert isinstance(error, ConfigError)
    assert said.splitlines()[-1] in str(error)
    assert "CLUSTER.md" in str(error)


@pytest.mark.parametrize("said", ["Job 0 cancelled", ""], ids=["a full cluster", "nothing"])
def test_what_may_pass_is_tried_again(said: str) -> None:
    error = executor_error(said, MASTER)

    assert isinstance(error, TransientError)
    assert said in str(error)


def test_what_executors_run_needs_no_other_package(tmp_path: Path) -> None:
    """The Python of executors has `PACKAGES`, what these require, and truetape as a zip file."""
    python = bare_python(tmp_path / "python") / "python3"
    code = "import truetape.batch.spark.on_executors"

    done = subprocess.run(
        [python, "-c", code],
        env={"PYTHONPATH": str(package(tmp_path))},
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
