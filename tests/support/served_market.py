"""A served market for boards to look at: two sessions folded by the reference, everything in them.

Final, provisional and void bars, indicators, odd symbols, and each measurement of the pipeline.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from support.serving import bar
from truetape.broker.boundary import Boundary
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host import calendars
from truetape.host.profiles import load
from truetape.host.venues import venues
from truetape.market.bars import Bar, bars
from truetape.market.canonical import canonical
from truetape.market.ranges import Ranges
from truetape.market.resolution import SECOND_NS, Resolution
from truetape.market.sessions import Session
from truetape.publish.diff import Change
from truetape.publish.events import publication_points
from truetape.publish.publication import Published
from truetape.quality.metrics import FEEDS
from truetape.schedule.archive_tasks import archive_point
from truetape.serving.indicator_table import table_of
from truetape.serving.store import BarStore, IndicatorRow, Point, ServedBar
from truetape.speed.metrics import BarCounts, points
from truetape.speed.progress import BatchReport

VENUE = "XNYS"
SYMBOLS = ("GE", "IBM", "KO")
ODD = (("BRK.B", VENUE), ("BTC/USD", "KRAKEN"))
"""Symbols whose signs mean something in a regular expression, one on another market."""
TRADING_S = 7_200
FINAL_S = 3_600
"""The first hour of the newest session is final, the second provisional."""
MINUTE_NS, HOUR_NS = 60 * SECOND_NS, 3_600 * SECOND_NS
WATERMARK = datetime(2026, 11, 20, 17, tzinfo=UTC)
INDICATED = 20
"""The bar, counted from 0, that is the first with an indicator."""


@dataclass(frozen=True, slots=True)
class Served:
    """What was written: the bars of both sessions by resolution, and where the market ends."""

    session: Session
    before: Session
    bars: dict[Resolution, list[ServedBar]]
    void_ns: int
    """The start of a bar of IBM that is void, at 1s and 1m."""

    @property
    def end_ns(self) -> int:
        """The end of trading in the newest session."""
        return (self.session.open_ns or 0) + TRADING_S * SECOND_NS

    def of(
        self, resolution: Resolution, symbol: str, start_ns: int, end_ns: int
    ) -> list[ServedBar]:
        """Return what a panel must draw: bars that are not void, in order."""
        return sorted(
            (
                one
                for one in self.bars[resolution]
                if one.symbol == symbol and not one.void and start_ns <= one.start_ns < end_ns
            ),
            key=lambda one: one.start_ns,
        )


def served_market(now_ns: int) -> Served:
    """Fold the two newest sessions that are over; young enough for buckets that expire."""
    venue = venues()[VENUE]
    newest = calendars.last_regular(venue, now_ns)
    assert newest is not None
    before = calendars.last_regular(venue, newest.start_ns - HOUR_NS)
    assert before is not None
    folded = {
        resolution: [
            _served(one, session, now=newest)
            for session, seed in ((before, 5), (newest, 6))
            for one in _folded(session, seed, resolution)
            if one.is_served
        ]
        for resolution in Resolution
    }
    void_ns = (newest.open_ns or 0) - 10 * MINUTE_NS
    for resolution in (Resolution.SECOND, Resolution.MINUTE):
        folded[resolution].append(_void(void_ns, resolution))
    for resolution in Resolution:
        folded[resolution] += _odd(newest, resolution)
    return Served(newest, before, folded, void_ns)


def write(store: BarStore, served: Served) -> None:
    """Write all of it; fails where the store refuses a row."""
    store.ensure_buckets()
    for resolution, rows in served.bars.items():
        store.write(resolution, rows).require_stored("bars")
    store.write_indicators(Resolution.MINUTE, table_of(_indicators(served))).require_stored(
        "indicators"
    )
    store.write_points(list(_points(served))).require_stored("points")


def _folded(session: Session, seed: int, resolution: Resolution) -> list[Bar]:
    plan = SimulationPlan(
        session.date, venue=VENUE, seed=seed, symbols=SYMBOLS, trades=4_000, offset_s=0,
        duration_s=TRADING_S,
    )  # fmt: skip
    trades = canonical(simulate(plan).truth.events, venues()).trades
    return bars(trades, load("sip"), resolution, {VENUE: [session]})


def _served(one: Bar, session: Session, *, now: Session) -> ServedBar:
    age_s = (one.start_ns - (now.open_ns or 0)) // SECOND_NS
    final = one.resolution is Resolution.DAY or age_s < FINAL_S
    return bar(
        symbol=one.symbol,
        venue=one.venue,
        start_ns=one.start_ns,
        **{name: float(getattr(one, name) or 0) for name in ("open", "high", "low", "close")},
        volume=float(one.volume),
        vwap=float(one.vwap or 0),
        trades=one.trades,
        rev=int(final),
        seq=_ordinal(one.start_ns, one.resolution),
        layer="batch" if final else "speed",
        final=final,
    )


def _ordinal(start_ns: int, resolution: Resolution) -> int:
    venue = venues()[VENUE]
    return (start_ns - venue.session_start_ns(venue.date_of(start_ns))) // resolution.width_ns


def _void(start_ns: int, resolution: Resolution) -> ServedBar:
    zeros = dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), 0.0)
    seq = _ordinal(start_ns, resolution)
    return bar(start_ns=start_ns, trades=0, seq=seq, void=True, **zeros)


def _odd(session: Session, resolution: Resolution) -> list[ServedBar]:
    """Ten bars each of an odd symbol: it opens at 100 and closes the last bar at 110."""
    first = session.open_ns or 0
    first -= first % min(resolution.width_ns, HOUR_NS)
    count = 1 if resolution in (Resolution.HOUR, Resolution.DAY) else 10
    template = bar(open=100.0, high=111.0, low=99.0, close=110.0, volume=5.0, trades=1)
    return [
        replace(
            template, symbol=symbol, venue=venue, seq=number,
            start_ns=first + number * resolution.width_ns,
        )
        for symbol, venue in ODD
        for number in range(count)
    ]  # fmt: skip


def _indicators(served: Served) -> Iterator[IndicatorRow]:
    mine = served.of(Resolution.MINUTE, "IBM", served.session.open_ns or 0, served.end_ns)
    for one in mine[INDICATED:]:
        values = {
            "sma_20": one.close + 1.0,
            "ema_12": one.close + 2.0,
            "rsi_14": one.close / 4.0,
            "macd": one.close + 3.0,
            "macd_signal": one.close + 4.0,
            "macd_histogram": -1.0,
        }
        yield IndicatorRow("IBM", VENUE, one.start_ns, values, rev=1, void=False)
    yield IndicatorRow("IBM", VENUE, served.void_ns, {}, rev=1, void=True)


def _points(served: Served) -> Iterator[Point]:
    """Yield every measurement, in the last half hour of trading."""
    end = served.end_ns
    for number in range(30):
        at = end - (30 - number) * MINUTE_NS
        report = BatchReport(number, at, 0.5 + number / 100, 1_000, number % 2, 40)
        counts = (BarCounts(40 * number, number, 0), BarCounts(40 * (number + 1), number + 1, 1))
        yield from points(
            [report], counts, 7, 0.5 + number / 10, at, topic="trades", watermark=WATERMARK
        )
    yield archive_point(
        "trades",
        {"records": 900, "rejected": 3, "dead_letters": 3, "holes": ["a", "b"], "lost": []},
        end - 5 * MINUTE_NS,
    )
    before = served.before
    boundary = Boundary(
        VENUE, served.session.end_ns, before.end_ns, Ranges.between(before.start_ns, before.end_ns)
    )
    for rev, back in ((1, 20), (2, 10)):
        outcome = Published(served.before, rev, rev, {Change.CHANGE: 4 * rev}, 500, indicators=30)
        yield from publication_points(
            boundary, outcome, "ann", "late trades", end - back * MINUTE_NS, seconds=3.5 * rev
        )
    yield from _quality(served, end - 21 * MINUTE_NS)
    yield from _drift(served, end - 20 * MINUTE_NS)
    yield Point("canary", {"writer": "ping"}, end - MINUTE_NS, {"nonce": 1})


def _quality(served: Served, at: int) -> Iterator[Point]:
    day = str(served.before.date)
    for venue, suite, rule, severity, passed in (
        (VENUE, "trades", "T8", "gate", False),
        (VENUE, "bars", "B18", "flag", False),
        (VENUE, "bars", "B2", "gate", True),
        (FEEDS, "feed", "F1", "gate", False),
    ):
        yield Point(
            "quality",
            {"venue": venue, "suite": suite, "rule": rule},
            at,
            {
                "session": day, "run": "r1", "kind": "session", "severity": severity,
                "passed": passed, "rows": 100, "unexpected": 0 if passed else 2,
                "share": 0.0 if passed else 0.02,
            },
        )  # fmt: skip


def _drift(served: Served, at: int) -> Iterator[Point]:
    for cause, resolution, count in (
        ("late", "1m", 3), ("missing", "1m", 2), ("late", "1s", 5), ("unexplained", "1s", 1),
    ):  # fmt: skip
        yield Point(
            "drift",
            {"cause": cause, "resolution": resolution, "venue": VENUE},
            at,
            {
                "session": str(served.before.date), "rev": 1, "bars": count,
                "changed": count - 1, "missing": 1, "extra": 0, "max_abs_bps": 1.5 * count,
                "volume": 100.0,
            },
        )  # fmt: skip
