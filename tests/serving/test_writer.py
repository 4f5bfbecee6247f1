"""The line writer against scripted answers: retries, splits, waits and errors."""

import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Protocol

import pytest

from support.scripted_http import CUT, Answer, ScriptedServer
from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Secret
from truetape.serving.http import InfluxHttp
from truetape.serving.store import DeadLine, WriteReport
from truetape.serving.writer import Batch, LineWriter

Script = Callable[[list[str]], Answer]
OK = Answer(204)


class ScriptedInflux(InfluxHttp):
    """An InfluxDB that answers writes from a script, and records batches and pauses."""

    def __init__(self, server: ScriptedServer, attempts: int) -> None:
        super().__init__(
            server.url, "o", Secret("t"), timeout_s=5, attempts=attempts, sleep=self.sleeps
        )
        self.bodies = server.bodies
        self.pauses: list[float] = []

    def sleeps(self, seconds: float) -> None:
        self.pauses.append(seconds)

    @property
    def batches(self) -> list[list[str]]:
        return [_batch(body) for body in self.bodies]


class Scripted(Protocol):
    """Opens an InfluxDB with a script."""

    def __call__(self, script: Script, attempts: int = 4) -> ScriptedInflux: ...


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """Open InfluxDBs with scripts; close them after the test."""
    with ExitStack() as opened:

        def build(script: Script, attempts: int = 4) -> ScriptedInflux:
            server = opened.enter_context(ScriptedServer(lambda body: script(_batch(body))))
            return opened.enter_context(closing(ScriptedInflux(server, attempts)))

        yield build


def _batch(body: bytes) -> list[str]:
    return gzip.decompress(body).decode().split("\n")


def error(status: int, message: str, retry_after: str | None = None) -> Answer:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Answer(status, json.dumps({"message": message}).encode(), headers)


def in_turn(*answers: Answer) -> Script:
    """Return these answers, then OK for ever."""
    remaining = itertools.chain(answers, itertools.repeat(OK))
    return lambda _: next(remaining)


def write(
    server: InfluxHttp, *texts: str, max_lines: int = 100, stored: set[str] | None = None
) -> WriteReport:
    return LineWriter(server, "bucket").write(
        batch(*texts[start : start + max_lines], stored=stored)
        for start in range(0, len(texts), max_lines)
    )


def batch(*texts: str, stored: set[str] | None = None) -> Batch:
    return Batch(texts, (), lambda: stored or set())


@pytest.mark.parametrize(
    "answer",
    [
        CUT,
        error(500, "unable to read data: unexpected EOF"),
        error(500, "cache-max-memory-size exceeded"),
        error(503, "busy"),
        error(429, "slow down"),
        error(408, "gone"),
    ],
    ids=["lost", "cut body", "full cache", "busy", "too many", "client gone"],
)
def test_temporary_failures_are_retried_with_the_same_bytes(
    answer: Answer, scripted: Scripted
) -> None:
    server = scripted(in_turn(answer, answer))

    report = write(server, "a", "b")

    assert (report.sent, report.stored) == (2, 2)
    assert len(server.bodies) == 3
    assert len(set(server.bodies)) == 1


def test_attempts_are_bounded(scripted: Scripted) -> None:
    server = scripted(lambda _: error(503, "busy"), attempts=3)

    with pytest.raises(TransientError, match="in 3 attempts; last: 503 busy"):
        write(server, "a")

    assert len(server.bodies) == 3
    assert len(server.pauses) == 2


def test_a_server_timeout_halves_the_batch_within_the_same_attempts(scripted: Scripted) -> None:
    server = scripted(
        lambda batch: error(500, "unexpected error: timeout") if len(batch) > 2 else OK
    )

    report = write(server, *"abcdefgh")

    assert report.stored == 8
    assert server.batches == [
        list("abcdefgh"),
        list("abcd"),
        list("ab"),
        list("cd"),
        list("efgh"),
        list("ef"),
        list("gh"),
    ]


def test_permanent_timeouts_end_after_one_halving_an_attempt(
    scripted: Scripted,
) -> None:
    server = scripted(lambda _: error(500, "timeout"), attempts=3)

    with pytest.raises(TransientError):
        write(server, *"abcdefgh")

    assert [len(batch) for batch in server.batches] == [8, 4, 2]


def test_a_batch_that_is_too_large_is_halved_until_it_fits(scripted: Scripted) -> None:
    server = scripted(lambda batch: error(413, "too large") if len(batch) > 1 else OK)

    assert write(server, *"abcd").stored == 4
    assert server.pauses == []


def test_a_single_line_that_is_too_large_is_dead(scripted: Scripted) -> None:
    server = scripted(lambda batch: error(413, "too large") if "huge" in batch else OK)

    report = write(server, "a", "huge", "b")

    assert (report.stored, report.rejected) == (2, (DeadLine("huge", "413 too large"),))


def test_bad_lines_are_removed_and_the_rest_is_sent_again(scripted: Scripted) -> None:
    message = "unable to parse 'b': missing fields\nunable to parse 'd': it's 'odd': really"
    server = scripted(lambda batch: error(400, message) if "b" in batch else OK)

    report = write(server, *"abcde")

    assert report.stored == 3
    assert report.rejected[0] == DeadLine("b", "missing fields")
    assert report.rejected[1] == DeadLine("d", "it's 'odd': really")
    assert server.batches[-1] == ["a", "c", "e"]


def test_a_bad_line_that_the_server_does_not_name_is_isolated_by_halving(
    scripted: Scripted,
) -> None:
    server = scripted(lambda batch: error(400, "unable to parse 'B': ?") if "b" in batch else OK)

    report = write(server, *"abcd")

    assert (report.stored, [dead.line for dead in report.rejected]) == (3, ["b"])


def test_dropped_rows_are_identified_by_reading_back_not_by_the_server_s_count(
    scripted: Scripted,
) -> None:
    server = scripted(in_turn(error(422, "partial write: ... dropped=1")))

    report = write(server, "a", "b", "c", stored={"b"})

    assert report.stored == 1
    assert [dead.line for dead in report.rejected] == ["a", "c"]
    assert len(server.bodies) == 1


def test_an_overwritten_row_counts_as_stored_if_its_successor_is_stored(
    scripted: Scripted,
) -> None:
    server = scripted(in_turn(error(422, "partial write: dropped=1")))
    old, new, other = r"bar,symbol=a\ b x=1 5", r"bar,symbol=a\ b x=2 5", r"bar,symbol=a\ c x=1 5"

    report = write(server, old, new, other, stored={new})

    assert [dead.line for dead in report.rejected] == [other]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302, 501])
def test_permanent_errors_are_not_retried(status: int, scripted: Scripted) -> None:
    server = scripted(in_turn(error(status, "no")))

    with pytest.raises(ConfigError, match=f"answered {status} 'no'"):
        write(server, "a")

    assert len(server.bodies) == 1


def test_rows_are_sent_in_batches_and_in_order(scripted: Scripted) -> None:
    server = scripted(in_turn())

    report = write(server, *"abcde", max_lines=2)

    assert server.batches == [["a", "b"], ["c", "d"], ["e"]]
    assert (report.sent, report.stored) == (5, 5)


def test_rows_that_cannot_be_encoded_are_dead_and_not_sent(scripted: Scripted) -> None:
    server = scripted(in_turn())

    report = LineWriter(server, "b").write([Batch((), [DeadLine("a", "no")], set)])

    assert (report.stored, report.rejected) == (0, (DeadLine("a", "no"),))
    assert server.bodies == []


def test_the_header_retry_after_sets_the_pause(scripted: Scripted) -> None:
    server = scripted(in_turn(error(429, "slow down", retry_after="3")))

    write(server, "a")

    assert server.pauses == [3]


def test_a_report_whose_counts_do_not_add_up_is_an_error() -> None:
    with pytest.raises(ValueError, match="sent 3, stored 1, rejected 1"):
        WriteReport(3, 1, (DeadLine("x", "y"),))


def test_reports_add_up() -> None:
    dead = DeadLine("x", "y")

    assert WriteReport(2, 1, (dead,)) + WriteReport(3, 3) == WriteReport(5, 4, (dead,))
