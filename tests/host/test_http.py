"""HTTP requests: what is retried, how often, after which pause, and what is never sent twice."""

import itertools
import time
from collections.abc import Callable
from contextlib import closing
from email.utils import formatdate

import pytest

from support.scripted_http import CUT, Answer, ScriptedServer
from truetape.host.errors import TransientError
from truetape.host.http import Http, Lost, Reply, back_off_s, call

OK = Answer(200, b"done")


def in_turn(*answers: Answer) -> Callable[[bytes], Answer]:
    """Give these answers, then OK for ever."""
    remaining = itertools.chain(answers, itertools.repeat(OK))
    return lambda _: next(remaining)


def request(
    server: ScriptedServer, pauses: list[float], attempts: int, **options: object
) -> Reply | Lost:
    with closing(Http(server.url, timeout_s=5, sleep=pauses.append)) as http:
        return http.request("POST", "/path", body=b"b", attempts=attempts, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("failure", [CUT, Answer(503), Answer(429), Answer(500)], ids=str)
def test_a_request_is_retried_until_it_succeeds(failure: Answer) -> None:
    pauses: list[float] = []
    with ScriptedServer(in_turn(failure, failure)) as server:
        reply = request(server, pauses, 4)

    assert reply == Reply(200, b"done", attempts=3)
    assert server.bodies == [b"b", b"b", b"b"]
    assert [0.1 <= pauses[0] < 0.3, 0.2 <= pauses[1] < 0.6, len(pauses)] == [True, True, 2]


def test_a_request_is_sent_once_unless_the_caller_allows_more() -> None:
    with ScriptedServer(lambda _: Answer(503, b"busy")) as server:
        reply = call(server.url, "POST", "/path", b"b")

    assert (reply.status, reply.text, server.bodies) == (503, "busy", [b"b"])


@pytest.mark.parametrize("status", [400, 401, 404, 302, 413, 422, 501])
def test_an_answer_that_stays_the_same_is_not_retried(status: int) -> None:
    pauses: list[float] = []
    headers = {"Retry-After": "1", "Location": "/other"}
    with ScriptedServer(in_turn(Answer(status, b"no", headers))) as server:
        reply = request(server, pauses, 4)

    assert isinstance(reply, Reply)
    assert (reply.status, reply.body, reply.attempts, pauses) == (status, b"no", 1, [])


def test_the_last_answer_is_returned_when_every_attempt_failed() -> None:
    pauses: list[float] = []
    with ScriptedServer(lambda _: Answer(503, b"busy")) as server:
        reply = request(server, pauses, 3)

    assert reply == Reply(503, b"busy", attempts=3)
    assert (len(server.bodies), len(pauses)) == (3, 2)


def test_a_server_that_never_answers_is_given_up_after_the_last_attempt() -> None:
    pauses: list[float] = []
    with ScriptedServer(lambda _: CUT) as server:
        reply = request(server, pauses, 3)

    assert isinstance(reply, Lost)
    assert (reply.attempts, len(server.bodies), len(pauses)) == (3, 3, 2)
    assert "without response" in reply.why


def test_an_answer_that_the_caller_calls_final_is_not_retried() -> None:
    pauses: list[float] = []
    with ScriptedServer(in_turn(Answer(503, b"busy"), Answer(500, b"timeout"))) as server:
        reply = request(server, pauses, 4, is_final=lambda body: body == b"timeout")

    assert reply == Reply(500, b"timeout", attempts=2)
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    ("retry_after", "least_s", "most_s"),
    [("3", 3, 3), ("3600", 10, 10), ("soon", 0.1, 0.3), ("0", 0.1, 0.3)],
    ids=["seconds", "too long", "unreadable", "zero"],
)
def test_a_retry_after_is_respected_within_bounds(
    retry_after: str, least_s: float, most_s: float
) -> None:
    pauses: list[float] = []
    answer = Answer(429, b"slow down", {"Retry-After": retry_after})
    with ScriptedServer(in_turn(answer)) as server:
        request(server, pauses, 2)

    assert len(pauses) == 1
    assert least_s <= pauses[0] <= most_s


def test_a_retry_after_may_be_a_date() -> None:
    pauses: list[float] = []
    answer = Answer(503, b"", {"Retry-After": formatdate(time.time() + 6, usegmt=True)})
    with ScriptedServer(in_turn(answer)) as server:
        request(server, pauses, 2)

    assert 3 <= pauses[0] <= 6


def test_no_answer_is_a_transient_error_that_names_the_server() -> None:
    with ScriptedServer(in_turn()) as server:
        url = server.url

    with pytest.raises(TransientError, match=f"{url} did not answer: NewConnectionError"):
        call(url, "GET", "/path")


@pytest.mark.parametrize(
    ("body", "message"),
    [(b'{"message": "no bucket"}', "no bucket"), (b" plain ", "plain"), (b"[1]", "[1]")],
    ids=["JSON", "text", "other JSON"],
)
def test_the_message_of_a_reply_is_the_server_s_own(body: bytes, message: str) -> None:
    assert Reply(500, body).message == message


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
