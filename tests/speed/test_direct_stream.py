"""The engine `direct`: what ends a thread reaches the driver, and `stop` ends both threads."""

import threading
from collections.abc import Callable
from dataclasses import replace
from queue import Empty, Queue
from typing import Any

import pyarrow as pa
import pytest

from support.build import NOON, SECOND
from support.counted import RULES, record, trade_line
from support.wait import until
from truetape.host.errors import ConfigError, TransientError, TruetapeError
from truetape.host.settings import Settings
from truetape.kernel.columns import RECORDS
from truetape.speed import direct_stream
from truetape.speed.direct_stream import DirectStream
from truetape.speed.position import PartitionPosition, SpeedPosition

START = SpeedPosition(
    7, {"0": PartitionPosition(100, NOON, 80, NOON), "1": PartitionPosition(5, 0, 5, 0)}
)
WAIT_S = 10


class Follower:
    """What the stream reads Kafka with: returns what a test puts into `answers`, or raises it."""

    def __init__(self) -> None:
        self.answers: Queue[pa.Table | Exception] = Queue()
        self.arguments: tuple[Any, ...] = ()
        self.closed = threading.Event()

    def open(self, *arguments: object, **limits: object) -> "Follower":
        self.arguments = (*arguments, limits)
        return self

    def poll(self, within_s: float) -> pa.Table | None:
        try:
            answer = self.answers.get(timeout=within_s)
        except Empty:
            return None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def follower(monkeypatch: pytest.MonkeyPatch) -> Follower:
    made = Follower()
    monkeypatch.setattr(direct_stream, "RecordFollower", made.open)
    monkeypatch.setattr(direct_stream, "PAUSE_S", 0.05)
    return made


@pytest.fixture
def stream(settings: Settings, follower: Follower) -> DirectStream:
    return DirectStream(settings, RULES)


def records(offset: int) -> pa.Table:
    return pa.Table.from_pylist([record(trade_line(NOON + offset * SECOND), offset)], RECORDS)


def raised_by(stream: DirectStream) -> TruetapeError | None:
    try:
        stream.check()
    except TruetapeError as error:
        return error
    return None


def ignore(_: Callable[[], pa.Table]) -> None:
    """Write nothing."""


def begin(stream: DirectStream, writer: Callable[[Callable[[], pa.Table]], None]) -> None:
    stream.start()
    stream.begin(START, writer)  # type: ignore[arg-type]


def has_ended(stream: DirectStream) -> bool:
    return not any(thread.is_alive() for thread in stream._threads)


def test_it_begins_at_the_horizons(
    stream: DirectStream, follower: Follower, settings: Settings
) -> None:
    begin(stream, ignore)
    stream.stop()

    bootstrap, topic, offsets, limits = follower.arguments
    assert (bootstrap, topic, offsets) == (settings.kafka, settings.topic, {0: 80, 1: 5})
    assert limits["most"] == settings.speed_max_trades_per_batch


def test_the_writer_gets_all_records_counted_and_in_order(
    stream: DirectStream, follower: Follower
) -> None:
    marks: list[tuple[int, int]] = []

    def write(read: Callable[[], pa.Table]) -> None:
        rows = read().to_pylist()
        marks.extend((row["first_offset"], row["records"]) for row in rows if row["venue"] is None)

    begin(stream, write)
    for offset in range(80, 85):
        follower.answers.put(records(offset))

    until(lambda: sum(count for _, count in marks) == 5)
    stream.check()
    stream.stop()
    assert marks == sorted(marks)
    assert marks[-1][0] == 85


@pytest.mark.parametrize(
    "error",
    [TransientError("Kafka is away"), ConfigError("trades/0@7 carries a stamp of its producer")],
    ids=["transient", "config"],
)
def test_the_error_of_the_reader_ends_the_stream(
    stream: DirectStream, follower: Follower, error: Exception
) -> None:
    begin(stream, ignore)
    follower.answers.put(error)

    until(lambda: raised_by(stream) is error)

    assert follower.closed.wait(WAIT_S)
    until(lambda: has_ended(stream))


def test_the_error_of_the_writer_ends_the_stream(stream: DirectStream, follower: Follower) -> None:
    error = TransientError("InfluxDB is away")

    def refuse(read: Callable[[], pa.Table]) -> None:
        raise error

    begin(stream, refuse)
    follower.answers.put(records(80))

    until(lambda: raised_by(stream) is error)

    assert follower.closed.wait(WAIT_S)
    until(lambda: has_ended(stream))


def test_an_error_that_nobody_foresaw_is_named(stream: DirectStream, follower: Follower) -> None:
    begin(stream, ignore)
    follower.answers.put(KeyError("XXXX"))

    until(lambda: raised_by(stream) is not None)

    with pytest.raises(TransientError, match=r"the stream ended: KeyError\('XXXX'\)") as raised:
        stream.check()
    assert isinstance(raised.value.__cause__, KeyError)


def test_the_first_error_is_kept(stream: DirectStream, follower: Follower) -> None:
    first, may_end = TransientError("InfluxDB is away"), threading.Event()
    is_inside = threading.Event()

    def refuse(read: Callable[[], pa.Table]) -> None:
        is_inside.set()
        assert may_end.wait(WAIT_S)
        raise TransientError("later")

    begin(stream, refuse)
    follower.answers.put(records(80))
    assert is_inside.wait(WAIT_S)
    follower.answers.put(first)
    until(lambda: raised_by(stream) is first)
    may_end.set()
    until(lambda: has_ended(stream))

    assert raised_by(stream) is first


def test_stop_ends_both_threads_while_batches_wait(
    stream: DirectStream, follower: Follower
) -> None:
    """One batch is being written; what was read meanwhile is left to the next driver."""
    is_inside, may_end = threading.Event(), threading.Event()
    written: list[int] = []

    def write(read: Callable[[], pa.Table]) -> None:
        is_inside.set()
        assert may_end.wait(WAIT_S)
        written.append(1)

    begin(stream, write)
    for offset in range(80, 83):
        follower.answers.put(records(offset))
    assert is_inside.wait(WAIT_S)
    until(follower.answers.empty)

    stopping = threading.Thread(target=stream.stop)
    stopping.start()
    until(stream._is_stopping.is_set)
    may_end.set()
    stopping.join(WAIT_S)

    assert not stopping.is_alive()
    assert has_ended(stream)
    assert written == [1]
    assert follower.closed.is_set()


def test_no_more_is_read_than_the_buffer_holds(settings: Settings, follower: Follower) -> None:
    """One record is being written, one is in the buffer, the reader waits with one: two remain."""
    stream = DirectStream(replace(settings, speed_max_trades_per_batch=1), RULES)
    may_end, counts = threading.Event(), []

    def write(read: Callable[[], pa.Table]) -> None:
        assert may_end.wait(WAIT_S)
        counts.extend(row["records"] for row in read().to_pylist() if row["venue"] is None)

    for offset in range(80, 85):
        follower.answers.put(records(offset))
    begin(stream, write)
    until(lambda: follower.answers.qsize() == 2)
    may_end.set()

    until(lambda: sum(counts) == 5)
    stream.stop()
    assert counts == [1] * 5


def test_a_stream_that_never_began_can_be_closed(stream: DirectStream) -> None:
    assert stream.start() == ""
    stream.check()
    stream.close()
