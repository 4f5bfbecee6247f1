"""Reads the trades of bars that changed from the lake's `trades`, to explain the change.

Uses no Spark and explains nothing itself. Scans keep the rows of the changed bars. The kernel
sums the prints that served and recomputed bar count alike, one tally a bar; only the uncertain
prints become objects, once for all bars that contain them. So the cost grows with the differences.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeAlias

from truetape.drift.attribution_inputs import BarInputs, BarValues, TradeDelivery
from truetape.kernel.columns import POSITION
from truetape.kernel.events import event_of
from truetape.kernel.fold import tallies_of
from truetape.lake.delta import open_or_none, open_table
from truetape.lake.events import RawEvents
from truetape.lake.schemas import TRADES
from truetape.lake.tables import Table, session_condition
from truetape.market.amendments import given_name, name_of
from truetape.market.bars import Price, Tally
from truetape.market.canonical import Changes, changes_of
from truetape.market.eligibility import Eligibility
from truetape.market.resolution import SECOND_NS, Resolution
from truetape.market.sessions import Session, Venue
from truetape.market.trades import Amendment, OrderKey, Position, Trade, order_key

if TYPE_CHECKING:
    import numpy
    import pyarrow
    import pyarrow.dataset

    Numbers = numpy.ndarray[Any, Any]
    Expression: TypeAlias = pyarrow.dataset.Expression
    Column = pyarrow.Array[Any]

MAX_PRINTS = 200_000
"""Most prints that are Python objects at a time: about two kilobytes of memory each."""

MAX_KEPT = 200_000
"""Most trades that are kept as columns for the next bars: about 30 MB."""

_TRADE = [
    "feed", "symbol", "id", "sequence", "event_ns", "received_ns", "price", "size", "conditions",
    "tape", "exchange", "topic", "partition", "offset", "index",
]  # fmt: skip
_FLAGS = ["duplicate", "cancelled", "corrected", "late"]
_ORDER = ["event_ns", "sequence", "topic", "partition", "offset", "index"]
_JUDGED = ["open_close", "high_low", "counts", "auction", "known"]
_COLUMNS = [*_TRADE, "notional", *_FLAGS, *_JUDGED, "ordinal", "in_day"]
_SUMMED = ["price", "size", "notional", "open_close", "high_low", "counts", "ordinal"]
_BARS_PER_SYMBOL = 1 << 20
"""More bars than any session has at one resolution."""
_HOUR_S = 3_600
_MINUTE_NS = Resolution.MINUTE.width_ns

BarKey = tuple[Resolution, str, int]
"""Resolution, symbol, start."""
ValuePair = tuple[BarValues, BarValues]
"""The values of a bar as served and as recomputed."""


@dataclass(frozen=True, slots=True)
class UncertainPrints:
    """Which prints served and recomputed bar may count differently, besides the flagged ones.

    Those received after `after_ns`; with `everything` all of them, since two profiles judge.
    """

    after_ns: int
    everything: bool = False


class RecomputedTrades:
    """The trades of some bars of a session, as the last recompute settled them."""

    def __init__(self, source: "SessionTrades", venue: Venue, bars: Iterable[BarKey]) -> None:
        self._venue = venue
        self._session = source.session
        self._raw = RawEvents(source.lake)
        self._numbering = BarNumbering.of(source.session, bars)
        self._rows = source.of(self._numbering)
        self._numbers_of: dict[Resolution, Numbers] = {}
        self._made: dict[int, TradeDelivery] = {}
        self._amendments: tuple[Mapping[Position, Trade], Changes] | None = None

    def inputs(
        self, bars: Mapping[BarKey, ValuePair], uncertain: UncertainPrints
    ) -> Iterator[tuple[BarKey, BarInputs]]:
        """Yield the inputs of each bar; its certain prints are summed in `base`."""
        import numpy as np

        is_uncertain = self._uncertain(uncertain)
        by_resolution: dict[Resolution, list[BarKey]] = defaultdict(list)
        for bar in bars:
            by_resolution[bar[0]].append(bar)
        for resolution, group in by_resolution.items():
            numbers = self._numbers(resolution)
            selected = np.isin(numbers, [self._numbering.number(bar) for bar in group])
            bases = self._bases(numbers, selected & ~is_uncertain, resolution)
            for portion in self._portions(group, numbers[selected & is_uncertain]):
                in_portion = np.isin(numbers, [self._numbering.number(bar) for bar in portion])
                deliveries = self._deliveries(numbers, np.flatnonzero(in_portion & is_uncertain))
                for bar in portion:
                    number = self._numbering.number(bar)
                    yield bar, self._inputs(bar, bars[bar], deliveries[number], bases.get(number))

    def inputs_with_every_print(self, bar: BarKey, values: ValuePair) -> BarInputs | None:
        """Return the inputs of one bar with each print as a delivery; None above MAX_PRINTS."""
        import numpy as np

        number = self._numbering.number(bar)
        numbers = self._numbers(bar[0])
        rows = np.flatnonzero(numbers == number)
        if len(rows) > MAX_PRINTS:
            return None
        return self._inputs(bar, values, self._deliveries(numbers, rows)[number], None)

    def _numbers(self, resolution: Resolution) -> "Numbers":
        """Return the number of the bar that contains each row."""
        if resolution not in self._numbers_of:
            self._numbers_of[resolution] = self._numbering.numbers(self._rows, resolution)
        return self._numbers_of[resolution]

    def _portions(self, bars: Sequence[BarKey], numbers: "Numbers") -> Iterator[list[BarKey]]:
        """Split bars into portions of at most MAX_PRINTS uncertain prints, or of one bar."""
        import numpy as np

        distinct, prints_of = np.unique(numbers, return_counts=True)
        counts = dict(zip(distinct.tolist(), prints_of.tolist(), strict=True))
        portion: list[BarKey] = []
        prints = 0
        for bar in bars:
            more = counts.get(self._numbering.number(bar), 0)
            if portion and prints + more > MAX_PRINTS:
                yield portion
                portion, prints = [], 0
            portion.append(bar)
            prints += more
        if portion:
            yield portion

    def _inputs(
        self, bar: BarKey, values: ValuePair, deliveries: list[TradeDelivery], base: Tally | None
    ) -> BarInputs:
        daily = self._session if bar[0] is Resolution.DAY else None
        in_stream = sorted(deliveries, key=lambda delivery: delivery.trade.position)
        return BarInputs(*values, in_stream, base or Tally(), daily)

    def _uncertain(self, uncertain: UncertainPrints) -> "Numbers":
        marked = _numbers(self._rows, "received_ns") > uncertain.after_ns
        for flag in _FLAGS:
            marked |= _numbers(self._rows, flag)
        return marked | self._repeated() | uncertain.everything

    def _repeated(self) -> "Numbers":
        """Mark the trades that were delivered again: the first delivery as well as its repeats."""
        import pyarrow.compute as pc

        repeated = self._rows["id"].filter(self._rows["duplicate"]).unique()
        marked: Numbers = pc.is_in(self._rows["id"], repeated).to_numpy()
        return marked

    def _bases(
        self, numbers: "Numbers", selected: "Numbers", resolution: Resolution
    ) -> dict[int, Tally]:
        """Sum the selected rows by bar, in exact decimals."""
        import numpy as np
        import pyarrow as pa

        if resolution is Resolution.DAY:
            selected = selected & _numbers(self._rows, "in_day")
        indices = np.flatnonzero(selected)
        if not len(indices):
            return {}
        prints = self._rows.select(_SUMMED).take(indices)
        prints = prints.append_column("number", pa.array(numbers[indices]))
        sums = tallies_of(prints.append_column("row", pa.array(indices))).to_pylist()
        keys = self._order_keys({row[end] for row in sums for end in ("first", "last")} - {None})
        return {row["number"]: _tally(row, keys) for row in sums}

    def _order_keys(self, indices: Iterable[int]) -> dict[int, OrderKey]:
        """Return the place in the total order of the trades in some rows."""
        rows = sorted(indices)
        columns = _taken(self._rows, _ORDER, rows).to_pylist()
        return {
            row: order_key(
                each["event_ns"],
                each["sequence"],
                Position(*(each[name] for name in POSITION)),
            )
            for row, each in zip(rows, columns, strict=True)
        }

    def _deliveries(self, numbers: "Numbers", rows: "Numbers") -> dict[int, list[TradeDelivery]]:
        """Return the deliveries of some rows, by bar number."""
        if len(self._made) + len(rows) > MAX_PRINTS:
            self._made.clear()
        self._make([row for row in rows.tolist() if row not in self._made])
        by_bar: dict[int, list[TradeDelivery]] = defaultdict(list)
        for number, row in zip(numbers[rows].tolist(), rows.tolist(), strict=True):
            by_bar[number].append(self._made[row])
        return by_bar

    def _make(self, rows: Sequence[int]) -> None:
        """Make the deliveries of rows, and keep them for other bars with the same trades."""
        trades = self._trades(rows)
        flags = _taken(self._rows, [*_FLAGS, *_JUDGED], rows).to_pylist()
        originals, changes = self._amended()
        resends = {
            given_name(resend.correction): resend
            for resend in changes.resends.values()
            if self._session.contains(resend.of.event_ns)
        }
        for row, trade, flag in zip(rows, trades, flags, strict=True):
            position = trade.position
            self._made[row] = TradeDelivery(
                originals.get(position, trade),
                flag["duplicate"],
                tuple(changes.by_trade.get(position, ())),
                _judged(flag),
                resends.get(name_of(trade)) if flag["duplicate"] else None,
            )

    def _amended(self) -> tuple[Mapping[Position, Trade], Changes]:
        """Return corrected trades as first received, by position, and what amendments did to the
        trades; read once.
        """
        import numpy as np

        if self._amendments is None:
            corrected = _numbers(self._rows, "corrected")
            changed = corrected | _numbers(self._rows, "cancelled")
            originals = self._raw.originals(
                trade.position for trade in self._trades(np.flatnonzero(corrected))
            )
            now = self._trades(np.flatnonzero(changed))
            trades = [originals.get(trade.position, trade) for trade in now]
            amendments = self._raw.amendments(self._session, {name_of(trade) for trade in trades})
            trades += self._repeats_under(amendments)
            elsewhere = self._raw.elsewhere(self._session, amendments, trades)
            events = [*trades, *amendments, *elsewhere]
            changes = changes_of(
                [event for event in events if isinstance(event, Trade)],
                [event for event in events if not isinstance(event, Trade)],
                {self._venue.code: self._venue},
            )
            self._amendments = originals, changes
        return self._amendments

    def _repeats_under(self, amendments: Iterable[Amendment]) -> list[Trade]:
        """Return the repeats that came under an id which one of these corrections gave."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        names = {name for each in amendments if (name := given_name(each)) is not None}
        if not names:
            return []
        ids = pa.array(sorted({name[3] for name in names}), pa.string())
        is_named = pc.is_in(self._rows["id"], ids).to_numpy()
        rows = np.flatnonzero(is_named & _numbers(self._rows, "duplicate"))
        return [trade for trade in self._trades(rows) if name_of(trade) in names]

    def _trades(self, rows: "Sequence[int] | Numbers") -> list[Trade]:
        taken = _taken(self._rows, _TRADE, rows).to_pylist()
        events = [event_of(row | {"venue": self._venue.code}) for row in taken]
        return [event for event in events if isinstance(event, Trade)]


def profile_of(lake: str, session: Session) -> tuple[str, int]:
    """Return the profile of a session's last recompute, by id and version; "" and 0 before any."""
    bars = open_or_none(lake, Table.BARS)
    if bars is None:
        return "", 0
    rows = bars.head(1, ["profile", "profile_version"], session_condition(session)).to_pylist()
    return (rows[0]["profile"], rows[0]["profile_version"]) if rows else ("", 0)


@dataclass(frozen=True, slots=True)
class BarNumbering:
    """Numbers bars of a session: symbol and start as one integer. `wanted`: the bars' numbers."""

    session: Session
    symbols: Sequence[str]
    wanted: Mapping[Resolution, "Column"]

    @classmethod
    def of(cls, session: Session, bars: Iterable[BarKey]) -> "BarNumbering":
        """Number these bars."""
        import pyarrow as pa

        keys = list(bars)
        bare = cls(session, sorted({symbol for _, symbol, _ in keys}), {})
        codes = {symbol: code for code, symbol in enumerate(bare.symbols)}
        wanted: dict[Resolution, list[int]] = defaultdict(list)
        for resolution, symbol, start_ns in keys:
            wanted[resolution].append(bare._number(resolution, codes[symbol], start_ns))
        return replace(bare, wanted={each: pa.array(numbers) for each, numbers in wanted.items()})

    def number(self, bar: BarKey) -> int:
        """Return the number of a bar."""
        resolution, symbol, start_ns = bar
        return int(self._number(resolution, bisect_left(self.symbols, symbol), start_ns))

    def numbers(self, rows: "pyarrow.Table", resolution: Resolution) -> "Numbers":
        """Return the number of the bar that contains each row."""
        import pyarrow as pa
        import pyarrow.compute as pc

        codes = pc.index_in(rows["symbol"], value_set=pa.array(self.symbols, pa.string()))
        events = _numbers(rows, "event_ns")
        starts = events if resolution is Resolution.DAY else resolution.start_of(events)
        numbers: Numbers = self._number(resolution, codes.to_numpy().astype("int64"), starts)
        return numbers

    def contains(self, rows: "pyarrow.Table") -> "Column":
        """True for rows of the wanted bars."""
        import pyarrow as pa
        import pyarrow.compute as pc

        inside = [
            pc.is_in(pa.array(self.numbers(rows, resolution)), value_set=wanted)
            for resolution, wanted in self.wanted.items()
        ]
        return reduce(pc.or_, inside)

    @property
    def minutes(self) -> frozenset[int] | None:
        """Return the minutes that contain the wanted bars, None if a bar is wider."""
        if not self.wanted.keys() <= {Resolution.SECOND, Resolution.MINUTE}:
            return None
        starts = (
            number % _BARS_PER_SYMBOL * SECOND_NS
            for wanted in self.wanted.values()
            for number in wanted.to_numpy().tolist()
        )
        first_ns = self.session.start_ns - _HOUR_S * SECOND_NS
        return frozenset((first_ns + start) // _MINUTE_NS for start in starts)

    def _number(self, resolution: Resolution, code: Any, start_ns: Any) -> Any:
        """Number a start within its session, never below 0: if a session begins within an hour of
        UTC, its 1h bar starts before it.
        """
        if resolution is Resolution.DAY:
            return code * _BARS_PER_SYMBOL
        start = (start_ns - self.session.start_ns) // SECOND_NS + _HOUR_S
        return code * _BARS_PER_SYMBOL + start


class SessionTrades:
    """Reads the trades of bars of a session from the lake. Keeps those of the minutes that were
    read: the next bars often differ in the same minutes, and a scan reads the whole session.
    """

    def __init__(self, lake: str, session: Session) -> None:
        self.lake, self.session = lake, session
        self._minutes: frozenset[int] = frozenset()
        self._kept = [_empty()]

    def of(self, numbering: BarNumbering) -> "pyarrow.Table":
        """Return the trades of the wanted bars."""
        import pyarrow as pa

        if numbering.minutes is None or not self._keep(numbering.minutes - self._minutes):
            return self._read(_of_symbols(numbering), numbering)
        kept = pa.concat_tables(self._kept).filter(_of_symbols(numbering))
        return kept.filter(numbering.contains(kept)).combine_chunks()

    def _keep(self, minutes: frozenset[int]) -> bool:
        """Read all trades of these minutes. Return False if MAX_KEPT is too small for them."""
        if not minutes:
            return True
        condition = _of_minutes(minutes)
        count = open_table(self.lake, Table.TRADES).count(self._of_session(condition))
        if count + sum(rows.num_rows for rows in self._kept) > MAX_KEPT:
            self._minutes, self._kept = frozenset(), [_empty()]
            return False
        self._kept.append(self._read(condition))
        self._minutes |= minutes
        return True

    def _read(
        self, condition: "Expression", numbering: BarNumbering | None = None
    ) -> "pyarrow.Table":
        """Read trades batch by batch; with a numbering only those of the wanted bars."""
        import pyarrow as pa

        parts = [_empty()]
        table = open_table(self.lake, Table.TRADES)
        for batch in table.batches(_COLUMNS, self._of_session(condition)):
            rows = pa.Table.from_batches([batch])
            parts.append(rows if numbering is None else rows.filter(numbering.contains(rows)))
        return pa.concat_tables(parts, promote_options="permissive").combine_chunks()

    def _of_session(self, condition: "Expression") -> "Expression":
        return session_condition(self.session) & condition


def _of_symbols(numbering: BarNumbering) -> "Expression":
    import pyarrow.compute as pc

    is_wanted: Expression = pc.field("symbol").isin(numbering.symbols)
    return is_wanted


def _of_minutes(minutes: Iterable[int]) -> "Expression":
    import pyarrow.compute as pc

    is_inside: Expression = pc.divide(pc.field("event_ns"), _MINUTE_NS).isin(sorted(minutes))
    return is_inside


def _empty() -> "pyarrow.Table":
    import pyarrow as pa

    return pa.schema([TRADES.field(name) for name in _COLUMNS]).empty_table()


def _taken(
    table: "pyarrow.Table", columns: Sequence[str], rows: "Sequence[int] | Numbers"
) -> "pyarrow.Table":
    import pyarrow as pa

    return table.select(list(columns)).take(pa.array(rows, pa.int64()))


def _numbers(rows: "pyarrow.Table", name: str) -> "Numbers":
    column: Numbers = rows[name].to_numpy()
    return column


def _tally(row: Mapping[str, Any], keys: Mapping[int, OrderKey]) -> Tally:
    return Tally(
        first=_end(keys, row["first"], row["open"]),
        high=row["high"],
        low=row["low"],
        last=_end(keys, row["last"], row["close"]),
        volume=row["volume"],
        notional=row["notional"],
        priced_volume=row["priced_volume"],
        trades=row["trades"],
    )


def _end(keys: Mapping[int, OrderKey], row: int | None, price: Decimal) -> Price | None:
    return None if row is None else (keys[row], price)


def _judged(row: Mapping[str, bool]) -> Eligibility:
    return Eligibility(
        open_close=row["open_close"],
        high_low=row["high_low"],
        volume=row["counts"],
        auction=row["auction"],
        known=row["known"],
    )
