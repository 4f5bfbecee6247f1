"""Reads, from the lake's `trades`, what is needed to explain bars that changed. Without Spark.

Prints that both sides count alike are added up by Arrow, one tally a bar; only those that could
make a difference become objects. So the cost grows with what differs, plus one look at the columns
of the symbols concerned.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from truetape.drift.attribution_inputs import BarInputs, BarValues, TradeDelivery
from truetape.lake.delta import open_or_none, open_table
from truetape.lake.events import RawEvents
from truetape.lake.tables import Table, session_filters
from truetape.market.bars import Price, Tally
from truetape.market.canonical import amendments_of
from truetape.market.eligibility import Eligibility
from truetape.market.resolution import SECOND_NS, Resolution
from truetape.market.sessions import Session, Venue
from truetape.market.trades import Amendment, Position, Trade

if TYPE_CHECKING:
    import numpy
    import pyarrow

    Numbers = numpy.ndarray[Any, Any]

MAX_PRINTS = 200_000
"""Most prints that are objects at a time: about two kilobytes of memory each."""

_TRADE = [
    "feed", "symbol", "id", "sequence", "event_ns", "received_ns", "price", "size", "conditions",
    "tape", "exchange", "topic", "partition", "offset", "index",
]  # fmt: skip
_FLAGS = ["duplicate", "cancelled", "corrected", "late"]
_JUDGED = ["open_close", "high_low", "counts", "auction", "known"]
_BARS_PER_SYMBOL = 1 << 20
"""More than any session has at one resolution."""
_HOUR_S = 3_600
_EXACT_TERM, _EXACT_SUM = (37, 17), (38, 17)

BarKey = tuple[Resolution, str, int]
"""Resolution, symbol, start."""
ValuePair = tuple[BarValues, BarValues]
"""A bar as served and as recomputed."""


@dataclass(frozen=True, slots=True)
class UncertainPrints:
    """Which prints the two sides may count differently, beside those that are flagged: those
    received after `after_ns`, and all of them where the sides judge by different profiles.
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

    def windows(
        self, bars: Mapping[BarKey, ValuePair], doubts: UncertainPrints
    ) -> Iterator[tuple[BarKey, BarInputs]]:
        """Yield a window for each bar; the prints that are beyond doubt are in its `base`."""
        import numpy as np

        doubtful = self._doubtful(doubts)
        by_resolution: dict[Resolution, list[BarKey]] = defaultdict(list)
        for place in bars:
            by_resolution[place[0]].append(place)
        for resolution, places in by_resolution.items():
            keys = self._keys(resolution)
            chosen = np.isin(keys, [self._key(place) for place in places])
            bases = self._bases(keys, chosen & ~doubtful, resolution)
            for some in self._portions(places, keys[chosen & doubtful]):
                mine = np.isin(keys, [self._key(place) for place in some])
                found = self._deliveries(keys, np.flatnonzero(mine & doubtful))
                for place in some:
                    key = self._key(place)
                    yield place, self._window(place, bars[place], found[key], bases.get(key))

    def whole(self, place: BarKey, sides: ValuePair) -> BarInputs | None:
        """Return the window of one bar with every print spelt out; None for over MAX_PRINTS."""
        import numpy as np

        keys = self._keys(place[0])
        rows = np.flatnonzero(keys == self._key(place))
        if len(rows) > MAX_PRINTS:
            return None
        return self._window(place, sides, self._deliveries(keys, rows)[self._key(place)], None)

    def _portions(self, places: Sequence[BarKey], keys: "Numbers") -> Iterator[list[BarKey]]:
        """Split bars so that those of a portion have MAX_PRINTS doubtful prints, or are one."""
        import numpy as np

        counts = dict(
            zip(*(one.tolist() for one in np.unique(keys, return_counts=True)), strict=True)
        )
        portion: list[BarKey] = []
        prints = 0
        for place in places:
            more = counts.get(self._key(place), 0)
            if portion and prints + more > MAX_PRINTS:
                yield portion
                portion, prints = [], 0
            portion.append(place)
            prints += more
        if portion:
            yield portion

    def _window(
        self, place: BarKey, sides: ValuePair, found: list[TradeDelivery], base: Tally | None
    ) -> BarInputs:
        daily = self._session if place[0] is Resolution.DAY else None
        in_stream = sorted(found, key=lambda one: one.trade.position)
        return BarInputs(*sides, in_stream, base or Tally(), daily)

    def _doubtful(self, doubts: UncertainPrints) -> "Numbers":
        found = _numbers(self._rows, "received_ns") > doubts.after_ns
        for flag in _FLAGS:
            found |= _numbers(self._rows, flag)
        return found | self._repeated() | doubts.everything

    def _repeated(self) -> "Numbers":
        """Mark the trades that were delivered again: a repeat is one beside its first delivery."""
        import pyarrow.compute as pc

        again = self._rows["id"].filter(self._rows["duplicate"]).unique()
        marked: Numbers = pc.is_in(self._rows["id"], again).to_numpy()
        return marked

    def _keys(self, resolution: Resolution) -> "Numbers":
        """Number the bar of each row: symbol and start as one whole number."""
        symbols: Numbers = self._symbols * _BARS_PER_SYMBOL
        if resolution is Resolution.DAY:
            return symbols
        events = _numbers(self._rows, "event_ns")
        symbols += _place(resolution.start_of(events), self._session)
        return symbols

    def _key(self, place: BarKey) -> int:
        resolution, symbol, start_ns = place
        code = self._codes.get(symbol, -1) * _BARS_PER_SYMBOL
        return code if resolution is Resolution.DAY else code + _place(start_ns, self._session)

    def _bases(
        self, keys: "Numbers", chosen: "Numbers", resolution: Resolution
    ) -> dict[int, Tally]:
        """Add up rows by bar, in exact decimals."""
        import numpy as np

        if resolution is Resolution.DAY:
            chosen = chosen & _numbers(self._rows, "in_day")
        places = np.flatnonzero(chosen)
        if not len(places):
            return {}
        ranks = (self._symbols << 40) + _numbers(self._rows, "ordinal")
        found = _sums(self._rows.take(places), keys[places], ranks[places]).to_pylist()
        ends = {rank for row in found for rank in (row["rank_min"], row["rank_max"])} - {None}
        wanted = np.array(sorted(ends), dtype=np.int64)
        order = np.argsort(ranks)
        rows = order[np.searchsorted(ranks, wanted, sorter=order)]
        firsts = dict(zip(wanted.tolist(), self._trades(rows), strict=True))
        return {row["key"]: _tally(row, firsts) for row in found}

    def _deliveries(self, keys: "Numbers", rows: "Numbers") -> dict[int, list[TradeDelivery]]:
        """Return the deliveries that rows stand for, by the number of their bar."""
        trades = self._trades(rows)
        flags = self._rows.select([*_FLAGS, *_JUDGED]).take(rows).to_pylist()
        originals, meant = self._amended()
        found: dict[int, list[TradeDelivery]] = defaultdict(list)
        for key, trade, flag in zip(keys[rows].tolist(), trades, flags, strict=True):
            place = trade.position
            found[key].append(
                TradeDelivery(
                    originals.get(place, trade),
                    flag["duplicate"],
                    tuple(meant.get(place, ())),
                    _judged(flag),
                )
            )
        return found

    def _amended(self) -> tuple[Mapping[Position, Trade], Mapping[Position, list[Amendment]]]:
        """Read, once, what amended trades were before, and by what they were amended."""
        import numpy as np

        if self._amendments is None:
            corrected = _numbers(self._rows, "corrected")
            changed = corrected | _numbers(self._rows, "cancelled")
            originals = self._raw.originals(
                one.position for one in self._trades(np.flatnonzero(corrected))
            )
            trades = self._trades(np.flatnonzero(changed))
            names = {(one.feed, one.symbol, one.id or "") for one in trades}
            amendments = self._raw.amendments(self._session, names)
            named = [*trades, *self._raw.elsewhere(self._session, amendments, trades)]
            meant = amendments_of(named, amendments, {self._venue.code: self._venue})
            self._amendments = originals, meant
        return self._amendments

    def _trades(self, rows: "Numbers") -> list[Trade]:
        taken = self._rows.select(_TRADE).take(rows).to_pylist()
        return [_trade(row, self._venue.code) for row in taken]


def profile_of(lake: str, session: Session) -> tuple[str, int]:
    """Return the profile of a session's last recompute, by id and version; "" and 0 before any."""
    import pyarrow as pa
    import pyarrow.compute as pc

    mine = (pc.field("venue") == session.venue) & (pc.field("session") == pa.scalar(session.date))
    bars = open_or_none(lake, Table.BARS)
    if bars is None:
        return "", 0
    rows = (
        bars.to_pyarrow_dataset()
        .scanner(columns=["profile", "profile_version"], filter=mine)
        .head(1)
        .to_pylist()
    )
    return (rows[0]["profile"], rows[0]["profile_version"]) if rows else ("", 0)


def _read(lake: str, session: Session, symbols: Sequence[str]) -> "pyarrow.Table":
    table = open_table(lake, Table.TRADES)
    chosen = [
        *session_filters(session),
        ("symbol", "in", list(symbols)),
    ]
    columns = [*_TRADE, *_FLAGS, *_JUDGED, "ordinal", "in_day"]
    return table.to_pyarrow_table(filters=chosen, columns=columns)


def _place(start_ns: Any, session: Session) -> Any:
    """Number a start: an hour may begin before its session, where midnight is between two."""
    return (start_ns - session.start_ns) // SECOND_NS + _HOUR_S


def _numbers(rows: "pyarrow.Table", name: str) -> "Numbers":
    column: Numbers = rows[name].to_numpy()
    return column


def _sums(rows: "pyarrow.Table", keys: "Numbers", ranks: "Numbers") -> "pyarrow.Table":
    """Aggregate rows by key into the terms of `market.bars.Tally`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def where(condition: Any, value: Any) -> Any:
        return pc.if_else(condition, value, pa.scalar(None, value.type))

    counts, both = rows["counts"], pc.and_(rows["counts"], rows["high_low"])
    notional = pc.multiply(rows["price"], rows["size"]).cast(pa.decimal128(*_EXACT_TERM))
    table = pa.table(
        {
            "key": keys,
            "rank": where(rows["open_close"], pa.chunked_array([ranks])),
            "price": where(rows["high_low"], rows["price"]),
            "volume": where(counts, rows["size"]),
            "priced": where(both, rows["size"]),
            "notional": where(both, notional),
            "trades": pc.cast(counts, pa.int64()),
        }
    )
    return table.group_by("key").aggregate(
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


def _trade(row: Mapping[str, Any], venue: str) -> Trade:
    position = Position(row["topic"], row["partition"], row["offset"], row["index"])
    values = {
        name: row[name]
        for name in ("feed", "symbol", "id", "sequence", "event_ns", "received_ns", "price",
                     "size", "tape", "exchange")
    }  # fmt: skip
    return Trade(
        venue=venue, conditions=tuple(row["conditions"] or ()), position=position, **values
    )
