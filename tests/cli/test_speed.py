"""The verb `speed` on a real Kafka: orders, steps of the supervisor and status."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.build import NOON, SECOND
from support.influxd import free_port
from support.loop import own_settings
from support.speed import position
from truetape.broker.control_topic import ControlTopic
from truetape.cli.main import truetape
from truetape.host.settings import Settings
from truetape.speed.bar_ranges import Span
from truetape.speed.control_records import ControlRecords, ExitReport
from truetape.speed.driver import Driver
from truetape.speed.heartbeat import Phase, UnfinishedWrite
from truetape.speed.lease import Lease

pytestmark = pytest.mark.real

Type = Callable[..., Result]


@pytest.fixture
def own(stack: Settings, tmp_path: Path) -> Settings:
    return own_settings(stack, tmp_path, speed_venues=("KRAKEN",))


@pytest.fixture
def speed(own: Settings) -> Type:
    """Type `truetape speed ...` with the settings of this test."""
    return lambda *words: CliRunner().invoke(truetape, ["speed", *words], env=own.to_env())


def test_an_order_needs_a_reason(speed: Type) -> None:
    done = speed("start")

    assert done.exit_code == 2
    assert "--reason" in done.output


def test_orders_are_numbered_and_shown(speed: Type) -> None:
    assert speed("start", "--reason", "open for business").output == (
        "order 1: started, open for business\n"
    )
    assert speed("restart", "--reason", "new settings").output == (
        "order 2: started, new settings\n"
    )
    assert speed("stop", "--reason", "closing time").output == "order 3: stopped, closing time\n"

    shown = speed("status")
    assert shown.exit_code == 0
    assert shown.output.splitlines()[0] == "health   gone: no driver runs"
    assert "order    3 stopped by" in shown.output


def test_a_step_prints_its_action_and_the_reason(speed: Type) -> None:
    done = speed("supervise")

    assert done.exit_code == 0
    assert done.output == "Nothing: no driver runs, as ordered: never ordered to start\n"


def test_a_supervisor_that_gave_up_exits_with_1(own: Settings, speed: Type) -> None:
    speed("start", "--reason", "open for business")
    with ControlTopic(own.kafka) as control:
        records = ControlRecords(control, own.topic).refresh()
        records.write_history(replace(records.history, gave_up=1))

    done = speed("supervise")

    assert done.exit_code == 1
    assert done.output == (
        'GiveUp: given up on order 1: no driver runs; "truetape speed start" tries again\n'
    )


def test_the_status_has_health_driver_progress_suspects_and_late_writers(
    own: Settings, speed: Type
) -> None:
    span = Span("XNYS", NOON, NOON + SECOND)
    suspect = UnfinishedWrite(1, Driver("elsewhere", "boot/pid", 7, "boot/1"), (span,))
    with ControlTopic(own.kafka) as control:
        records = ControlRecords(control, own.topic)
        records.write_exit_report(
            ExitReport(1, suspect.driver, 75, "fenced", datetime.now(UTC), (span,))
        )
        lease = Lease.take(own, records, 0)
        lease.beat(
            state=Phase.RUNNING,
            position=position(12, p0=3),
            freshness_s=0.42,
            unfinished_writes=(suspect,),
        )

        shown = speed("status").output
        report = json.loads(speed("status", "--json").output)

        lease.close()
    assert "health   silent: no trade comes although KRAKEN is open" in shown
    assert f"heard    {Driver.this()}, epoch 2, running" in shown
    assert "progress batch 12, 0 records behind, 0 rows/s, freshness 0.4 s" in shown
    assert "suspect  pid 7 on elsewhere may still write XNYS 2026-11-20 17:00:00 to " in shown
    assert (
        "late     pid 7 on elsewhere wrote without the lease: XNYS 2026-11-20 17:00:00 to " in shown
    )
    assert (report["health"], report["observed"]["beat"]["position"]["batch"]) == ("silent", 12)


@pytest.mark.usefixtures("impatient")
def test_the_status_is_unknown_without_kafka(own: Settings) -> None:
    away = replace(own, kafka=f"127.0.0.1:{free_port()}")

    done = CliRunner().invoke(truetape, ["speed", "status"], env=away.to_env())

    assert done.exit_code == 75
    assert done.output.startswith("health   unknown: cannot read")
