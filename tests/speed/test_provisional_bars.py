"""What the speed layer serves of its bars: ordinals and states."""

from datetime import date

import pyarrow as pa

from support.build import NOON, SECOND, VENUES, at
from truetape.host.venues import venues as declared
from truetape.market.resolution import Resolution
from truetape.market.sessions import Venue
from truetape.speed.provisional_bars import ordinals


def test_the_ordinal_counts_widths_from_its_venues_midnight() -> None:
    """Also on days that a change of the clock makes shorter, venue by venue."""
    new_york = VENUES["XNYS"]
    spring = new_york.session_start_ns(date(2026, 3, 8))
    midnight = new_york.session_start_ns(new_york.date_of(NOON))
    utc_day = NOON - NOON % (86_400 * SECOND)
    starts = [NOON, midnight, spring + 4 * 3_600 * SECOND, utc_day, utc_day + 60 * SECOND]
    venues = ["XNYS", "XNYS", "XNYS", "KRAKEN", "KRAKEN"]
    bars = pa.table({"venue": venues, "start_ns": starts})

    assert ordinals(bars, Resolution.MINUTE, VENUES).tolist() == [12 * 60, 0, 4 * 60, 0, 1]
    assert ordinals(bars, Resolution.SECOND, VENUES).tolist()[0] == 12 * 3_600


def test_the_ordinal_of_a_session_over_midnight_counts_from_the_evening() -> None:
    """Also where one batch has the bars of two sessions, and of an hour in which one begins."""
    odd = Venue("ODD", "half an hour off", "Asia/Kolkata", None)
    venues = {"XCME": declared()["XCME"], "ODD": odd}
    evening, midnight = at("2026-03-08T22:00:00"), at("2026-03-09T18:30:00")
    starts = [evening, evening - 60 * SECOND, evening + 7 * 3_600 * SECOND, midnight]
    bars = pa.table({"venue": ["XCME", "XCME", "XCME", "ODD"], "start_ns": starts})

    assert ordinals(bars, Resolution.MINUTE, venues).tolist() == [0, 23 * 60 - 1, 7 * 60, 0]
