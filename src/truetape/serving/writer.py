"""The line writer: batches of lines to one bucket, until each is stored or known not to be.

Repeats only the same bytes, a bounded number of times: a write that timed out may still land, and
does no harm. Does not know what the lines mean; the caller encodes them and reads them back.
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

    `encode` makes a row's line; `stored` reads back the window of some rows and returns the lines
    that are there.
    """

    def __init__(
        self,
        server: InfluxHttp,
        bucket: str,
        max_lines: int,
        encode: Callable[[Row], str | DeadLine],
        stored: Callable[[Sequence[Row]], set[str]],
    ) -> None:
        self._server = server
        self._max_lines = max_lines
        self._encode = encode
        self._stored = stored
        query = urlencode({"org": server.org, "bucket": bucket, "precision": "ns"})
        self._path = f"/api/v2/write?{query}"

    def write(self, rows: Sequence[Row]) -> WriteReport:
        """Store rows in order; TransientError and ConfigError leave earlier batches stored."""
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
        """Send one batch; return the lines that are certainly not stored."""
        body = gzip.compress("\n".join(text for text, _ in lines).encode(), 1, mtime=0)
        answer = self._server.request(
            "POST", self._path, body=body, headers=_GZIP, attempts=attempts, is_final=_is_timeout
        )
        match answer:
            case Reply(status=200 | 201 | 204):
                return []
            case Reply(status=400) if "unable to parse" in answer.message:
                return self._without_bad(lines, answer, attempts)
            case Reply(status=422):
                return self._not_stored(lines, answer)
            case Reply(status=413):
                return self._halves(lines, answer, attempts)
            case Reply(status=status) if status in RETRYABLE and answer.attempts < attempts:
                # the server timed out: fewer lines may fit into its time
                self._server.pause(answer)
                return self._halves(lines, answer, attempts - answer.attempts)
        raise self._server.error(answer)

    def _halves(self, lines: list[tuple[str, Row]], answer: Reply, attempts: int) -> list[DeadLine]:
        """Send each half on its own: the server could not take them together."""
        if len(lines) == 1:
            return (
                [DeadLine(lines[0][0], _reason(answer))]
                if answer.status < 500
                else self._post(lines, attempts)
            )
        middle = len(lines) // 2
        return self._post(lines[:middle], attempts) + self._post(lines[middle:], attempts)

    def _without_bad(
        self, lines: list[tuple[str, Row]], answer: Reply, attempts: int
    ) -> list[DeadLine]:
        """Send the batch again without the lines that the server named; it stored nothing yet."""
        named = _named(answer.message, {text for text, _ in lines})
        good = [(text, row) for text, row in lines if text not in named]
        if len(good) == len(lines):
            return self._halves(lines, answer, attempts)
        dead = [DeadLine(text, named[text]) for text, _ in lines if text in named]
        return dead + (self._post(good, attempts) if good else [])

    def _not_stored(self, lines: list[tuple[str, Row]], answer: Reply) -> list[DeadLine]:
        """Find by reading which lines were dropped: the server's count is only a lower bound."""
        latest = {row.key: text for text, row in lines}
        stored = self._stored([row for _, row in lines])
        return [
            DeadLine(text, _reason(answer))
            for text, row in lines
            if latest[row.key] == text and text not in stored
        ]


def _named(message: str, sent: AbstractSet[str]) -> dict[str, str]:
    """Return the lines that a 400 names, each with its reason; both may hold quotes and colons.

    A line with an open quote swallows its successors in the server's eyes; it is not named here.
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
    """True if the server took too long, which is no reason to send it as much again."""
    return b"timeout" in body


def _reason(answer: Reply) -> str:
    return f"{answer.status} {answer.message}"[:MAX_REASON_CHARS]
