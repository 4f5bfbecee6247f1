"""Trade files: their payloads, and what name or envelope add to each.

Payload bytes are those of the file, without line ends. Only `decode_file` decodes them.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

from truetape.feeds import csv_payloads, csv_text, json_payloads, parquet_payloads, streams
from truetape.feeds.beside import NOTHING_GIVEN, parts_for, why_skipped
from truetape.feeds.contract import Contract
from truetape.feeds.decoder import Context, Limits, decode
from truetape.feeds.file_log import FileLog
from truetape.feeds.file_names import NameParts
from truetape.feeds.json_layout import JsonPayload
from truetape.feeds.streams import STDIN, Content, Stream
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.market.rejection import Rejected
from truetape.market.trades import Event

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

MAX_PAGE_BYTES = 32_000_000
"""Longest line, and longest file of JSON over lines, that is read whole. A longer line is cut
there, which is above any payload limit."""

_BYTE_ORDER_MARK = csv_text.BYTE_ORDER_MARK.encode()

Line = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One payload of a file: its number in `source`, and the line or the row where it begins, both
    from 1. `received_ns` is None if it was not recorded.
    """

    payload: bytes
    key: str | None
    day: date | None
    received_ns: int | None
    line: int
    number: int
    source: str


def file_limits(settings: Settings) -> Limits:
    """Return the limits of the settings, but payloads in files may be larger than in Kafka."""
    limits = Limits.of(settings)
    return replace(limits, max_payload_bytes=max(limits.max_payload_bytes, MAX_PAGE_BYTES))


def read(
    path: Path,
    contract: Contract,
    given: NameParts = NOTHING_GIVEN,
    *,
    log: FileLog | None = None,
) -> Iterator[FileRecord]:
    """Yield the payloads of a file in order; `docs/FILES.md` has the formats. Raise ConfigError if
    it is not what its name says, is of another format, or lacks a symbol or date that its payloads
    do not have.

    `given` are the symbol and the day that the user says, in place of those in the name. `log` gets
    the names of files without a payload, also of members of an archive that are not read.
    """
    log = FileLog() if log is None else log
    place = _name(path)
    why_not = partial(why_skipped, contract=contract, given=given)
    try:
        with streams.opened(path, why_not, log) as found:
            for stream in found:
                place = source = stream.name
                beside = parts_for(stream.names, contract, given)
                key, day, number = beside.symbol, beside.day, 0
                rows = enumerate(_payloads(stream, contract), start=1)
                for number, (line, payload, received_ns) in rows:
                    yield FileRecord(payload, key, day, received_ns, line, number, source)
                if not number:
                    log.empty.append(source)
    except ConfigError as error:
        is_placed = _name(path) in str(error)
        raise ConfigError(str(error) if is_placed else f"{place}: {error}") from error
    except streams.DAMAGES as error:
        raise ConfigError(f"{place}: cannot be read ({error})") from error


def _name(path: Path) -> str:
    return "stdin" if path == STDIN else str(path)


def decode_file(
    path: Path,
    contract: Contract,
    limits: Limits,
    read_ms: int,
    given: NameParts = NOTHING_GIVEN,
    *,
    log: FileLog | None = None,
) -> Iterator[tuple[FileRecord, list[Event | Rejected]]]:
    """Yield each payload of a file with its events and rejections, in file order.

    A position is (source, 0, number, index). `read_ms`: the time of reading, which no time of the
    file may lie beyond; see `Context.record_ms`.
    """
    for record in read(path, contract, given, log=log):
        context = Context(
            feed=contract.feed,
            key=record.key,
            day=record.day,
            received_ns=record.received_ns,
            topic=record.source,
            partition=0,
            offset=record.number,
            record_ms=read_ms,
        )
        yield record, decode(record.payload, contract, context, limits)


def read_lines(file: IO[bytes], max_bytes: int) -> Iterator[bytes]:
    """Yield lines without their ends, LF or CRLF. A longer line is cut one byte after `max_bytes`.

    A cut line is still too large for a decoder with that limit, and memory stays bounded.
    """
    while line := file.readline(max_bytes + 2):
        ended = line.endswith(b"\n")
        rest = line
        while not ended and (rest := file.readline(MAX_PAGE_BYTES)):
            ended = rest.endswith(b"\n")
        yield line.removesuffix(b"\n").removesuffix(b"\r")[: max_bytes + 1]


def numbered(file: IO[bytes], max_bytes: int) -> Iterator[Line]:
    """Return the lines of a text with their numbers, from 1, without a byte order mark."""
    lines = read_lines(file, max_bytes)
    first = (line.removeprefix(_BYTE_ORDER_MARK) for line in islice(lines, 1))
    return enumerate(chain(first, lines), start=1)


def payloads_of_lines(lines: Iterator[Line], contract: Contract) -> Iterator[Line]:
    """Yield the payloads of the lines of a text, each with the number of its line."""
    layout = contract.eras[-1].csv
    return lines if layout is None else csv_payloads.payloads(lines, contract, layout)


def _payloads(stream: Stream, contract: Contract) -> Iterator[tuple[int, bytes, int | None]]:
    """Yield line, payload and recorded receipt time."""
    if stream.content is Content.PARQUET:
        rows = parquet_payloads.payloads(streams.seekable(stream), stream.name, contract)
        yield from ((row, payload, None) for row, payload in rows)
        return
    if isinstance(contract.layout, JsonPayload):
        for line, payload in _json(stream.file, contract.layout):
            found = json_payloads.frame(payload)
            yield (line, payload, None) if found is None else (line, *found)
        return
    lines = _without_last_blanks(numbered(stream.file, MAX_PAGE_BYTES))
    yield from ((line, payload, None) for line, payload in payloads_of_lines(lines, contract))


def _json(file: io.BufferedReader, layout: JsonPayload) -> Iterator[Line]:
    """Yield JSON payloads: whole values if the file is made of them, else lines."""
    head = b""
    while not head.strip() and (line := file.readline(MAX_PAGE_BYTES)):
        head += line
    head = head.removeprefix(_BYTE_ORDER_MARK)
    if head.lstrip()[:1] in (b"{", b"[") and not json_payloads.is_value(head):
        head += file.read(max(MAX_PAGE_BYTES - len(head), 0) + 1)
        second = head.lstrip().split(b"\n", 2)[1:2]
        if len(head) > MAX_PAGE_BYTES and second and not json_payloads.is_value(second[0]):
            raise ConfigError(
                f"is JSON over lines of more than {MAX_PAGE_BYTES:,} bytes; write each value in a "
                "line of its own, for example with jq -c"
            )
        whole = json_payloads.values(head, layout) if len(head) <= MAX_PAGE_BYTES else None
        if whole is not None:
            yield from whole
            return
    lines = numbered(io.BufferedReader(_Rejoined(head, file)), MAX_PAGE_BYTES)
    yield from json_payloads.spread(_without_last_blanks(lines), layout)


class _Rejoined(io.RawIOBase):
    """A file whose beginning was read before."""

    def __init__(self, head: bytes, rest: io.BufferedReader) -> None:
        self._head = io.BytesIO(head)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer") -> int:
        return self._head.readinto(buffer) or self._rest.readinto(buffer)


def _without_last_blanks(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield lines without the blank ones at the end, which are no payloads."""
    blanks: list[Line] = []
    for line in lines:
        if line[1].strip():
            yield from blanks
            blanks.clear()
            yield line
        else:
            blanks.append(line)
