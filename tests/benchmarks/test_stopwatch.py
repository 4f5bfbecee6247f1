"""The stopwatch of the benchmarks: its steps add up to the time of the whole run."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stopwatch import Stopwatch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


class Clock:
    """A clock that only `pass_` moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> "Stopwatch":
    monkeypatch.syspath_prepend(BENCHMARKS)
    from stopwatch import Stopwatch

    return Stopwatch("other", clock)


def test_a_step_inside_another_one_stops_its_clock(watch: "Stopwatch", clock: Clock) -> None:
    clock.pass_(1)
    with watch.step("diff"):
        clock.pass_(2)
        with watch.step("write"):
            clock.pass_(4)
        clock.pass_(8)
    clock.pass_(16)

    assert watch.read() == {"other": 17, "diff": 10, "write": 4}


def test_a_step_that_fails_still_counts(watch: "Stopwatch", clock: Clock) -> None:
    def fail() -> None:
        clock.pass_(3)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        watch.timed(fail, "gate")()
    clock.pass_(1)

    assert watch.read() == {"other": 1, "gate": 3}


def test_a_function_counts_only_within_its_step(watch: "Stopwatch", clock: Clock) -> None:
    store = SimpleNamespace(write=clock.pass_)
    watch.time(store, "write", "publish: write", within="diff")

    store.write(1)
    with watch.step("diff"):
        store.write(2)

    assert watch.read() == {"other": 1, "publish: write": 2, "diff": 0}


def test_other_threads_are_not_measured(watch: "Stopwatch", clock: Clock) -> None:
    post = watch.timed(clock.pass_, "write")
    thread = threading.Thread(target=post, args=(5,))

    thread.start()
    thread.join()

    assert watch.read() == {"other": 5}


def test_a_function_that_is_gone_is_an_error(watch: "Stopwatch") -> None:
    with pytest.raises(AttributeError, match="renamed"):
        watch.time(SimpleNamespace(), "renamed", "gate")
