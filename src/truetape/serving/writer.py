"""The line writer: sends batches of lines to one bucket and reports each line as stored or dead.

Does not know what the lines mean: the caller builds them and reads them back. Retries send the
same bytes, a bounded number of times: a write that timed out may still be stored; no harm is done.
"""

import gzip
import re
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlencode

from truetape.host.http import RETRYABLE, Reply
from truetape.serving.http import InfluxHttp
from truetape.serving.store import DeadLine, WriteReport

MAX_REASON_CHARS = 300
_BAD_LINE = "unable to parse '"
_GZIP = {"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"}


MAX_POSTS = 2
"""How many batches of one table are encoded and sent at once."""
_UNESCAPED_SPACE = re.compile(r"(?<!\\) ")


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines to send in one request, and the rows that have no line.

    `stored` reads the time range of the rows back and returns the stored lines.
    """

    lines: Sequence[str]
    dead: Sequence[DeadLine]
    stored: Callable[[], AbstractSet[str]]


class LineWriter:
    """Writes lines to one bucket.

    `before_post` is called before each request; if it raises, the request is not sent.
    """

    def __init__(
        self, server: InfluxHttp, bucket: str, before_post: Callable[[], None] = lambda: None
    ) -> None:
        self._server = server
        self._before_post = before_post
        query = urlencode({"org": server.org, "bucket": bucket, "precision": "ns"})
        self._path = f"/api/v2/write?{query}"

    def write(self, batches: Iterable[Batch]) -> WriteReport:
        """Store batches in order. After TransientError or ConfigError earlier ones are stored."""
        return sum(map(self._send, batches), WriteReport(0, 0))

    def write_at_once(self, batches: Sequence[Callable[[], Batch]]) -> WriteReport:
        """Build and store batches, `MAX_POSTS` at a time, in no order: no two may have a row of the
        same key. After TransientError or ConfigError any of them may be stored.
        """
        if len(batches) == 1:
            return self._send(batches[0]())
        with ThreadPoolExecutor(MAX_POSTS, "post") as threads:
            reports = threads.map(lambda build: self._send(build()), batches)
            return sum(reports, WriteReport(0, 0))

    def _send(self, batch: Batch) -> WriteReport:
        dead = list(batch.dead)
        if batch.lines:
            dead += self._post(batch.lines, batch, self._server.attempts)
        sent = len(batch.lines) + len(batch.dead)
        self._server.count(rows_written=sent - len(dead))
        return WriteReport(sent, sent - len(dead), tuple(dead))

    def _post(self, lines: Sequence[str], batch: Batch, attempts: int) -> list[DeadLine]:
        """Send lines of a batch; return those that are not stored."""
        body = gzip.compress("\n".join(lines).encode(), 1, mtime=0)
        self._before_post()
        answer = self._server.request(
            "POST", self._path, body=body, headers=_GZIP, attempts=attempts, is_final=_is_timeout
        )
        match answer:
            case Reply(status=200 | 201 | 204):
                return []
            case Reply(status=400) if "unable to parse" in answer.message:
                return self._resend_good(lines, batch, answer, attempts)
            case Reply(status=422):
                return _dropped(lines, batch, answer)
            case Reply(status=413):
                return self._post_halves(lines, batch, answer, attempts)
            case Reply(status=status) if status in RETRYABLE and answer.attempts < attempts:
                # the server timed out; it may finish fewer lines in time
                self._server.pause(answer)
                return self._post_halves(lines, batch, answer, attempts - answer.attempts)
        raise self._server.error(answer)

    def _post_halves(
        self, lines: Sequence[str], batch: Batch, answer: Reply, attempts: int
    ) -> list[DeadLine]:
        """Send each half separately: the lines were too many for the server."""
        if len(lines) == 1:
            return (
                [DeadLine(lines[0], _reason(answer))]
                if answer.status < 500
                else self._post(lines, batch, attempts)
            )
        middle = len(lines) // 2
        first = self._post(lines[:middle], batch, attempts)
        return first + self._post(lines[middle:], batch, attempts)

    def _resend_good(
        self, lines: Sequence[str], batch: Batch, answer: Reply, attempts: int
    ) -> list[DeadLine]:
        """Send the lines again without those that the server named; it has stored none yet."""
        named = _named_lines(answer.message, set(lines))
        good = [text for text in lines if text not in named]
        if len(good) == len(lines):
            return self._post_halves(lines, batch, answer, attempts)
        dead = [DeadLine(text, named[text]) for text in lines if text in named]
        return dead + (self._post(good, batch, attempts) if good else [])


def _dropped(lines: Sequence[str], batch: Batch, answer: Reply) -> list[DeadLine]:
    """Read back which lines were dropped: the server's count is only a lower bound."""
    latest = {_key(text): text for text in lines}
    stored = batch.stored()
    return [
        DeadLine(text, _reason(answer))
        for text in lines
        if latest[_key(text)] == text and text not in stored
    ]


def _key(line: str) -> tuple[str, str]:
    """Return series and time of a line: a later line of the same key replaces it."""
    return _UNESCAPED_SPACE.split(line, maxsplit=1)[0], line.rpartition(" ")[2]


def _named_lines(message: str, sent: AbstractSet[str]) -> dict[str, str]:
    """Return the lines that a 400 names, with their reasons; both may contain quotes and colons.

    To the server a line with an open quote includes the lines after it; no such line is returned.
    """
    named = {}
    for complaint in message.split("\n"):
        if not complaint.startswith(_BAD_LINE):
            continue
        parts = complaint.removeprefix(_BAD_LINE).split("': ")
        for place in range(1, len(parts)):
            line = "': ".join(parts[:place])
            if line in sent:
                named[line] = "': ".join(parts[place:])
    return named


def _is_timeout(body: bytes) -> bool:
    """True if the server ran out of time; then the same batch must not be sent again as a whole."""
    return b"timeout" in body


def _reason(answer: Reply) -> str:
    return f"{answer.status} {answer.message}"[:MAX_REASON_CHARS]
