"""Drivers and spans: which process is which, which bars a span has."""

import os
import subprocess
from dataclasses import replace

from support.build import NOON, SECOND
from truetape.speed.bar_ranges import Span, is_within, spans_of
from truetape.speed.driver import Driver, Life, life_of


def test_spans_hold_all_bars_of_a_venue_and_no_other() -> None:
    spans = spans_of([("XNYS", 30), ("KRAKEN", 5), ("XNYS", 10)])

    assert spans == (Span("KRAKEN", 5, 6), Span("XNYS", 10, 31))
    assert is_within(spans, "XNYS", 30)
    assert not is_within(spans, "XNYS", 31)
    assert not is_within(spans, "KRAKEN", 10)


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
