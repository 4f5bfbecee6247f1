"""Recompute: makes a session's rows of `trades` and `bars` from `raw`, and replaces them.

One operation on either engine: an engine divides the session by symbol and calls the kernel on each
part; each part writes its own files; two commits then replace the session's rows. Does not publish.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from truetape.batch.recompute import AsOfSession, Engine, Recomputed, RecomputeRules
from truetape.lake import bars_lineage
from truetape.lake.data_files import DataFile, removed_on_failure
from truetape.lake.deliveries import SessionDeliveries
from truetape.lake.delta import new_files, open_table, table_files
from truetape.lake.events import RawEvents
from truetape.lake.replacement import Replacement
from truetape.lake.tables import Table, session_condition, session_filters
from truetape.market.bars import Bar
from truetape.market.eligibility import Profile
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session

if TYPE_CHECKING:
    import pyarrow as pa

_CODE = "code "
"""Begins the name of a count of trades with an unknown code."""
_WRITTEN = (Table.TRADES, Table.BARS)


def recompute(
    lake: str,
    session: Session,
    rules: RecomputeRules,
    engine: Engine,
    symbols: Iterable[str] | None = None,
) -> Recomputed:
    """Recompute a session's rows of `trades` and `bars` from the newest `raw`, and replace them.

    `symbols` restricts it to these: no bar depends on a trade of another symbol. Events that are
    archived for the session after `raw` was read are marked dirty. Raise TransientError if another
    recompute of the session commits first.
    """
    names = None if symbols is None else tuple(sorted(set(symbols)))
    bars_lineage.watch(lake, session)
    raw = bars_lineage.current_raw(lake)
    deliveries = SessionDeliveries(RawEvents(lake, raw[1]), session, names)
    replacements = [Replacement(lake, table, session, names) for table in _WRITTEN]
    files: dict[Table, list[DataFile]] = {table: [] for table in _WRITTEN}
    compute = partial(write_part, lake=lake, session=session, rules=rules)
    with ExitStack() as stack:
        for table in _WRITTEN:
            stack.enter_context(removed_on_failure(table_files(lake, table), files[table]))
        for part in engine(deliveries, compute):
            files[Table.TRADES] += part.trades
            files[Table.BARS] += part.bars
    for table, replacement in zip(_WRITTEN, replacements, strict=True):
        replacement.commit(files[table])
    bars_lineage.record_basis(lake, session, raw, names)
    return _summary(lake, session, rules.profile)


def recompute_as_of(
    lake: str, session: Session, rules: RecomputeRules, engine: Engine, as_of_ns: int
) -> AsOfSession:
    """Recompute a session from the events received at or before an instant. Writes nothing."""
    import pyarrow as pa

    from truetape.lake.schemas import BARS

    deliveries = SessionDeliveries(RawEvents(lake), session, as_of_ns=as_of_ns)
    counts: Counter[str] = Counter()
    bars = [BARS.empty_table()]
    compute = partial(served_part, session=session, rules=rules)
    for part_counts, part_bars in engine(deliveries, compute):
        counts.update(part_counts)
        bars.append(part_bars)
    served = pa.concat_tables(bars)
    return AsOfSession(_recomputed(session, counts, served), lambda: _bars(served))


@dataclass(frozen=True, slots=True)
class PartFiles:
    """The files with the rows of some symbols of a session."""

    trades: list[DataFile]
    bars: list[DataFile]


def write_part(
    deliveries: "pa.Table", *, lake: str, session: Session, rules: RecomputeRules
) -> PartFiles:
    """Write the rows of `trades` and `bars` for all deliveries of some symbols into new files."""
    from truetape.batch.session_rows import bar_rows, trade_rows

    with new_files(lake, Table.TRADES) as trades, new_files(lake, Table.BARS) as bars:
        rows = trade_rows(deliveries, session, rules)
        trades.write(rows)
        bars.write(bar_rows(rows, session, rules))
        return PartFiles(trades.finish(), bars.finish())


def served_part(
    deliveries: "pa.Table", *, session: Session, rules: RecomputeRules
) -> "tuple[dict[str, int], pa.Table]":
    """Return the counts of trades and the served bars for all deliveries of some symbols."""
    import pyarrow.compute as pc

    from truetape.batch.session_rows import bar_rows, trade_rows

    trades = trade_rows(deliveries, session, rules)
    counts = _counts(trades) | _codes(trades, rules.profile)
    return counts, bar_rows(trades, session, rules).filter(pc.field("served"))


def _summary(lake: str, session: Session, profile: Profile) -> Recomputed:
    """Count a session's trades and served bars in the lake."""
    import pyarrow.compute as pc

    table, mine = open_table(lake, Table.TRADES), session_filters(session)
    trades = table.rows(mine, ["duplicate", "cancelled", "corrected", "known"])
    unknown = session_condition(session) & ~pc.field("known")
    judged = table.select(["conditions", "tape", "known"], unknown)
    counts = Counter(_counts(trades) | _codes(judged, profile))
    bars = open_table(lake, Table.BARS).rows(session_filters(session), ["resolution", "served"])
    return _recomputed(session, counts, bars.filter(pc.field("served")))


def _counts(trades: "pa.Table") -> dict[str, int]:
    import pyarrow.compute as pc

    flags = ("duplicate", "cancelled", "corrected", "known")
    counts = {flag: int(pc.sum(trades[flag]).as_py() or 0) for flag in flags}
    return counts | {"trades": trades.num_rows}


def _codes(trades: "pa.Table", profile: Profile) -> dict[str, int]:
    """Count the trades of each code that the profile does not know, as `_CODE` and the code."""
    from truetape.kernel.judge import unknown

    counts: Counter[str] = Counter()
    for conditions, tape, count in unknown(trades):
        for code in profile.unknown_codes(conditions, tape):
            counts[_CODE + code] += count
    return dict(counts)


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
        {
            name.removeprefix(_CODE): count
            for name, count in counts.most_common()
            if name.startswith(_CODE)
        },
        {row["values"]: row["counts"] for row in by_resolution},
    )


def _bars(rows: "pa.Table") -> Iterator[Bar]:
    """Yield bars by symbol, resolution and start."""
    ordered = rows.sort_by(
        [("symbol", "ascending"), ("resolution", "ascending"), ("start_ns", "ascending")]
    )
    columns = [name for name in Bar.__slots__ if name not in ("resolution", "filled")]
    for batch in ordered.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            values = {name: row[name] for name in columns}
            yield Bar(resolution=Resolution(row["resolution"]), **values)
