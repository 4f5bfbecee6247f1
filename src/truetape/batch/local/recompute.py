"""Recompute in this process, on the kernel; writes the tables that `batch.spark.recompute` writes.

Reads `raw` once. A large session is first divided by symbol into files of bounded size, so that
memory does not grow with the session.
"""

import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from truetape.batch.local.workers import results_of
from truetape.batch.recompute import AsOfSession, Recomputed, RecomputeRules
from truetape.host.sql import quoted
from truetape.lake import bars_lineage
from truetape.lake.deliveries import SessionDeliveries
from truetape.lake.delta import open_table, replace_table
from truetape.lake.events import RawEvents
from truetape.lake.tables import Table, session_filters, session_where
from truetape.market.bars import Bar
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session

if TYPE_CHECKING:
    import pyarrow as pa

MAX_PART_EVENTS = 250_000
"""About how many events are settled and folded at once: about a kilobyte of memory each."""


def recompute(
    lake: str, session: Session, rules: RecomputeRules, symbols: Iterable[str] | None = None
) -> Recomputed:
    """Recompute a session's rows of `trades` and `bars` from the newest `raw`, and replace them.

    `symbols` restricts it to these: no bar depends on a trade of another symbol. Events that are
    archived for the session after `raw` was read are marked dirty.
    """
    names = None if symbols is None else tuple(sorted(set(symbols)))
    bars_lineage.watch(lake, session)
    raw = bars_lineage.current_raw(lake)
    where = session_where(session)
    if names is not None:
        where += f" AND symbol IN ({', '.join(map(quoted, names))})"
    deliveries = SessionDeliveries(RawEvents(lake, raw[1]), session, names)
    bars: list[pa.Table] = []

    def trades() -> "Iterator[pa.Table]":
        for rows, folded in _computed(deliveries, rules):
            bars.append(folded)
            yield rows

    replace_table(lake, Table.TRADES, trades(), where)
    replace_table(lake, Table.BARS, bars, where)
    bars_lineage.record_basis(lake, session, raw, names)
    return _summary(lake, session)


def recompute_as_of(
    lake: str, session: Session, rules: RecomputeRules, as_of_ns: int
) -> AsOfSession:
    """Recompute a session from the events received at or before an instant. Writes nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from truetape.lake.schemas import BARS

    deliveries = SessionDeliveries(RawEvents(lake), session, as_of_ns=as_of_ns)
    counts: Counter[str] = Counter()
    bars = [BARS.empty_table()]
    for rows, folded in _computed(deliveries, rules):
        counts.update(_counts(rows))
        bars.append(folded.filter(pc.field("served")))
    served = pa.concat_tables(bars)
    return AsOfSession(_recomputed(session, counts, served), lambda: _bars(served))


def _computed(
    deliveries: SessionDeliveries, rules: RecomputeRules
) -> "Iterator[tuple[pa.Table, pa.Table]]":
    """Yield rows of `trades` and their rows of `bars`, all of a symbol in one pair."""
    from truetape.batch.session_rows import bar_rows, trade_rows

    session = deliveries.session

    def compute(part: "pa.Table") -> "tuple[pa.Table, pa.Table]":
        trades = trade_rows(part, session, rules)
        return trades, bar_rows(trades, session, rules)

    yield from results_of(compute, parts_of(deliveries))


def parts_of(deliveries: SessionDeliveries) -> "Iterator[pa.Table]":
    """Yield the deliveries in tables of bounded size, all of a symbol in one."""
    import pyarrow as pa

    from truetape.kernel.columns import DELIVERIES

    count = 1 + deliveries.expected() // MAX_PART_EVENTS
    if count == 1:
        yield pa.concat_tables([DELIVERIES.empty_table(), *deliveries.tables()]).combine_chunks()
        return
    with tempfile.TemporaryDirectory(prefix="truetape-recompute-") as folder:
        files = [Path(folder, f"{number}.arrow") for number in range(count)]
        with ExitStack() as stack:
            writers = [
                stack.enter_context(pa.ipc.new_file(str(file), DELIVERIES)) for file in files
            ]
            for table in deliveries.tables():
                for writer, rows in zip(writers, _by_symbol(table, count), strict=True):
                    writer.write_table(rows)
        for file in files:
            yield _mapped(file)
            file.unlink()


def _mapped(file: Path) -> "pa.Table":
    import pyarrow as pa

    table: pa.Table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
    return table


def _by_symbol(table: "pa.Table", count: int) -> "Iterator[pa.Table]":
    """Divide rows into `count` tables, all rows of a symbol into the same one."""
    import numpy as np
    import pyarrow as pa

    encoded = table["symbol"].combine_chunks().dictionary_encode()
    symbols = encoded.dictionary.to_pylist()
    places = np.array([zlib.crc32(str(symbol).encode()) % count for symbol in symbols], np.int64)
    numbers = places[encoded.indices.to_numpy()] if symbols else places
    for number in range(count):
        yield table.take(pa.array(np.flatnonzero(numbers == number)))


def _summary(lake: str, session: Session) -> Recomputed:
    """Count a session's trades and served bars in the lake."""
    import pyarrow.compute as pc

    flags = ["duplicate", "cancelled", "corrected", "known"]
    trades = open_table(lake, Table.TRADES).rows(session_filters(session), flags)
    bars = open_table(lake, Table.BARS).rows(session_filters(session), ["resolution", "served"])
    return _recomputed(session, Counter(_counts(trades)), bars.filter(pc.field("served")))


def _counts(trades: "pa.Table") -> dict[str, int]:
    import pyarrow.compute as pc

    flags = ("duplicate", "cancelled", "corrected", "known")
    counts = {flag: int(pc.sum(trades[flag]).as_py() or 0) for flag in flags}
    return counts | {"trades": trades.num_rows}


def _recomputed(session: Session, counts: Counter[str], served: "pa.Table") -> Recomputed:
    import pyarrow.compute as pc

    by_resolution = pc.value_counts(served["resolution"].combine_chunks()).to_pylist()
    return Recomputed(
        session,
        counts["trades"],
        counts["duplicate"],
        counts["cancelled"],
        counts["corrected"],
        counts["trades"] - counts["known"],
        {row["values"]: row["counts"] for row in by_resolution},
    )


def _bars(rows: "pa.Table") -> Iterator[Bar]:
    """Yield bars by symbol, resolution and start."""
    ordered = rows.sort_by(
        [("symbol", "ascending"), ("resolution", "ascending"), ("start_ns", "ascending")]
    )
    columns = [name for name in Bar.__slots__ if name != "resolution"]
    for batch in ordered.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            values = {name: row[name] for name in columns}
            yield Bar(resolution=Resolution(row["resolution"]), **values)
