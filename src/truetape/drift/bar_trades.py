"""Reads the trades of bars that changed from the lake's `trades`, to explain the change.

Uses no Spark and explains nothing itself. Arrow sums the prints that served and recomputed bar
count alike, one tally a bar; only the uncertain prints become objects. So the cost grows with the
differences, plus one scan of the columns of the symbols concerned.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from truetape.drift.attribution_inputs import BarInputs, BarValues, TradeDelivery
from truetape.kernel.events import event_of
from truetape.lake.delta import open_or_none, open_table
from truetape.lake.events import RawEvents
from truetape.lake.tables import Table, session_filters
from truetape.market.bars import Price, Tally
from truetape.market.canonical import amendments_of, name_of
from truetape.market.eligibility import Eligibility
from truetape.market.resolution import SECOND_NS, Resolution
from truetape.market.sessions import Session, Venue
from truetape.market.trades import Amendment, Position, Trade

if TYPE_CHECKING:
    import numpy
    import pyarrow

    Numbers = numpy.ndarray[Any, Any]

MAX_PRINTS = 200_000
"""Most prints that are Python objects at a time: about two kilobytes of memory each."""

_TRADE = [
    "feed", "symbol", "id", "sequence", "event_ns", "received_ns", "price", "size", "conditions",
    "tape", "exchange", "topic", "partition", "offset", "index",
]  # fmt: skip
_FLAGS = ["duplicate", "cancelled", "corrected", "late"]
_JUDGED = ["open_close", "high_low", "counts", "auction", "known"]
_BARS_PER_SYMBOL = 1 << 20
"""More bars than any session has at one resolution."""
_HOUR_S = 3_600
_EXACT_TERM = (37, 17)

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
    """The trades of some symbols of a session, as the last recompute settled them."""

    def __init__(self, lake: str, venue: Venue, session: Session, symbols: Iterable[str]) -> None:
        self._session = session
        self._venue = venue
        self._raw = RawEvents(lake)
        self._rows = _read(lake, session, sorted(symbols))
        encoded = self._rows["symbol"].combine_chunks().dictionary_encode()
        self._codes = {name: code for code, name in enumerate(encoded.dictionary.to_pylist())}
        self._symbols = encoded.indices.to_numpy(zero_copy_only=False).astype("int64")
        self._amendments: (
            tuple[Mapping[Position, Trade], Mapping[Position, list[Amendment]]] | None
        ) = None

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
            numbers = self._bar_numbers(resolution)
            selected = np.isin(numbers, [self._bar_number(bar) for bar in group])
            bases = self._bases(numbers, selected & ~is_uncertain, resolution)
            for portion in self._portions(group, numbers[selected & is_uncertain]):
                in_portion = np.isin(numbers, [self._bar_number(bar) for bar in portion])
                deliveries = self._deliveries(numbers, np.flatnonzero(in_portion & is_uncertain))
                for bar in portion:
                    number = self._bar_number(bar)
                    yield bar, self._inputs(bar, bars[bar], deliveries[number], bases.get(number))

    def inputs_with_every_print(self, bar: BarKey, values: ValuePair) -> BarInputs | None:
        """Return the inputs of one bar with each print as a delivery; None above MAX_PRINTS."""
        import numpy as np

        numbers, number = self._bar_numbers(bar[0]), self._bar_number(bar)
        rows = np.flatnonzero(numbers == number)
        if len(rows) > MAX_PRINTS:
            return None
        return self._inputs(bar, values, self._deliveries(numbers, rows)[number], None)

    def _portions(self, bars: Sequence[BarKey], numbers: "Numbers") -> Iterator[list[BarKey]]:
        """Split bars into portions of at most MAX_PRINTS uncertain prints, or of one bar."""
        import numpy as np

        distinct, prints_of = np.unique(numbers, return_counts=True)
        counts = dict(zip(distinct.tolist(), prints_of.tolist(), strict=True))
        portion: list[BarKey] = []
        prints = 0
        for bar in bars:
            more = counts.get(self._bar_number(bar), 0)
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

    def _bar_numbers(self, resolution: Resolution) -> "Numbers":
        """Number the bar of each row: symbol and start as one integer."""
        symbols: Numbers = self._symbols * _BARS_PER_SYMBOL
        if resolution is Resolution.DAY:
            return symbols
        events = _numbers(self._rows, "event_ns")
        symbols += _start_number(resolution.start_of(events), self._session)
        return symbols

    def _bar_number(self, bar: BarKey) -> int:
        resolution, symbol, start_ns = bar
        code = self._codes.get(symbol, -1) * _BARS_PER_SYMBOL
        start: int = _start_number(start_ns, self._session)
        return code if resolution is Resolution.DAY else code + start

    def _bases(
        self, numbers: "Numbers", selected: "Numbers", resolution: Resolution
    ) -> dict[int, Tally]:
        """Sum the selected rows by bar, in exact decimals."""
        import numpy as np

        if resolution is Resolution.DAY:
            selected = selected & _numbers(self._rows, "in_day")
        indices = np.flatnonzero(selected)
        if not len(indices):
            return {}
        ranks = (self._symbols << 40) + _numbers(self._rows, "ordinal")
        sums = _sums(self._rows.take(indices), numbers[indices], ranks[indices]).to_pylist()
        ends = {rank for row in sums for rank in (row["rank_min"], row["rank_max"])} - {None}
        end_ranks = np.array(sorted(ends), dtype=np.int64)
        order = np.argsort(ranks)
        rows = order[np.searchsorted(ranks, end_ranks, sorter=order)]
        trade_of_rank = dict(zip(end_ranks.tolist(), self._trades(rows), strict=True))
        return {row["number"]: _tally(row, trade_of_rank) for row in sums}

    def _deliveries(self, numbers: "Numbers", rows: "Numbers") -> dict[int, list[TradeDelivery]]:
        """Return the deliveries of some rows, by bar number."""
        trades = self._trades(rows)
        flags = self._rows.select([*_FLAGS, *_JUDGED]).take(rows).to_pylist()
        originals, amendments = self._amended()
        by_bar: dict[int, list[TradeDelivery]] = defaultdict(list)
        for number, trade, flag in zip(numbers[rows].tolist(), trades, flags, strict=True):
            position = trade.position
            by_bar[number].append(
                TradeDelivery(
                    originals.get(position, trade),
                    flag["duplicate"],
                    tuple(amendments.get(position, ())),
                    _judged(flag),
                )
            )
        return by_bar

    def _amended(self) -> tuple[Mapping[Position, Trade], Mapping[Position, list[Amendment]]]:
        """Return corrected trades as first received, and amendments, by position; read once."""
        import numpy as np

        if self._amendments is None:
            corrected = _numbers(self._rows, "corrected")
            changed = corrected | _numbers(self._rows, "cancelled")
            originals = self._raw.originals(
                trade.position for trade in self._trades(np.flatnonzero(corrected))
            )
            trades = self._trades(np.flatnonzero(changed))
            names = {name_of(trade) for trade in trades}
            amendments = self._raw.amendments(self._session, names)
            candidates = [*trades, *self._raw.elsewhere(self._session, amendments, trades)]
            by_trade = amendments_of(candidates, amendments, {self._venue.code: self._venue})
            self._amendments = originals, by_trade
        return self._amendments

    def _trades(self, rows: "Numbers") -> list[Trade]:
        taken = self._rows.select(_TRADE).take(rows).to_pylist()
        events = [event_of(row | {"venue": self._venue.code}) for row in taken]
        return [event for event in events if isinstance(event, Trade)]


def profile_of(lake: str, session: Session) -> tuple[str, int]:
    """Return the profile of a session's last recompute, by id and version; "" and 0 before any."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_in_session = (pc.field("venue") == session.venue) & (
        pc.field("session") == pa.scalar(session.date)
    )
    bars = open_or_none(lake, Table.BARS)
    if bars is None:
        return "", 0
    rows = bars.head(1, ["profile", "profile_version"], is_in_session).to_pylist()
    return (rows[0]["profile"], rows[0]["profile_version"]) if rows else ("", 0)


def _read(lake: str, session: Session, symbols: Sequence[str]) -> "pyarrow.Table":
    filters = [*session_filters(session), ("symbol", "in", list(symbols))]
    columns = [*_TRADE, *_FLAGS, *_JUDGED, "ordinal", "in_day"]
    return open_table(lake, Table.TRADES).rows(filters, columns)


def _start_number(start_ns: Any, session: Session) -> Any:
    """Number a start within its session, never below 0: if midnight falls within an hour, the 1h
    bar starts before the session.
    """
    return (start_ns - session.start_ns) // SECOND_NS + _HOUR_S


def _numbers(rows: "pyarrow.Table", name: str) -> "Numbers":
    column: Numbers = rows[name].to_numpy()
    return column


def _sums(rows: "pyarrow.Table", numbers: "Numbers", ranks: "Numbers") -> "pyarrow.Table":
    """Aggregate rows by bar number into the terms of `market.bars.Tally`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def where(condition: Any, value: Any) -> Any:
        return pc.if_else(condition, value, pa.scalar(None, value.type))

    counts, both = rows["counts"], pc.and_(rows["counts"], rows["high_low"])
    notional = pc.multiply(rows["price"], rows["size"]).cast(pa.decimal128(*_EXACT_TERM))
    table = pa.table(
        {
            "number": numbers,
            "rank": where(rows["open_close"], pa.chunked_array([ranks])),
            "price": where(rows["high_low"], rows["price"]),
            "volume": where(counts, rows["size"]),
            "priced": where(both, rows["size"]),
            "notional": where(both, notional),
            "trades": pc.cast(counts, pa.int64()),
        }
    )
    return table.group_by("number").aggregate(
        [
            ("rank", "min"), ("rank", "max"), ("price", "min"), ("price", "max"),
            ("volume", "sum"), ("priced", "sum"), ("notional", "sum"), ("trades", "sum"),
        ]
    )  # fmt: skip


def _tally(row: Mapping[str, Any], trades: Mapping[int, Trade]) -> Tally:
    return Tally(
        first=_end(trades.get(row["rank_min"])),
        high=row["price_max"],
        low=row["price_min"],
        last=_end(trades.get(row["rank_max"])),
        volume=row["volume_sum"] or Decimal(0),
        notional=row["notional_sum"] or Decimal(0),
        priced_volume=row["priced_sum"] or Decimal(0),
        trades=row["trades_sum"],
    )


def _end(trade: Trade | None) -> Price | None:
    return None if trade is None else (trade.order, trade.price)


def _judged(row: Mapping[str, bool]) -> Eligibility:
    return Eligibility(
        open_close=row["open_close"],
        high_low=row["high_low"],
        volume=row["counts"],
        auction=row["auction"],
        known=row["known"],
    )
