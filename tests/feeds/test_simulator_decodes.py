"""Simulated payloads, which follow the vendors' formats, decode to the simulated truth."""

from collections import Counter
from dataclasses import replace
from datetime import date
from functools import cache

import pytest

from truetape.feeds.contract import contract_names, load_contract
from truetape.feeds.decoder import Context, Limits, decode
from truetape.feeds.simulator.faults import Faults, TroubleCause
from truetape.feeds.simulator.formats import FORMATS
from truetape.feeds.simulator.session import SOURCE, SimulatedSession, SimulationPlan, simulate
from truetape.market.rejection import Reason, Rejected
from truetape.market.resolution import MS_NS
from truetape.market.trades import Event, Trade

FAULTS = Faults(late=0.02, duplicate=0.02, cancel=0.02, correct=0.02, malformed=0.02)
BOTH = [feed for feed in FORMATS if feed in contract_names()]


@cache
def simulated(feed: str) -> SimulatedSession:
    return simulate(SimulationPlan(date(2026, 11, 20), feed=feed, trades=2_000, faults=FAULTS))


@cache
def decoded(feed: str) -> list[Event | Rejected]:
    contract = load_contract(feed)
    found: list[Event | Rejected] = []
    for offset, record in enumerate(simulated(feed).records):
        place = (SOURCE, 0, offset, record.received_ns // MS_NS)
        context = Context(record.feed, record.key, None, record.received_ns, *place)
        found += decode(record.payload, contract, context, Limits())
    return found


@pytest.mark.parametrize("feed", BOTH)
def test_a_simulated_session_decodes_to_its_truth(feed: str) -> None:
    """The event time of an amendment is optional, so it is not compared."""
    events = [
        item if isinstance(item, Trade) else replace(item, event_ns=None)
        for item in decoded(feed)
        if not isinstance(item, Rejected)
    ]
    assert events == list(simulated(feed).truth.events)


@pytest.mark.parametrize("feed", BOTH)
def test_every_broken_or_future_record_is_rejected_once(feed: str) -> None:
    told = Counter(trouble.cause for trouble in simulated(feed).troubles)
    rejected = [item for item in decoded(feed) if isinstance(item, Rejected)]

    future = sum(item.reason is Reason.FUTURE_EVENT_TIME for item in rejected)
    assert future == told[TroubleCause.BAD_CLOCK] > 0
    assert len(rejected) - future == told[TroubleCause.MALFORMED] == 40
