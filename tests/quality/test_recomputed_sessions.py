"""Sessions that were recomputed keep to every gate rule, real and simulated ones; their flags are
the right ones.
"""

from dataclasses import replace
from datetime import date

import pytest

from support.data import real_data
from support.raw import put_records
from support.staged import lean_ticks, page, recomputed
from truetape.feeds.simulator.faults import Faults
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.host import calendars
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market.sessions import Session
from truetape.quality.checks import check_feed, check_session
from truetape.quality.report import Report

TROUBLED = Faults(late=0.02, duplicate=0.03, cancel=0.03, correct=0.03, malformed=0.02)
"""Also an outage and a bad clock, which are always there."""


def day_of(venue: str, day: date) -> Session:
    return calendars.session(venues()[venue], day)


def own(settings: Settings, profile: str) -> Settings:
    """Return settings with the embedded store and a lake of its own."""
    return replace(settings, store="embedded", bucket_set="history", profile=profile)


def flags_of(found: Report) -> dict[str, int]:
    """Return the flags and how many values each is about; the gate must be open."""
    assert [(one.rule, one.summary, one.examples) for one in found.results
            if one.severity == "gate" and not one.passed] == []  # fmt: skip
    return {one.rule: one.unexpected for one in found.verdict.flags}


@pytest.mark.data
@pytest.mark.real
@pytest.mark.long
def test_real_equity_sessions_pass_and_odd_spy_prints_are_flagged(
    settings: Settings,
) -> None:
    """IBM on five days, SPY on one. On that day ten prints of SPY of up to 3,006,663 shares came
    after the close, all at 165.59 and marked as suspicious; four are over 1 % of its volume.
    """
    mine = own(settings, "lean")
    paths = sorted(real_data("lean_us_equity_2013-10", "tick").glob("*/*.zip"))
    put_records(mine.lake, lean_ticks(paths, venues()["USEQ"]))
    found = {}
    for day in range(7, 12):
        session = day_of("USEQ", date(2013, 10, day))
        recomputed(mine.lake, session, "lean")
        found[day] = check_session(mine, session)

    assert {day: flags_of(report) for day, report in found.items()} == {
        7: {}, 8: {}, 9: {}, 10: {"T27": 4}, 11: {},
    }  # fmt: skip
    (suspicious,) = found[10].verdict.flags
    assert {row["symbol"] for row in suspicious.examples} == {"SPY"}
    assert min(int(row["event_ns"]) for row in suspicious.examples) > (
        found_close(date(2013, 10, 10))
    )
    assert check_feed(mine).is_open


def found_close(day: date) -> int:
    close = day_of("USEQ", day).close_ns
    assert close is not None
    return close


@pytest.mark.data
@pytest.mark.real
@pytest.mark.long
def test_a_real_crypto_session_passes_with_the_lateness_of_its_pages(
    settings: Settings,
) -> None:
    """A thousand trades came in one page, hours after the first of them."""
    mine = own(settings, "all")
    answer = real_data("kraken_xbtusdt_2025-11-10", "http_trades.json")
    session = day_of("KRAKEN", date(2025, 11, 10))
    put_records(mine.lake, [page(answer, "kraken-rest")])
    recomputed(mine.lake, session, "all")

    assert set(flags_of(check_session(mine, session))) == {"T12"}


@pytest.mark.parametrize(
    ("plan", "profile", "flags"),
    [
        # two in a hundred are late by up to 15 minutes, which is what T12 is about
        pytest.param(
            SimulationPlan(date(2024, 11, 22)),
            "sip",
            {"T12"},
            id="native, a full day",
            marks=pytest.mark.real,
        ),
        pytest.param(SimulationPlan(date(2024, 11, 29)), "sip", {"T12"}, id="native, a half day"),
        pytest.param(
            SimulationPlan(date(2024, 11, 22), feed="alpaca"),
            "sip",
            {"T12"},
            id="alpaca",
            marks=pytest.mark.real,
        ),
        # what was broken or ahead of its clock is missing in the count of ids
        pytest.param(
            SimulationPlan(date(2024, 11, 22), feed="binance"),
            "all",
            {"T12", "T14"},
            id="binance",
            marks=pytest.mark.real,
        ),
    ],
)
def test_a_simulated_session_with_every_trouble_passes(
    settings: Settings, plan: SimulationPlan, profile: str, flags: set[str]
) -> None:
    mine = own(settings, profile)
    made = simulate(replace(plan, seed=3, trades=10_000, faults=TROUBLED))
    session = day_of(made.venue, plan.day)
    put_records(mine.lake, made.records)
    recomputed(mine.lake, session, profile)

    assert set(flags_of(check_session(mine, session))) == flags
    looked = check_feed(mine)
    assert looked.is_open
    assert looked.rows == {"records": len(made.records), "left": 0}
