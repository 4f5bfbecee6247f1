"""A recomputed session made by the reference and put into a lake without Spark, row by row.

The rows are plain dictionaries, so that a test can break one on purpose and write the lake anew.
"""

import pickle
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from support.build import SECOND, VENUES, at, cancel, correction, trade
from truetape.feeds.native import encode
from truetape.host.calendars import session as session_on
from truetape.host.profiles import load
from truetape.host.venues import venues
from truetape.lake.schemas import BARS, RAW, TRADES
from truetape.market.bars import Tally, merge, tally, vwap
from truetape.market.canonical import canonical
from truetape.market.resolution import INTRADAY, Resolution
from truetape.market.sessions import Session
from truetape.market.trades import Correction, Event, Position, Trade, notional

Row = dict[str, Any]
FRIDAY = session_on(VENUES["XNYS"], date(2024, 11, 22))
"""A full session that is long over, so that no amendment is waited for."""
OPEN, NOON, CLOSE = (at(f"2024-11-22T{time}:00") for time in ("14:30", "17:00", "21:00"))
THURSDAY = date(2024, 11, 21)
LATE_NS = 60 * SECOND


@dataclass(slots=True)
class LakeSession:
    """The rows of one session in `raw`, `trades` and `bars`, and the schemas they have."""

    session: Session
    raw: list[Row]
    trades: list[Row]
    bars: list[Row]
    before: list[Row]
    """Trades of the session before, which the lake has too."""
    schemas: dict[str, pa.Schema]

    def copy(self) -> "LakeSession":
        """Return the same rows to break."""
        copied: LakeSession = pickle.loads(pickle.dumps(self))  # noqa: S301 - five times as fast as deepcopy
        return copied

    def write(self, lake: str) -> None:
        """Replace all three tables of a lake."""
        parts = {"raw": ["date"], "trades": ["venue", "session"], "bars": ["venue", "session"]}
        for name, keys in parts.items():
            rows = getattr(self, name) + (self.before if name == "trades" else [])
            table = pa.Table.from_pylist(rows, schema=self.schemas[name])
            path = f"{lake}/{name}"
            write_deltalake(
                path, table, mode="overwrite", schema_mode="overwrite", partition_by=keys
            )

    def fold(self) -> None:
        """Make the bars anew from the trades' rows, as a recompute would have."""
        self.bars = bar_rows(self.trades, self.session)

    def trade(self, symbol: str, number: int = 0) -> Row:
        """Return a symbol's trade in force, by its place in time."""
        return [
            row
            for row in self.trades
            if row["symbol"] == symbol and not row["duplicate"] and not row["cancelled"]
        ][number]

    def bar(self, symbol: str, resolution: str, number: int = 0) -> Row:
        """Return a symbol's bar of a width, by its place in time."""
        return [
            row for row in self.bars if (row["symbol"], row["resolution"]) == (symbol, resolution)
        ][number]


def lake_session(
    events: Iterable[Event], session: Session = FRIDAY, profile: str = "sip"
) -> LakeSession:
    """Archive, settle and fold events by the reference: one Kafka record an event, by receipt, and
    one record in their midst that is no trade.
    """
    arrived = sorted(events, key=lambda event: event.received_ns)
    middle = len(arrived) // 2
    placed = [
        replace(event, position=Position("trades", 0, number + (number >= middle)))
        for number, event in enumerate(arrived)
    ]
    trades = trade_rows(placed, session, profile)
    return LakeSession(
        session,
        [*map(raw_row, placed), _heartbeat(middle, arrived[middle].received_ns)],
        trades,
        bar_rows(trades, session, profile),
        [trades[0] | {"session": THURSDAY, "id": "900", "event_ns": session.start_ns - SECOND}],
        {"raw": RAW, "trades": TRADES, "bars": BARS},
    )


def good_events() -> list[Event]:
    """A quiet day of two symbols, and one that trades once: a repeat delivery, a cancel, a
    correction, an odd lot, a closing auction printed late.
    """
    events: list[Event] = []
    for symbol, price in (("IBM", 18_000), ("KO", 6_000)):
        for number in range(40):
            when = OPEN + number * 7 * SECOND + (number // 10) * 1_800 * SECOND
            events.append(
                trade(
                    f"{Decimal(price + number % 7).scaleb(-2)}",
                    str(100 + number),
                    symbol=symbol,
                    id=str(1_000 + number),
                    event_ns=when,
                    received_ns=when + SECOND // 10,
                    conditions=("@", "I") if number == 5 else ("@",),
                    tape="A",
                    exchange="N",
                )
            )
        again = next(one for one in events if one.symbol == symbol and one.id == "1003")
        events += [
            replace(again, received_ns=again.received_ns + 2 * SECOND),
            cancel("1008", OPEN + 3_000 * SECOND, symbol=symbol),
            correction("1009", f"{Decimal(price + 1).scaleb(-2)}", "50", OPEN + 3_001 * SECOND,
                       symbol=symbol),
            trade(
                f"{Decimal(price + 2).scaleb(-2)}", "5000", symbol=symbol, id="2000",
                event_ns=CLOSE + 20 * SECOND, received_ns=CLOSE + 21 * SECOND,
                conditions=("6",), tape="A", exchange="N",
            ),
        ]  # fmt: skip
    events.append(
        trade("50", "100", symbol="SOLO", id="1", event_ns=NOON, received_ns=NOON + SECOND,
              conditions=("@",), tape="A", exchange="N")
    )  # fmt: skip
    return in_places(events)


def in_places(events: Sequence[Event]) -> list[Event]:
    """Give events the positions of records in their order."""
    return [
        replace(event, position=Position("trades", 0, offset))
        for offset, event in enumerate(events)
    ]


def trade_rows(events: Sequence[Event], session: Session, profile: str) -> list[Row]:
    """Return the rows of `trades` that the reference makes of events."""
    settled = canonical(events, venues()).trades
    ordinals: dict[str, int] = defaultdict(int)
    rows = []
    for item in settled:
        one = item.trade
        if not session.contains(one.event_ns):
            continue
        judged = load(profile).judge(one.conditions, one.tape)
        ordinals[one.symbol] += 1
        rows.append(
            {
                "venue": one.venue,
                "session": session.date,
                "ordinal": ordinals[one.symbol],
                **_values(one),
                "feed": one.feed,
                "topic": one.position.topic,
                "partition": one.position.partition,
                "offset": one.position.offset,
                "index": one.position.index,
                "duplicate": item.duplicate,
                "cancelled": item.cancelled,
                "corrected": item.corrected,
                "late": one.received_ns - one.event_ns > LATE_NS,
                "in_day": session.is_in_day(one.event_ns, auction=judged.auction),
                "open_close": judged.open_close,
                "high_low": judged.high_low,
                "counts": judged.volume,
                "auction": judged.auction,
                "known": judged.known,
            }
        )
    return rows


def bar_rows(trades: Sequence[Row], session: Session, profile: str = "sip") -> list[Row]:
    """Return the rows of `bars` that the reference folds rows of `trades` into."""
    totals: dict[tuple[str, str, int], Tally] = defaultdict(Tally)
    ends: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for row in trades:
        if row["duplicate"] or row["cancelled"]:
            continue
        starts = [(one.value, one.start_of(row["event_ns"])) for one in INTRADAY]
        if row["in_day"] and session.open_ns is not None:
            starts.append((Resolution.DAY.value, session.open_ns))
        for resolution, start in starts:
            key = (row["symbol"], resolution, start)
            totals[key] = merge(totals[key], _single(row))
            ends[key] += [row["ordinal"]] if row["open_close"] else []
    return [_bar(key, total, ends[key], session, profile) for key, total in sorted(totals.items())]


def _single(row: Row) -> Tally:
    place = Position(row["topic"], row["partition"], row["offset"], row["index"])
    one = trade(row["price"], row["size"], event_ns=row["event_ns"], sequence=row["ordinal"])
    judged = load("all").judge(())
    return tally(
        replace(one, position=place),
        replace(
            judged,
            open_close=row["open_close"],
            high_low=row["high_low"],
            volume=row["counts"],
        ),
    )


def _bar(
    key: tuple[str, str, int], total: Tally, ends: list[int], session: Session, profile: str
) -> Row:
    symbol, resolution, start = key
    width = Resolution(resolution).width_ns
    prices = {
        "open": total.first[1] if total.first else None,
        "high": total.high,
        "low": total.low,
        "close": total.last[1] if total.last else None,
    }
    return {
        "venue": session.venue,
        "session": session.date,
        "symbol": symbol,
        "resolution": resolution,
        "start_ns": start,
        "seq": 0 if resolution == "1d" else (start - session.start_ns) // width,
        **prices,
        "volume": total.volume,
        "vwap": vwap(total.notional, total.priced_volume),
        "trades": total.trades,
        "notional": total.notional,
        "priced_volume": total.priced_volume,
        "first": min(ends, default=None),
        "last": max(ends, default=None),
        "served": None not in prices.values(),
        "profile": profile,
        "profile_version": load(profile).version,
    }


def raw_row(event: Event) -> Row:
    """Return the row of `raw` that archiving one event makes."""
    when = event.event_ns
    kind = type(event).__name__.lower()
    values = _values(event) if isinstance(event, Trade) else _amended(event)
    return {
        "topic": event.position.topic,
        "partition": event.position.partition,
        "offset": event.position.offset,
        "record_ms": event.received_ns // 1_000_000,
        "key": event.symbol,
        "value": encode(event).encode(),
        "feed": event.feed,
        "received_ns": event.received_ns,
        "contract_version": 1,
        "date": None if when is None else date.fromordinal(719_163 + when // (86_400 * SECOND)),
        "first_event_ns": when,
        "last_event_ns": when,
        "amends": kind != "trade",
        "accepted": 1,
        "rejections": 0,
        "events": [
            {"index": 0, "kind": "correct" if kind == "correction" else kind, "venue": event.venue}
            | values
        ],
        "rejected": [],
    }


def _heartbeat(offset: int, received_ns: int) -> Row:
    empty = dict.fromkeys(RAW.names)
    return empty | {
        "topic": "trades",
        "partition": 0,
        "offset": offset,
        "value": b'{"type":"heartbeat"}',
        "feed": "truetape",
        "accepted": 0,
        "received_ns": received_ns,
        "amends": False,
        "rejections": 1,
        "events": [],
        "rejected": [{"index": 0, "reason": "not-a-trade", "detail": ""}],
    }


def _values(one: Trade) -> Row:
    names = ("symbol", "id", "sequence", "event_ns", "received_ns", "price", "size", "tape",
             "exchange")  # fmt: skip
    values = {name: getattr(one, name) for name in names}
    amount = notional(one.price, one.size)
    return values | {"notional": amount, "conditions": list(one.conditions)}


def _amended(event: Any) -> Row:
    names = ("symbol", "id", "event_ns", "received_ns", "price", "size")
    values = {name: getattr(event, name, None) for name in names}
    amount = notional(event.price, event.size) if isinstance(event, Correction) else None
    return values | {"notional": amount}
