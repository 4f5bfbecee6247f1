"""Event times as lines: a stream of raw values in, one answer a line out, in bounded memory."""

from collections.abc import Iterator
from datetime import date
from io import BufferedIOBase

from truetape.market.event_time import TimeSpec, parse
from truetape.market.rejection import Reason, Refused

MAX_LINE_BYTES = 4_096
"""Longest line that is looked at; no time is a tenth as long."""
_BLOCK_BYTES = 65_536


def answers(source: BufferedIOBase, spec: TimeSpec, day: date | None) -> Iterator[bytes]:
    """Yield the answers to the lines that have arrived, as soon as they have.

    A line ends in LF or CR LF, the last one also at the end of the stream. Every line gets one
    answer: the epoch nanoseconds, or "rejected: REASON".
    """
    for lines in _lines(source):
        yield b"".join(_answer(line, spec, day) for line in lines)


def _answer(line: bytes, spec: TimeSpec, day: date | None) -> bytes:
    match _parsed(line.removesuffix(b"\r"), spec, day):
        case Refused(reason, detail):
            return f"rejected: {reason}{': ' if detail else ''}{detail}\n".encode()
        case instant_ns:
            return b"%d\n" % instant_ns


def _parsed(line: bytes, spec: TimeSpec, day: date | None) -> int | Refused:
    if len(line) > MAX_LINE_BYTES:
        return Refused(Reason.TOO_LARGE, f"more than {MAX_LINE_BYTES} bytes")
    try:
        return parse(line.decode(), spec, day)
    except UnicodeDecodeError as error:
        return Refused(Reason.NOT_TEXT, f"byte 0x{line[error.start]:02x} at {error.start}")


def _lines(source: BufferedIOBase) -> Iterator[list[bytes]]:
    """Split what arrives into lines; one that is too long is cut where that shows."""
    rest = b""
    while block := source.read1(_BLOCK_BYTES):
        *lines, last = block.split(b"\n")
        if lines:
            lines[0] = rest + lines[0]
            yield lines
            rest = b""
        rest = (rest + last)[: MAX_LINE_BYTES + 2]
    if rest:
        yield [rest]
