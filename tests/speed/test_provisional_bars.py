"""What the speed layer serves of its bars: ordinals and states."""

from datetime import date

import pyarrow as pa

from support.build import NOON, SECOND, VENUES
from truetape.market.resolution import Resolution
from truetape.speed.provisional_bars import ordinals


def test_the_ordinal_counts_widths_from_its_venues_midnight() -> None:
    """Also on days that a change of the clock makes shorter, venue by venue."""
    new_york = VENUES["XNYS"]
    spring = new_york.midnight_ns(date(2026, 3, 8))
    midnight = new_york.midnight_ns(new_york.date_of(NOON))
    utc_day = NOON - NOON % (86_400 * SECOND)
    starts = [NOON, midnight, spring + 4 * 3_600 * SECOND, utc_day, utc_day + 60 * SECOND]
    venues = ["XNYS", "XNYS", "XNYS", "KRAKEN", "KRAKEN"]
    bars = pa.table({"venue": venues, "start_ns": starts})

    assert ordinals(bars, Resolution.MINUTE, VENUES).tolist() == [12 * 60, 0, 4 * 60, 0, 1]
    assert ordinals(bars, Resolution.SECOND, VENUES).tolist()[0] == 12 * 3_600
