"""The line writer: sends batches of lines to one bucket and reports each line as stored or dead.

Does not know what the lines mean: the caller encodes them and reads them back. Retries send the
same bytes, a bounded number of times: a write that timed out may still be stored; no harm is done.
"""

import gzip
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Generic
from urllib.parse import urlencode

from truetape.host.http import RETRYABLE, Reply
from truetape.serving.http import InfluxHttp
from truetape.serving.store import DeadLine, Row, WriteReport

MAX_REASON_CHARS = 300
_BAD_LINE = "unable to parse '"
_GZIP = {"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"}


class LineWriter(Generic[Row]):
    """Writes rows of one kind to one bucket.

    `encode` returns the line of a row; `stored` reads the time range of the given rows back and
    returns the stored lines. `before_post` is called before each request; if it raises, the request
    is not sent.
    """

    def __init__(
        self,
        server: InfluxHttp,
        bucket: str,
        max_lines: int,
        encode: Callable[[Row], str | DeadLine],
        stored: Callable[[Sequence[Row]], set[str]],
        *,
        before_post: Callable[[], None] = lambda: None,
    ) -> None:
        self._server = server
        self._before_post = before_post
        self._max_lines = max_lines
        self._encode = encode
        self._stored = stored
        query = urlencode({"org": server.org, "bucket": bucket, "precision": "ns"})
        self._path = f"/api/v2/write?{query}"

    def write(self, rows: Sequence[Row]) -> WriteReport:
        """Store rows in order. After TransientError or ConfigError earlier batches are stored."""
        report = WriteReport(0, 0)
        for start in range(0, len(rows), self._max_lines):
            batch = rows[start : start + self._max_lines]
            texts = [(self._encode(row), row) for row in batch]
            dead = [text for text, _ in texts if isinstance(text, DeadLine)]
            lines = [(text, row) for text, row in texts if isinstance(text, str)]
            if lines:
                dead += self._post(lines, self._server.attempts)
            report += WriteReport(len(batch), len(batch) - len(dead), tuple(dead))
        self._server.count(rows_written=report.stored)
        return report

    def _post(self, lines: list[tuple[str, Row]], attempts: int) -> list[DeadLine]:
        """Send one batch; return the lines that are not stored."""
        body = gzip.compress("\n".join(text for text, _ in lines).encode(), 1, mtime=0)
        self._before_post()
        answer = self._server.request(
            "POST", self._path, body=body, headers=_GZIP, attempts=attempts, is_final=_is_timeout
        )
        match answer:
            case Reply(status=200 | 201 | 204):
                return []
            case Reply(status=400) if "unable to parse" in answer.message:
                return self._resend_good(lines, answer, attempts)
            case Reply(status=422):
                return self._dropped(lines, answer)
            case Reply(status=413):
                return self._post_halves(lines, answer, attempts)
            case Reply(status=status) if status in RETRYABLE and answer.attempts < attempts:
                # the server timed out; it may finish fewer lines in time
                self._server.pause(answer)
                return self._post_halves(lines, answer, attempts - answer.attempts)
        raise self._server.error(answer)

    def _post_halves(
        self, lines: list[tuple[str, Row]], answer: Reply, attempts: int
    ) -> list[DeadLine]:
        """Send each half separately: the batch was too much for the server."""
        if len(lines) == 1:
            return (
                [DeadLine(lines[0][0], _reason(answer))]
                if answer.status < 500
                else self._post(lines, attempts)
            )
        middle = len(lines) // 2
        return self._post(lines[:middle], attempts) + self._post(lines[middle:], attempts)

    def _resend_good(
        self, lines: list[tuple[str, Row]], answer: Reply, attempts: int
    ) -> list[DeadLine]:
        """Send the batch again without the lines that the server named; it has stored none yet."""
        named = _named_lines(answer.message, {text for text, _ in lines})
        good = [(text, row) for text, row in lines if text not in named]
        if len(good) == len(lines):
            return self._post_halves(lines, answer, attempts)
        dead = [DeadLine(text, named[text]) for text, _ in lines if text in named]
        return dead + (self._post(good, attempts) if good else [])

    def _dropped(self, lines: list[tuple[str, Row]], answer: Reply) -> list[DeadLine]:
        """Read back which lines were dropped: the server's count is only a lower bound."""
        latest = {row.key: text for text, row in lines}
        stored = self._stored([row for _, row in lines])
        return [
            DeadLine(text, _reason(answer))
            for text, row in lines
            if latest[row.key] == text and text not in stored
        ]


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
