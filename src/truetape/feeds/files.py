"""Trade files: their payloads, and what folder, file name or envelope add to each.

Payload bytes are those of the file, without line ends. Only `decode_file` decodes them.
"""

import gzip
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO

from truetape.feeds.contract import Contract, CsvPayload, JsonPayload, Records
from truetape.feeds.decoder import Context, Limits, decode
from truetape.host.errors import ConfigError
from truetape.market.rejection import Rejected
from truetape.market.resolution import SECOND_NS
from truetape.market.trades import Event

MAX_LINE_BYTES = 16_000_000
"""Longest line that is read whole. A longer one is cut there, which is above any payload limit."""

_DATE = re.compile(r"(?<![0-9])([0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2})(?![0-9])")


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One payload of a file. `line` counts from 1; `received_ns` is None if it was not recorded."""

    payload: bytes
    key: str | None
    day: date | None
    received_ns: int | None
    line: int


def read(path: Path, contract: Contract) -> Iterator[FileRecord]:
    """Yield the payloads of a file in order. Raise ConfigError if it is not what its name says.

    A zip has one CSV; its folder's name is the symbol, and the date is in its name (LEAN). A
    `.json` file of a feed with pages is one payload. A `.jsonl` file with lines of `{"exchange",
    "recv_ts", "raw"}` gives the raw frames. Any other file has one payload a line: `.gz` is
    unpacked, a date in the file name is the day, and a header line is skipped.
    """
    if path.suffix == ".zip":
        return _zipped(path, contract)
    if _is_page(path, contract):
        return _page(path)
    return _lines(path, contract)


def decode_file(
    path: Path, contract: Contract, limits: Limits, read_ms: int
) -> Iterator[tuple[FileRecord, list[Event | Rejected]]]:
    """Yield each payload of a file with its events and rejections, in file order.

    A position is (path, 0, line, index). `read_ms`: the time of reading, which no time of the file
    may lie beyond; see `Context.record_ms`.
    """
    for record in read(path, contract):
        context = Context(
            feed=contract.feed,
            key=record.key,
            day=record.day,
            received_ns=record.received_ns,
            topic=str(path),
            partition=0,
            offset=record.line,
            record_ms=read_ms,
        )
        yield record, decode(record.payload, contract, context, limits)


def day_in_name(path: Path) -> date | None:
    """Return the date in a file's name, as 20131007 or 2013-10-07; None if it has no date."""
    match = _DATE.search(path.name)
    if match is None:
        return None
    try:
        return date.fromisoformat(match.group())
    except ValueError:
        return None


def read_lines(file: IO[bytes], max_bytes: int) -> Iterator[bytes]:
    """Yield lines without their ends, LF or CRLF. A longer line is cut one byte after `max_bytes`.

    A cut line is still too large for a decoder with that limit, and memory stays bounded.
    """
    while line := file.readline(max_bytes + 2):
        ended = line.endswith(b"\n")
        rest = line
        while not ended and (rest := file.readline(MAX_LINE_BYTES)):
            ended = rest.endswith(b"\n")
        yield line.removesuffix(b"\n").removesuffix(b"\r")[: max_bytes + 1]


def _is_page(path: Path, contract: Contract) -> bool:
    layout = contract.layout
    in_pages = isinstance(layout, JsonPayload) and layout.records is Records.BY_NAME
    return in_pages and path.suffix == ".json"


def _page(path: Path) -> Iterator[FileRecord]:
    with _opened(path) as file:
        yield FileRecord(file.read(), None, None, None, 1)


def _lines(path: Path, contract: Contract) -> Iterator[FileRecord]:
    day = day_in_name(path)
    with _opened(path) as file:
        for number, line in enumerate(read_lines(file, MAX_LINE_BYTES), start=1):
            if number == 1 and _is_header(line, contract):
                continue
            frame = _frame(line) if path.name.removesuffix(".gz").endswith(".jsonl") else None
            if frame is None:
                yield FileRecord(line, None, day, None, number)
            else:
                yield FileRecord(*frame, line=number)


def _frame(line: bytes) -> tuple[bytes, None, None, int] | None:
    """Return the payload of a captured frame and its receipt, None if there is no envelope."""
    if not line.startswith(b'{"exchange"'):
        return None
    try:
        envelope = json.loads(line)
        received = Decimal(envelope["recv_ts"])
        return envelope["raw"].encode(), None, None, int(received * SECOND_NS)
    except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation):
        return None


def _zipped(path: Path, contract: Contract) -> Iterator[FileRecord]:
    symbol, day = path.parent.name, day_in_name(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".csv")]
            if len(members) != 1:
                raise ConfigError(f"{path}: has {len(members)} CSV files; expected 1")
            with archive.open(members[0]) as file:
                for number, line in enumerate(read_lines(file, MAX_LINE_BYTES), start=1):
                    if not (number == 1 and _is_header(line, contract)):
                        yield FileRecord(line, symbol, day, None, number)
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: cannot be read as a zip file ({error})") from error


def _is_header(line: bytes, contract: Contract) -> bool:
    layout = contract.layout
    return isinstance(layout, CsvPayload) and line == layout.delimiter.join(layout.columns).encode()


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file  # type: ignore[misc]  # a GzipFile is read like any binary file
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
