"""Stored bars rolled up equal the fold of their trades, over sessions that begin in the evening."""

import random
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from kernel.test_fold_agrees import OTHER_WIDTHS, deliveries_of
from support.build import SECOND, trade
from truetape.host.calendars import sessions
from truetape.host.errors import ConfigError
from truetape.host.profiles import load
from truetape.host.venues import venues
from truetape.kernel import fold
from truetape.kernel.columns import BARS
from truetape.kernel.judge import judge
from truetape.kernel.roll_up import roll_up
from truetape.kernel.settle import settle
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.market.timeframe import Timeframe, timeframe_of
from truetape.market.trades import Event

STORED = [timeframe_of(resolution) for resolution in Resolution]


def market(venue: str, first: date, last: date, count: int) -> pa.Table:
    """Return judged trades at random instants, one of five an odd lot, which sets no price.

    Nights too: in Mumbai an hour by UTC has trades of two sessions.
    """
    rng, days = random.Random(3), sessions(venues()[venue], first, last)
    span_s = (days[-1].end_ns - days[0].start_ns) // SECOND
    happened: list[Event] = [
        trade(
            str(100 + rng.randrange(9)),
            str(rng.randrange(1, 99)),
            venue=venue,
            symbol=rng.choice("AB"),
            event_ns=days[0].start_ns + rng.randrange(span_s) * SECOND,
            offset=number,
            conditions=("I",) if rng.randrange(5) == 0 else ("@",),
            tape="A",
        )
        for number in range(count)
    ]
    return judge(settle(deliveries_of(happened), venues()), load("sip"))


def stored(trades: pa.Table, days: list[Session]) -> pa.Table:
    """Return the bars of each session, as a recompute writes them."""
    tables = []
    for day in days:
        own = trades.filter(pc.field("session") == pa.scalar(day.date, pa.date32()))
        own = own.append_column("in_day", fold.in_day(own, day))
        rows = fold.session_bars(own, day)
        for name, value in (
            ("venue", pa.scalar(day.venue)), ("session", pa.scalar(day.date, pa.date32())),
        ):  # fmt: skip
            rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
        tables.append(rows)
    return pa.concat_tables(tables)


@pytest.mark.parametrize(
    "width", [*STORED, *OTHER_WIDTHS], ids=lambda width: f"{width.value} {width.origin}"
)
@pytest.mark.parametrize(
    ("venue", "first", "last"),
    [
        ("XCME", date(2026, 10, 26), date(2026, 11, 8)),
        ("XNYS", date(2026, 11, 23), date(2026, 12, 4)),
        ("XNSE", date(2026, 11, 16), date(2026, 11, 20)),
        ("XTKS", date(2026, 11, 16), date(2026, 11, 20)),
        ("KRAKEN", date(2026, 11, 27), date(2026, 12, 3)),
    ],
    ids=["Chicago, end of summer time", "New York, a half day", "Mumbai", "Tokyo", "Kraken"],
)
def test_bars_rolled_up_from_stored_ones_equal_the_fold_of_the_trades(
    venue: str, first: date, last: date, width: Timeframe
) -> None:
    trades, market_venue = market(venue, first, last, 400), venues()[venue]
    whole = {venue: sessions(market_venue, date(2026, 10, 1), date(2026, 12, 31))}
    days = sessions(market_venue, first, last)
    parts = stored(trades, days)
    source = width.source(days)

    rolled = roll_up(parts.filter(pc.field("resolution") == source.value), width, whole)

    assert rolled.select(BARS.names).equals(fold.bars(trades, width, whole))
    assert (pc.min(rolled["seq"]).as_py() or 0) >= 0


def test_sums_that_do_not_fit_are_refused() -> None:
    (day,) = sessions(venues()["KRAKEN"], date(2026, 11, 20), date(2026, 11, 20))
    half = "50000000000000000000"
    seconds = [
        stored(judge(settle(deliveries_of([one]), venues()), load("all")), [day])
        for one in (
            trade("0.1", half, venue="KRAKEN", event_ns=day.start_ns + place * SECOND, offset=place)
            for place in (0, 1)
        )
    ]
    parts = pa.concat_tables(seconds).filter(pc.field("resolution") == "1s")

    with pytest.raises(ConfigError, match="more than 20 digits; choose a shorter period"):
        roll_up(parts, timeframe_of(Resolution.MINUTE), {"KRAKEN": [day]})
