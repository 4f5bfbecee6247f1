"""Bars straight from trade files, by the kernel or by the reference. Uses no server and no lake."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from truetape.batch.bar_requests import BarRequest, FileBar, fold_by_kernel, fold_by_reference
from truetape.feeds import files
from truetape.feeds.contract import Contract, load_contract
from truetape.feeds.decoder import Limits
from truetape.feeds.files import decode_file
from truetape.host import profiles, venues
from truetape.host.settings import Settings
from truetape.market.canonical import canonical
from truetape.market.rejection import Rejected
from truetape.market.trades import Event

if TYPE_CHECKING:
    from truetape.kernel.decode import Decoded

_RECORDS_PER_CHUNK = 100_000


@dataclass(frozen=True, slots=True)
class FileFold:
    """The request: which files to fold, and how. `read_ms`: the time of reading."""

    files: tuple[Path, ...]
    feed: str
    bars: BarRequest
    profile: str
    symbol: str | None
    as_of_ns: int | None
    settings: Settings
    read_ms: int


@dataclass(frozen=True, slots=True)
class FoldedFiles:
    """The result: served bars by symbol, venue and start, and the counts of all records."""

    bars: list[FileBar]
    accepted: int
    reasons: Mapping[str, int]

    @property
    def rejected(self) -> int:
        """Return the number of records that do not fit the contract."""
        return sum(self.reasons.values())

    @property
    def received(self) -> int:
        """Return the number of records in the files."""
        return self.accepted + self.rejected


def reference(request: FileFold) -> FoldedFiles:
    """Fold with the reference: one process, all trades in memory (about 1 kB each)."""
    feed = load_contract(request.feed)
    limits = Limits.of(request.settings)
    events: list[Event] = []
    reasons: Counter[str] = Counter()
    for path in request.files:
        for _, items in decode_file(path, feed, limits, request.read_ms):
            reasons.update(item.reason for item in items if isinstance(item, Rejected))
            events += [item for item in items if not isinstance(item, Rejected)]
    settled = canonical(events, venues.venues(), request.as_of_ns).trades
    chosen = [item for item in settled if request.symbol in (None, item.trade.symbol)]
    found = fold_by_reference(chosen, profiles.load(request.profile), request.bars)
    return FoldedFiles(found, len(events), reasons)


def kernel(request: FileFold) -> FoldedFiles:
    """Fold with the kernel: as the reference does, at more than ten times its speed."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from truetape.kernel.columns import DELIVERIES
    from truetape.kernel.judge import judge
    from truetape.kernel.settle import settle

    feed, limits = load_contract(request.feed), Limits.of(request.settings)
    reasons: Counter[str] = Counter()
    batches = [DELIVERIES.empty_table()]
    for decoded in _decoded(request, feed, limits):
        reasons.update(decoded.reasons)
        batches.append(decoded.deliveries)
    deliveries = pa.concat_tables(batches).combine_chunks()
    settled = settle(deliveries, venues.venues(), request.as_of_ns)
    if request.symbol is not None:
        settled = settled.filter(pc.field("symbol") == request.symbol)
    judged = judge(settled, profiles.load(request.profile))
    found = fold_by_kernel(judged, request.bars)
    return FoldedFiles(found, deliveries.num_rows, reasons)


def _decoded(request: FileFold, feed: Contract, limits: Limits) -> "Iterator[Decoded]":
    """Decode the payloads of files, in batches of bounded size."""
    import pyarrow as pa

    from truetape.kernel.columns import RECORDS
    from truetape.kernel.decode import decode

    rows = _records(request.files, feed, request.read_ms)
    while chunk := list(itertools.islice(rows, _RECORDS_PER_CHUNK)):
        yield decode(pa.Table.from_pylist(chunk, schema=RECORDS), feed, limits)


def _records(paths: Iterable[Path], feed: Contract, read_ms: int) -> Iterator[dict[str, object]]:
    for path in paths:
        for record in files.read(path, feed):
            yield {
                "topic": str(path),
                "partition": 0,
                "offset": record.line,
                "record_ms": read_ms,
                "key": record.key,
                "value": record.payload,
                "feed": feed.feed,
                "received_ns": record.received_ns,
                "day": record.day,
            }
