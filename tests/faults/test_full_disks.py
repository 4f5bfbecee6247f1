"""A full disk under the scratch folder of the engine `spark`, and under Kafka: what everybody says,
and that all goes on once there is room, with no trade lost or counted twice.
"""

import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest

from support.drivers import last_word, read_all, running, store_of
from support.loop import own_settings, send, served, truth_of
from support.small_disk import SmallDisk, small_disk
from support.wait import until
from truetape.broker.topics import ensure_topics
from truetape.feeds.records import Record
from truetape.feeds.simulator.faults import NO_FAULTS
from truetape.feeds.simulator.session import SimulatedSession, SimulationPlan, simulate
from truetape.host.calendars import session
from truetape.host.errors import TransientError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.resolution import STREAMED
from truetape.market.sessions import Session
from truetape.pipeline.sessions import finalize_sessions
from truetape.speed import launcher
from truetape.speed.launcher import environment
from truetape.stack import lifecycle
from truetape.stack.lifecycle import PartState
from truetape.stack.server import free_port

pytestmark = [pytest.mark.faults, pytest.mark.real, pytest.mark.long]

DAYS = {"spark": date(2026, 3, 10), "direct": date(2026, 3, 11)}
BOTH = pytest.mark.parametrize("speed_engine", ["spark", "direct"])
ENDS_WITHIN_S = 120.0
DOUBLED = dataclasses.replace(NO_FAULTS, duplicate=0.03)


def silent(_: str) -> None:
    """Report nothing."""


def made_at(own: Settings, venue: str, trades: int = 2_000) -> tuple[Session, SimulatedSession]:
    """Simulate five minutes; each test has a venue of its own, since boundaries are per venue, and
    each engine a day.
    """
    day = DAYS[own.speed_engine]
    plan = SimulationPlan(
        day, venue=venue, seed=5, trades=trades, offset_s=600, duration_s=300, faults=DOUBLED
    )
    return session(venues()[venue], day), simulate(plan)


def verb(settings: Settings, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run `truetape` with these settings."""
    return subprocess.run(
        [sys.executable, "-m", "truetape.cli.main", *words],
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def archived_and_final(settings: Settings, day: Session) -> int:
    """Archive, recompute, publish and verify; return how many records were archived."""
    archived, outcomes = finalize_sessions(settings, [day], "tests", silent)
    for part in archived.partitions:
        assert (part.repeated, part.holes) == (0, ())
    assert [outcome.mismatches for outcome in outcomes] == [[]]
    return sum(part.records for part in archived.partitions)


@pytest.fixture
def own(stack: Settings, tmp_path: Path, speed_engine: str) -> Settings:
    return own_settings(
        stack,
        tmp_path,
        speed_engine=speed_engine,
        speed_lateness_s=3_600,
        profile="sip",
        speed_venues=(),
    )


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDisk]:
    """A small disk that drivers have their temporary files on."""
    with small_disk(tmp_path / "scratch", 16) as made:
        monkeypatch.setattr(launcher, "_INHERITED", (*launcher._INHERITED, "TMPDIR"))
        monkeypatch.setenv("TMPDIR", str(made.path))
        yield made


@pytest.mark.parametrize("speed_engine", ["spark"])
def test_a_full_disk_under_the_scratch_folder_of_spark_ends_the_driver_with_75_and_loses_nothing(
    own: Settings, scratch: SmallDisk
) -> None:
    day, made = made_at(own, "COINBASE")
    half = len(made.records) // 2
    with store_of(own) as store:
        with running(own) as driver:
            send(own, made.records[:half])
            read_all(driver, own)
            scratch.fill()
            send(own, made.records[half:])

            assert driver.process.wait(ENDS_WITHIN_S) == 75

        says_disk_is_full(last_word(driver).message, scratch)
        says_disk_is_full(driver.log.read_text(), scratch)

        status = verb(own, "speed", "status")
        assert (status.returncode, status.stderr) == (0, "")

        scratch.make_room()
        with running(own) as driver:
            read_all(driver, own)
            assert driver.stop() == 0
        assert served(store, day, STREAMED) == truth_of(made, day, STREAMED)


@pytest.mark.parametrize("speed_engine", ["direct"])
def test_the_direct_engine_needs_no_disk(own: Settings, scratch: SmallDisk) -> None:
    """Neither to run nor to start: its position is in Kafka."""
    day, made = made_at(own, "COINBASE")
    half = len(made.records) // 2
    with store_of(own) as store:
        with running(own) as driver:
            send(own, made.records[:half])
            read_all(driver, own)
            scratch.fill()
            send(own, made.records[half:])
            read_all(driver, own)
            assert driver.stop() == 0
        with running(own) as driver:
            read_all(driver, own)
            assert driver.stop() == 0
        assert served(store, day, STREAMED) == truth_of(made, day, STREAMED)


def says_disk_is_full(text: str, disk: SmallDisk) -> None:
    """The message names the place and the way out, on one line."""
    assert re.search(rf"the disk of {re.escape(str(disk.path))}[^\s]* is full; make room", text)
    assert '"Disk" in docs/RUNBOOK.md' in text


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "home" / "kafka", 96) as made:
        yield made


@pytest.fixture
def full(stack: Settings, tmp_path: Path, disk: SmallDisk, speed_engine: str) -> Iterator[Settings]:
    """Settings with a Kafka of their own on the small disk, and the shared InfluxDB."""
    settings = dataclasses.replace(
        stack,
        home=tmp_path / "home",
        lake=str(tmp_path / "lake"),
        kafka=f"127.0.0.1:{free_port()}",
        bucket_set="history",
        seal_delay_s=0.0,
        speed_engine=speed_engine,
        speed_lateness_s=3_600,
        profile="sip",
        speed_venues=(),
        spark_driver_memory="2g",
    )
    lifecycle.up(settings, ("kafka",), silent)
    ensure_topics(settings.kafka, settings, silent)
    yield settings
    disk.make_room()
    lifecycle.down(settings, silent)


@BOTH
def test_a_full_disk_under_kafka_is_named_and_loses_nothing_that_was_acknowledged(
    full: Settings, disk: SmallDisk
) -> None:
    """A record without an acknowledgement is sent again: its id makes a repeat harmless."""
    day, made = made_at(full, "BATS")
    half = len(made.records) // 2
    with store_of(full) as store:
        with running(full) as driver:
            send(full, made.records[:half])
            read_all(driver, full)
            disk.fill()
            with pytest.raises(TransientError):
                send_until_refused(full, made.records[half:])

            assert driver.process.wait(ENDS_WITHIN_S) == 75

        until(lambda: kafka_state(full) is not PartState.RUNNING, within_s=60)
        status = verb(full, "stack", "status")
        assert status.returncode == 75
        assert f"kafka: {disk_is_full(disk)}" in status.stdout
        up = verb(full, "stack", "up", "kafka")
        assert up.returncode == 75
        assert "the disk is full" in up.stderr or disk_is_full(disk) in up.stderr
        for words in (
            ("speed", "status"),
            ("archive",),
            ("backfill", "--holes", "--reason", "test"),
        ):
            done = verb(full, *words)
            assert (done.returncode, "Traceback" in done.stderr) == (75, False), done.stderr

        disk.make_room()
        assert verb(full, "stack", "up", "kafka").returncode == 0
        with running(full) as driver:
            send(full, made.records[half:])
            read_all(driver, full)
            assert driver.stop() == 0
        assert served(store, day, STREAMED) == truth_of(made, day, STREAMED)

        assert archived_and_final(full, day) >= len(made.records)
        assert served(store, day) == truth_of(made, day)


def send_until_refused(settings: Settings, records: Sequence[Record]) -> None:
    """Send the same records until Kafka takes no more; a segment has room before it grows."""
    for _ in range(200):
        send(settings, records)


def kafka_state(settings: Settings) -> PartState:
    return next(part.state for part in lifecycle.status(settings) if part.part == "kafka")


def disk_is_full(disk: SmallDisk) -> str:
    return f"the disk of {disk.path} is full"
