"""Records survive the way over a topic; processes and spans are what they say."""

import json
import os
import subprocess
from dataclasses import replace

import pytest

from support.build import NOON, SECOND
from support.speed import beat, ended, failed, launch
from truetape.host.errors import ConfigError
from truetape.speed.bar_ranges import Span, is_within, spans_of
from truetape.speed.driver import Driver, Life, life_of
from truetape.speed.heartbeat import Heartbeat, Suspect
from truetape.speed.history import History
from truetape.speed.order import NO_ORDER, Desired
from truetape.speed.record_json import decode, encode
from truetape.speed.takeover import Ended

SPAN = Span("XNYS", 100, 200)


@pytest.mark.parametrize(
    "record",
    [
        beat(writing=(SPAN,), suspects=(Suspect(3, Driver.this(), (SPAN,)),), lag={"0": 4}),
        ended(touched=(SPAN,)),
        History((launch(None), failed(2, 9)), gave_up=3),
        NO_ORDER,
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_record_comes_back_as_it_was(record: object) -> None:
    assert decode(type(record), encode(record)) == record


def test_a_field_that_a_newer_version_adds_is_passed_over() -> None:
    newer = json.dumps(json.loads(encode(NO_ORDER)) | {"colour": "green"}).encode()

    assert decode(Desired, newer) == NO_ORDER


@pytest.mark.parametrize("value", [b"{}", b"torn", b"[]"])
def test_a_record_of_another_version_names_what_is_wrong(value: bytes) -> None:
    with pytest.raises(ConfigError, match=r"an? (Ended|Heartbeat) on Kafka"):
        decode(Ended, value)
    with pytest.raises(ConfigError, match="RUNBOOK"):
        decode(Heartbeat, value)


def test_spans_hold_all_bars_of_a_venue_and_no_other() -> None:
    found = spans_of([("XNYS", 30), ("KRAKEN", 5), ("XNYS", 10)])

    assert found == (Span("KRAKEN", 5, 6), Span("XNYS", 10, 31))
    assert is_within(found, "XNYS", 30)
    assert not is_within(found, "XNYS", 31)
    assert not is_within(found, "KRAKEN", 10)


def test_a_span_is_read_by_people() -> None:
    minute = Span("XNYS", NOON, NOON + 60 * SECOND + 1)

    assert str(minute) == "XNYS 2026-11-20 17:00:00 to 2026-11-20 17:01:00 UTC"


class TestLife:
    """What this machine can say of a process."""

    def test_this_process_lives(self) -> None:
        assert life_of(Driver.this()) is Life.ALIVE

    def test_a_process_with_the_pid_of_a_dead_one_is_not_it(self) -> None:
        assert life_of(replace(Driver.this(), born="another-boot/1")) is Life.DEAD

    def test_one_that_has_ended_is_dead(self) -> None:
        process = subprocess.Popen(["sleep", "60"])
        from truetape.host.process import birth

        driver = Driver.of(process.pid, birth(process.pid) or "")
        assert life_of(driver) is Life.ALIVE
        process.kill()
        process.wait()
        assert life_of(driver) is Life.DEAD

    def test_one_that_is_frozen_lives(self) -> None:
        process = subprocess.Popen(["sleep", "60"])
        from truetape.host.process import birth

        driver = Driver.of(process.pid, birth(process.pid) or "")
        process.send_signal(19)
        assert life_of(driver) is Life.ALIVE
        process.kill()
        process.wait()

    def test_one_of_another_machine_cannot_be_seen(self) -> None:
        elsewhere = replace(Driver.this(), machine="boot-2/pid:[1]")

        assert life_of(elsewhere) is Life.UNSEEN
        assert str(elsewhere) == f"pid {os.getpid()} on {elsewhere.host}"
