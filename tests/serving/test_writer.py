"""The line writer against scripted answers: what it repeats, splits, waits for and gives up."""

import gzip
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Secret
from truetape.serving.server import Lost, Reply, Server, back_off_s
from truetape.serving.store import DeadLine, Key, WriteReport
from truetape.serving.writer import LineWriter

Script = Callable[[list[str]], Reply | Lost]
OK = Reply(204, b"")


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    name: str = ""

    @property
    def key(self) -> Key:
        return (self.name or self.text,)


class ScriptedServer(Server):
    """Answers writes from a script and remembers the batches and the pauses."""

    def __init__(self, script: Script, attempts: int = 4) -> None:
        self.pauses: list[float] = []
        super().__init__(
            "http://unused", "o", Secret("t"), timeout_s=1, attempts=attempts, sleep=self.slept
        )
        self.script = script
        self.bodies: list[bytes] = []

    def slept(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply | Lost:
        self.bodies.append(body or b"")
        return self.script(self.batches[-1])

    @property
    def batches(self) -> list[list[str]]:
        return [gzip.decompress(body).decode().split("\n") for body in self.bodies]


def error(status: int, message: str, retry_after_s: float | None = None) -> Reply:
    return Reply(status, json.dumps({"message": message}).encode(), retry_after_s)


def in_turn(*answers: Reply | Lost) -> Script:
    """Give these answers, then OK for ever."""
    remaining = itertools.chain(answers, itertools.repeat(OK))
    return lambda _: next(remaining)


def write(
    server: Server, *texts: str, max_lines: int = 100, stored: set[str] | None = None
) -> WriteReport:
    writer = LineWriter[Line](
        server, "bucket", max_lines, lambda row: row.text, lambda _: stored or set()
    )
    return writer.write([Line(text) for text in texts])


@pytest.mark.parametrize(
    "answer",
    [
        Lost("ReadTimeoutError"),
        error(500, "unable to read data: unexpected EOF"),
        error(500, "cache-max-memory-size exceeded"),
        error(503, "busy"),
        error(429, "slow down"),
        error(408, "gone"),
    ],
    ids=["lost", "cut body", "full cache", "busy", "too many", "client gone"],
)
def test_what_may_pass_is_repeated_with_the_same_bytes(answer: Reply | Lost) -> None:
    server = ScriptedServer(in_turn(answer, answer))

    report = write(server, "a", "b")

    assert (report.sent, report.stored) == (2, 2)
    assert len(server.bodies) == 3
    assert len(set(server.bodies)) == 1


def test_attempts_are_bounded() -> None:
    server = ScriptedServer(lambda _: error(503, "busy"), attempts=3)

    with pytest.raises(TransientError, match="in 3 attempts; last: 503 busy"):
        write(server, "a")

    assert len(server.bodies) == 3
    assert len(server.pauses) == 2


def test_a_timeout_of_the_server_halves_the_batch_within_the_same_bound() -> None:
    server = ScriptedServer(
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


def test_timeouts_that_stay_end_after_as_many_halvings_as_there_are_attempts() -> None:
    server = ScriptedServer(lambda _: error(500, "timeout"), attempts=3)

    with pytest.raises(TransientError):
        write(server, *"abcdefgh")

    assert [len(batch) for batch in server.batches] == [8, 4, 2]


def test_a_body_too_large_is_halved_until_it_fits() -> None:
    server = ScriptedServer(lambda batch: error(413, "too large") if len(batch) > 1 else OK)

    assert write(server, *"abcd").stored == 4
    assert server.pauses == []


def test_a_line_too_large_on_its_own_is_dead() -> None:
    server = ScriptedServer(lambda batch: error(413, "too large") if "huge" in batch else OK)

    report = write(server, "a", "huge", "b")

    assert (report.stored, report.rejected) == (2, (DeadLine("huge", "413 too large"),))


def test_bad_lines_are_taken_out_and_the_rest_is_sent_again() -> None:
    message = "unable to parse 'b': missing fields\nunable to parse 'd': it's 'odd': really"
    server = ScriptedServer(lambda batch: error(400, message) if "b" in batch else OK)

    report = write(server, *"abcde")

    assert report.stored == 3
    assert report.rejected[0] == DeadLine("b", "missing fields")
    assert report.rejected[1] == DeadLine("d", "it's 'odd': really")
    assert server.batches[-1] == ["a", "c", "e"]


def test_a_bad_line_that_the_server_does_not_name_is_cornered() -> None:
    server = ScriptedServer(
        lambda batch: error(400, "unable to parse 'B': ?") if "b" in batch else OK
    )

    report = write(server, *"abcd")

    assert (report.stored, [dead.line for dead in report.rejected]) == (3, ["b"])


def test_rows_not_stored_are_found_by_reading_whatever_the_server_counts() -> None:
    server = ScriptedServer(in_turn(error(422, "partial write: ... dropped=1")))

    report = write(server, "a", "b", "c", stored={"b"})

    assert report.stored == 1
    assert [dead.line for dead in report.rejected] == ["a", "c"]
    assert len(server.bodies) == 1


def test_an_earlier_row_of_one_key_is_not_missing_when_the_later_is_there() -> None:
    server = ScriptedServer(in_turn(error(422, "partial write: dropped=1")))
    writer = LineWriter[Line](server, "bucket", 10, lambda row: row.text, lambda _: {"k 2"})

    report = writer.write([Line("k 1", "k"), Line("k 2", "k"), Line("other")])

    assert [dead.line for dead in report.rejected] == ["other"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302, 501])
def test_an_answer_that_stays_is_not_repeated(status: int) -> None:
    server = ScriptedServer(in_turn(error(status, "no")))

    with pytest.raises(ConfigError, match=f"answered {status} 'no'"):
        write(server, "a")

    assert len(server.bodies) == 1


def test_rows_go_in_batches_and_in_order() -> None:
    server = ScriptedServer(in_turn())

    report = write(server, *"abcde", max_lines=2)

    assert server.batches == [["a", "b"], ["c", "d"], ["e"]]
    assert (report.sent, report.stored) == (5, 5)


def test_rows_without_a_line_are_dead_before_anything_is_sent() -> None:
    server = ScriptedServer(in_turn())
    writer = LineWriter[Line](
        server, "b", 10, lambda row: DeadLine(row.text, "no"), lambda _: set()
    )

    report = writer.write([Line("a")])

    assert (report.stored, report.rejected) == (0, (DeadLine("a", "no"),))
    assert server.bodies == []


def test_a_retry_after_is_obeyed() -> None:
    server = ScriptedServer(in_turn(error(429, "slow down", retry_after_s=3)))

    write(server, "a")

    assert server.pauses == [3]


@pytest.mark.parametrize(
    ("attempt", "retry_after_s", "jitter", "expected"),
    [
        (1, None, 0.0, 0.1),
        (1, None, 0.5, 0.2),
        (2, None, 0.5, 0.4),
        (4, None, 0.5, 1.6),
        (20, None, 0.5, 10.0),
        (1, 5.0, 0.5, 5.0),
        (1, 3_600.0, 0.5, 10.0),
        (4, 0.5, 0.5, 1.6),
    ],
    ids=str,
)
def test_pauses_double_within_bounds(
    attempt: int, retry_after_s: float | None, jitter: float, expected: float
) -> None:
    assert back_off_s(attempt, retry_after_s, jitter) == pytest.approx(expected)


def test_a_report_that_does_not_add_up_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="sent 3, stored 1, rejected 1"):
        WriteReport(3, 1, (DeadLine("x", "y"),))


def test_reports_add_up() -> None:
    dead = DeadLine("x", "y")

    assert WriteReport(2, 1, (dead,)) + WriteReport(3, 3) == WriteReport(5, 4, (dead,))
