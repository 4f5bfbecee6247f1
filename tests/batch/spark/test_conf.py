"""What Spark is told where it runs on this machine, and where it does not."""

import sys
from pathlib import Path

import pytest

from truetape.batch.spark.conf import interpreters, placement, semantics
from truetape.host.settings import Settings

JARS = [Path("/jars/delta.jar"), Path("/jars/kafka.jar")]
PACKAGES = [Path("/cache/truetape.zip")]
ON_THIS_MACHINE = ["local[2]", "spark://127.0.0.1:7077", "spark://localhost:7077"]


@pytest.mark.parametrize("master", ON_THIS_MACHINE)
def test_a_driver_on_this_machine_listens_on_loopback_only(settings: Settings, master: str) -> None:
    told = placement(settings, JARS, [], master)

    assert told["spark.driver.host"] == told["spark.driver.bindAddress"] == "127.0.0.1"
    assert told["spark.jars"] == "/jars/delta.jar,/jars/kafka.jar"


def test_executors_elsewhere_can_call_the_driver_back(settings: Settings) -> None:
    assert "spark.driver.host" not in placement(settings, JARS, [], "spark://master:7077")


def test_a_driver_ships_the_packages_that_it_is_given(settings: Settings) -> None:
    told = placement(settings, JARS, PACKAGES, "spark://master:7077")

    assert told["spark.submit.pyFiles"] == "/cache/truetape.zip"
    assert "spark.submit.pyFiles" not in placement(settings, JARS, [], "local[2]")


def test_executors_elsewhere_run_the_python_of_their_machine() -> None:
    """A path of this machine need not exist on theirs; the version must be the same."""
    there = f"python{sys.version_info.major}.{sys.version_info.minor}"

    assert interpreters("spark://master:7077") == {
        "spark.pyspark.driver.python": sys.executable,
        "spark.pyspark.python": there,
    }
    assert set(interpreters("local[2]").values()) == {sys.executable}


def test_executors_read_times_and_compile_as_the_driver_does(settings: Settings) -> None:
    told = placement(settings, JARS, [], "spark://master:7077")

    assert told["spark.executor.extraJavaOptions"] == told["spark.driver.extraJavaOptions"]
    assert "-Duser.timezone=UTC" in told["spark.executor.extraJavaOptions"]


def test_what_results_rest_on_does_not_depend_on_the_place(settings: Settings) -> None:
    assert semantics().items() >= {
        ("spark.sql.caseSensitive", "true"),
        ("spark.sql.session.timeZone", "UTC"),
        ("spark.sql.ansi.enabled", "true"),
    }
    assert not semantics().keys() & placement(settings, JARS, PACKAGES, "local[2]").keys()
