"""What Spark is told where it runs on this machine, and where it does not."""

from pathlib import Path

from truetape.batch.spark_conf import placement, semantics
from truetape.settings import Settings

JARS = [Path("/jars/delta.jar"), Path("/jars/kafka.jar")]


def test_a_driver_on_this_machine_listens_on_loopback_only(settings: Settings) -> None:
    told = placement(settings, JARS, "local[2]")

    assert told["spark.driver.host"] == told["spark.driver.bindAddress"] == "127.0.0.1"
    assert told["spark.jars"] == "/jars/delta.jar,/jars/kafka.jar"


def test_executors_elsewhere_can_call_the_driver_back(settings: Settings) -> None:
    assert "spark.driver.host" not in placement(settings, JARS, "spark://master:7077")


def test_what_results_rest_on_does_not_depend_on_the_place(settings: Settings) -> None:
    assert semantics().items() >= {
        ("spark.sql.caseSensitive", "true"),
        ("spark.sql.session.timeZone", "UTC"),
        ("spark.sql.ansi.enabled", "true"),
    }
    assert not semantics().keys() & placement(settings, JARS, "local[2]").keys()
