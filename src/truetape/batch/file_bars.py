"""Bars straight from trade files, by the kernel or by the reference. Uses no server and no lake."""

import itertools
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from truetape.batch.bar_requests import BarRequest, FileBar, fold_by_kernel, fold_by_reference
from truetape.batch.file_counts import FileCounts, place_of
from truetape.feeds import files
from truetape.feeds.beside import NOTHING_GIVEN
from truetape.feeds.contract import Contract, contract_named
from truetape.feeds.decoder import Limits
from truetape.feeds.file_log import FileLog
from truetape.feeds.file_names import NameParts
from truetape.feeds.files import FileRecord, decode_file
from truetape.host import profiles, venues
from truetape.host.settings import Settings
from truetape.host.words import symbol_among
from truetape.market.canonical import canonical
from truetape.market.rejection import Rejected
from truetape.market.trades import Event, Trade

if TYPE_CHECKING:
    import pyarrow as pa

_RECORDS_PER_CHUNK = 100_000
_BYTES_PER_CHUNK = 64_000_000
_REPORT_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class FileFold:
    """The request: which files to fold, and how. `feed`: a feed's name, or the file of a contract.
    `read_ms`: the time of reading. `given`: what the user says in place of the files' names.
    `report` gets lines of progress.
    """

    files: tuple[Path, ...]
    feed: str
    bars: BarRequest
    profile: str
    symbol: str | None
    as_of_ns: int | None
    settings: Settings
    read_ms: int
    given: NameParts = NOTHING_GIVEN
    report: Callable[[str], None] = lambda _: None

    def knows(self, received_ns: int) -> bool:
        """True if what was received at an instant counts."""
        return self.as_of_ns is None or received_ns <= self.as_of_ns

    def symbol_among(self, symbols: Collection[str]) -> str | None:
        """Return the symbol to fold, None for all. Raise NotThereError if no trade has it."""
        if self.symbol is None or not symbols:
            return self.symbol
        return symbol_among(self.symbol, symbols)

    @property
    def limits(self) -> Limits:
        """Return the limits of payloads in files."""
        return files.file_limits(self.settings)


@dataclass(frozen=True, slots=True)
class FoldedFiles:
    """The result: served bars by symbol, venue and start, and the counts of all records."""

    bars: list[FileBar]
    counts: FileCounts


def reference(request: FileFold) -> FoldedFiles:
    """Fold with the reference: one process, all trades in memory (about 1 kB each)."""
    feed, profile = contract_named(request.feed), profiles.load(request.profile)
    counts = FileCounts(files=len(request.files))
    events: list[Event] = []
    progress = _Progress(request)
    for path in request.files:
        for record, items in decode_file(
            path, feed, request.limits, request.read_ms, request.given, log=counts.log
        ):
            progress.add(1)
            for item in items:
                if isinstance(item, Rejected):
                    place = place_of(record.source, record.line, item.index)
                    counts.reject(item.reason, item.detail, place)
                else:
                    events.append(item)
        progress.end_file()
    settled = canonical(events, venues.venues(), request.as_of_ns)
    counts.trades = sum(isinstance(event, Trade) for event in events)
    amendments = [event for event in events if not isinstance(event, Trade)]
    counts.amendments = len(amendments)
    counts.later = sum(not request.knows(event.received_ns) for event in amendments)
    counts.later_trades = counts.trades - len(settled.trades)
    counts.change(settled.changes)
    counts.repeats = sum(item.duplicate for item in settled.trades)
    symbol = request.symbol_among({item.trade.symbol for item in settled.trades})
    chosen = [item for item in settled.trades if symbol in (None, item.trade.symbol)]
    for settled_trade in chosen:
        counts.judge(settled_trade.trade.conditions, settled_trade.trade.tape, profile, 1)
    return FoldedFiles(fold_by_reference(chosen, profile, request.bars), counts)


def kernel(request: FileFold) -> FoldedFiles:
    """Fold with the kernel: as the reference does, at more than ten times its speed."""
    import pyarrow.compute as pc

    from truetape.kernel.changes import changes
    from truetape.kernel.judge import judge, unknown
    from truetape.kernel.settle import settle

    profile = profiles.load(request.profile)
    counts = FileCounts(files=len(request.files))
    deliveries = _deliveries(request, counts)
    known = venues.venues()
    settled = settle(deliveries, known, request.as_of_ns)
    counts.trades = pc.sum(pc.equal(deliveries["kind"], "trade")).as_py() or 0
    received = deliveries.filter(pc.field("kind") != "trade")["received_ns"].to_pylist()
    counts.amendments = len(received)
    counts.later = sum(not request.knows(instant_ns or 0) for instant_ns in received)
    counts.later_trades = counts.trades - settled.num_rows
    counts.change(changes(deliveries, known, request.as_of_ns))
    counts.repeats = pc.sum(settled["duplicate"]).as_py() or 0
    symbol = request.symbol_among(set(pc.unique(settled["symbol"]).to_pylist()))
    if symbol is not None:
        settled = settled.filter(pc.field("symbol") == symbol)
    judged = judge(settled, profile)
    for conditions, tape, count in unknown(judged):
        counts.judge(conditions, tape, profile, count)
    return FoldedFiles(fold_by_kernel(judged, request.bars), counts)


class _Progress:
    """Reports how far the files are, every few seconds."""

    def __init__(self, request: FileFold) -> None:
        self._report = request.report
        self._files = len(request.files)
        self._read = self._records = 0
        self._due_s = time.monotonic() + _REPORT_EVERY_S

    def add(self, records: int) -> None:
        self._records += records
        if time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + _REPORT_EVERY_S
            files = f"{self._read:,} of {self._files:,} files are read"
            self._report(f"{files}; {self._records:,} payloads so far")

    def end_file(self) -> None:
        self._read += 1


def _deliveries(request: FileFold, counts: FileCounts) -> "pa.Table":
    """Decode the payloads of files, in batches of bounded size; count the rejections."""
    import pyarrow as pa

    from truetape.kernel.columns import DELIVERIES
    from truetape.kernel.decode import decode

    feed = contract_named(request.feed)
    batches = [DELIVERIES.empty_table()]
    for chunk in _chunks(request, feed, counts.log):
        decoded = decode(_table(chunk, feed, request.read_ms), feed, request.limits)
        for row in decoded.rejections.to_pylist():
            record = chunk[row["record"]]
            place = place_of(record.source, record.line, row["index"])
            counts.reject(row["reason"], row["detail"], place)
        counts.payloads += len(chunk)
        counts.fast += decoded.fast
        batches.append(decoded.deliveries)
    return pa.concat_tables(batches).combine_chunks()


def _chunks(request: FileFold, feed: Contract, log: FileLog) -> Iterator[list[FileRecord]]:
    progress = _Progress(request)
    chunk: list[FileRecord] = []
    size = 0
    for path in request.files:
        for record in files.read(path, feed, request.given, log=log):
            chunk.append(record)
            size += len(record.payload)
            if len(chunk) == _RECORDS_PER_CHUNK or size >= _BYTES_PER_CHUNK:
                yield chunk
                progress.add(len(chunk))
                chunk, size = [], 0
        progress.end_file()
    if chunk:
        yield chunk


def _table(chunk: list[FileRecord], feed: Contract, read_ms: int) -> "pa.Table":
    """Return records with the columns that the kernel reads."""
    import pyarrow as pa

    from truetape.kernel.columns import RECORDS

    columns: dict[str, Iterable[object]] = {
        "topic": [record.source for record in chunk],
        "partition": itertools.repeat(0, len(chunk)),
        "offset": [record.number for record in chunk],
        "record_ms": itertools.repeat(read_ms, len(chunk)),
        "key": [record.key for record in chunk],
        "value": [record.payload for record in chunk],
        "feed": itertools.repeat(feed.feed, len(chunk)),
        "received_ns": [record.received_ns for record in chunk],
        "day": [record.day for record in chunk],
    }
    arrays = [pa.array(columns[field.name], field.type) for field in RECORDS]
    return pa.Table.from_arrays(arrays, schema=RECORDS)
