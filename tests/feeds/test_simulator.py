"""The simulator: the same bytes for a seed, a realistic market, and a consistent truth."""

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date
from itertools import pairwise
from statistics import correlation

import pytest

from support.build import SECOND, at
from truetape.feeds.records import Record, paced
from truetape.feeds.simulator.faults import BROKEN, NO_FAULTS, Faults, TroubleCause
from truetape.feeds.simulator.formats import FORMATS
from truetape.feeds.simulator.session import SimulatedSession, SimulationPlan, simulate
from truetape.host.errors import ConfigError
from truetape.host.profiles import load
from truetape.host.venues import venues
from truetape.market.bars import bars
from truetape.market.canonical import canonical
from truetape.market.resolution import Resolution
from truetape.market.trades import Trade

FRIDAY = date(2026, 11, 20)
OPENS, CLOSES = at("2026-11-20T14:30:00"), at("2026-11-20T21:00:00")
PLAN = SimulationPlan(FRIDAY, trades=20_000)
MANY = Faults(late=0.02, duplicate=0.02, cancel=0.02, correct=0.02, malformed=0.01)
MINUTE = 60 * SECOND


@pytest.fixture(scope="module")
def plain() -> SimulatedSession:
    return simulate(replace(PLAN, faults=NO_FAULTS))


@pytest.fixture(scope="module")
def troubled() -> SimulatedSession:
    return simulate(replace(PLAN, faults=MANY))


def lines(made: SimulatedSession) -> list[dict[str, object]]:
    """Parse the good native payloads; the faults name the broken ones."""
    broken = {
        trouble.received_ns for trouble in made.troubles if trouble.cause is TroubleCause.MALFORMED
    }
    return [json.loads(r.payload) for r in made.records if r.received_ns not in broken]


def digest(made: SimulatedSession) -> str:
    whole = hashlib.sha256()
    for record in made.records:
        whole.update(b"%d %s %s\n" % (record.received_ns, record.key.encode(), record.payload))
    return whole.hexdigest()


def prints(made: SimulatedSession, symbol: str | None = None) -> list[Trade]:
    return [t for t in made.truth.trades if symbol is None or t.symbol == symbol]


@pytest.mark.parametrize("feed", FORMATS)
def test_the_same_seed_gives_the_same_bytes(feed: str) -> None:
    plan = SimulationPlan(FRIDAY, feed=feed, trades=1_000, faults=MANY)

    assert digest(simulate(plan)) == digest(simulate(plan))
    assert digest(simulate(plan)) != digest(simulate(replace(plan, seed=1)))


def test_a_seed_gives_the_same_session_on_every_platform() -> None:
    """Recorded on CPython 3.11; every other Python must simulate the same session."""
    made = simulate(SimulationPlan(FRIDAY, trades=500, seed=7, faults=MANY))

    assert digest(made)[:16] == "04b51f81ec89a305"


@pytest.mark.parametrize("feed", FORMATS)
def test_the_true_trades_equal_the_canonical_trades_of_the_true_events(feed: str) -> None:
    made = simulate(SimulationPlan(FRIDAY, feed=feed, trades=2_000, faults=MANY))
    truth = made.truth

    found = canonical(truth.events, venues())

    assert tuple(item.trade for item in found.trades if item.counts) == truth.trades
    assert found.pending == ()
    profile = load("sip")
    ours = bars(found.trades, profile, Resolution.MINUTE, {})
    true = bars(canonical(truth.trades, venues()).trades, profile, Resolution.MINUTE, {})
    assert ours == true


def test_every_fault_of_the_native_feed_is_in_the_records_and_in_the_truth(
    troubled: SimulatedSession,
) -> None:
    told = Counter(trouble.cause for trouble in troubled.troubles)
    sent = lines(troubled)
    trades = [line for line in sent if line["kind"] == "trade"]
    deliveries = Counter((line["symbol"], line["id"]) for line in trades)
    delays = [
        at_ns(line["received_time"]) - at_ns(line["event_time"])
        for line in {(line["symbol"], line["id"]): line for line in reversed(trades)}.values()
    ]

    assert Counter(line["kind"] for line in sent) == {
        "trade": 20_000 + told[TroubleCause.DUPLICATE],
        "cancel": told[TroubleCause.CANCEL],
        "correct": told[TroubleCause.CORRECTION],
    }
    assert sum(count - 1 for count in deliveries.values()) == told[TroubleCause.DUPLICATE]
    assert sum(delay > MINUTE for delay in delays) == told[TroubleCause.LATE]
    assert sum(delay < 0 for delay in delays) == told[TroubleCause.BAD_CLOCK]
    assert len(troubled.records) - len(sent) == told[TroubleCause.MALFORMED] == 200
    assert (
        len(troubled.truth.trades)
        == 20_000 - told[TroubleCause.CANCEL] - told[TroubleCause.BAD_CLOCK]
    )
    for cause in (
        TroubleCause.LATE,
        TroubleCause.DUPLICATE,
        TroubleCause.CANCEL,
        TroubleCause.CORRECTION,
    ):
        assert 300 < told[cause] < 500, cause
    assert told[TroubleCause.OUTAGE] == 1
    assert 50 < told[TroubleCause.BAD_CLOCK] < 500


def at_ns(text: object) -> int:
    """Read an ISO time with nine decimals."""
    whole, _, fraction = str(text).removesuffix("Z").partition(".")
    return at(whole) + int(fraction)


def test_each_fault_names_its_trade(troubled: SimulatedSession) -> None:
    arrivals = {(event.symbol, event.id, event.received_ns) for event in troubled.truth.events}

    for trouble in troubled.troubles:
        named = (trouble.symbol, trouble.id, trouble.received_ns)
        unheard = (TroubleCause.OUTAGE, TroubleCause.BAD_CLOCK, TroubleCause.MALFORMED)
        assert (named in arrivals) is (trouble.cause not in unheard)


def test_records_are_in_order_of_arrival(troubled: SimulatedSession) -> None:
    assert all(a.received_ns <= b.received_ns for a, b in pairwise(troubled.records))
    assert {record.key for record in troubled.records} == set(PLAN.symbols)


def test_without_faults_every_print_arrives_once_and_in_time(plain: SimulatedSession) -> None:
    assert plain.troubles == ()
    assert len(plain.records) == len(plain.truth.trades) == 20_000
    assert all(0 < t.received_ns - t.event_ns < 31_000_000 for t in plain.truth.trades)


def test_volume_is_a_u_over_the_session_and_low_outside(plain: SimulatedSession) -> None:
    half_hours = Counter((t.event_ns - OPENS) // (30 * MINUTE) for t in plain.truth.trades)

    assert set(half_hours) == set(range(-2, 15))
    assert half_hours[0] > 2 * half_hours[6] < half_hours[12]
    assert half_hours[0] > half_hours[12]
    assert max(half_hours[-2], half_hours[-1], half_hours[13], half_hours[14]) < half_hours[6] / 5


def test_prices_sizes_and_conditions_are_realistic(plain: SimulatedSession) -> None:
    trades = plain.truth.trades
    regular = [t for t in trades if OPENS <= t.event_ns < CLOSES]
    ties = sum(a.event_ns == b.event_ns for a, b in pairwise(prints(plain, "IBM")))

    assert 0.3 < sum("I" in t.conditions for t in trades) / len(trades) < 0.5
    assert all(("I" in t.conditions) is (t.size < 100) for t in trades)
    assert 0.2 < sum("F" in t.conditions for t in trades) / len(trades) < 0.4
    assert not any("T" in t.conditions for t in regular)
    assert all(t.price == round(t.price, 2) > 0 and t.size == int(t.size) > 0 for t in trades)
    assert 0.08 < ties / len(prints(plain, "IBM")) < 0.2
    assert len(prints(plain, "IBM")) > len(prints(plain, "MSFT")) > len(prints(plain, "AAPL"))
    assert load("sip").tables["A"].keys() >= {code for t in trades for code in t.conditions}


def test_each_symbol_has_an_opening_and_a_closing_auction(plain: SimulatedSession) -> None:
    for symbol in PLAN.symbols:
        by_code = defaultdict(list)
        for trade in prints(plain, symbol):
            by_code[trade.conditions[-1]].append(trade)
        for cross, official, moment in (("O", "Q", OPENS), ("6", "M", CLOSES)):
            (auction,), (repeat,) = by_code[cross], by_code[official]
            assert 0 < auction.event_ns - moment < 2 * MINUTE
            assert (repeat.price, repeat.size) == (auction.price, auction.size)
            assert repeat.event_ns == auction.event_ns + 2 * SECOND
            assert auction.size >= 20_000


def test_symbols_move_together_and_on_their_own() -> None:
    made = simulate(SimulationPlan(FRIDAY, symbols=("A", "B"), trades=30_000, faults=NO_FAULTS))
    closes: dict[str, dict[int, float]] = {"A": {}, "B": {}}
    for trade in made.truth.trades:
        if OPENS <= trade.event_ns < CLOSES:
            closes[trade.symbol][trade.event_ns // (5 * MINUTE)] = float(trade.price)
    minutes = sorted(closes["A"].keys() & closes["B"].keys())
    moves = [
        [closes[symbol][b] / closes[symbol][a] for a, b in pairwise(minutes)] for symbol in "AB"
    ]

    assert 0.1 < correlation(*moves) < 0.9


def test_nothing_trades_in_an_outage(troubled: SimulatedSession) -> None:
    (outage,) = (t for t in troubled.troubles if t.cause is TroubleCause.OUTAGE)

    assert outage.received_ns - outage.event_ns == 120 * SECOND
    assert OPENS < outage.event_ns < CLOSES
    times = [at_ns(line["event_time"]) for line in lines(troubled) if "event_time" in line]
    ahead = sum(trouble.cause is TroubleCause.BAD_CLOCK for trouble in troubled.troubles)
    assert sum(outage.event_ns <= time < outage.received_ns for time in times) <= ahead


def test_a_half_day_closes_at_one_o_clock() -> None:
    made = simulate(SimulationPlan(date(2026, 11, 27), trades=2_000, faults=NO_FAULTS))

    closing = [t for t in made.truth.trades if t.conditions[-1] == "6"]
    assert {t.event_ns // (2 * MINUTE) for t in closing} == {
        at("2026-11-27T18:00:00") // (2 * MINUTE)
    }


def test_all_prints_are_in_the_simulated_time() -> None:
    plan = replace(PLAN, trades=500, offset_s=600, duration_s=30, faults=NO_FAULTS)
    times = [trade.event_ns for trade in simulate(plan).truth.trades]

    assert OPENS + 600 * SECOND <= min(times) <= max(times) < OPENS + 630 * SECOND


def test_a_future_trades_whole_contracts_from_the_evening_to_the_break() -> None:
    """The Monday after clocks go forward: 23 hours, of which the evening is a Sunday's."""
    plan = SimulationPlan(date(2026, 3, 9), venue="XCME", symbols=("ESZ6",), trades=3_000)
    trades = simulate(replace(plan, faults=NO_FAULTS)).truth.trades

    opens, closes = at("2026-03-08T22:00:00"), at("2026-03-09T21:00:00")
    assert opens <= trades[0].event_ns < opens + 5 * MINUTE
    assert closes - 5 * MINUTE < trades[-1].event_ns < closes
    assert {trade.conditions for trade in trades} == {()}
    assert {trade.venue for trade in trades} == {"XCME"}
    assert all(trade.size == int(trade.size) for trade in trades)


def test_a_venue_with_a_closing_auction_has_one_print_of_each_symbol_in_it() -> None:
    plan = SimulationPlan(date(2026, 12, 24), venue="XASX", symbols=("BHP", "CBA"), trades=3_000)
    trades = simulate(replace(plan, faults=NO_FAULTS)).truth.trades

    auction, over = at("2026-12-24T03:20:00"), at("2026-12-24T03:22:00")
    large = [trade for trade in trades if trade.size > 1_000]
    assert {trade.symbol for trade in large} == {"BHP", "CBA"}
    assert len(large) == 2
    assert all(auction <= trade.event_ns < over and not trade.conditions for trade in large)


def test_a_round_the_clock_venue_has_no_auctions_and_fractional_sizes() -> None:
    made = simulate(
        SimulationPlan(date(2026, 11, 22), feed="coinbase", trades=2_000, faults=NO_FAULTS)
    )

    assert {trade.conditions for trade in made.truth.trades} == {()}
    assert {trade.venue for trade in made.truth.trades} == {"COINBASE"}
    assert any(trade.size != int(trade.size) for trade in made.truth.trades)
    hours = Counter(trade.event_ns // (6 * 60 * MINUTE) for trade in made.truth.trades)
    assert len(hours) == 4
    assert min(hours.values()) > 400


@pytest.mark.parametrize(
    ("feed", "missing"),
    [
        ("truetape", set()),
        ("alpaca", set()),
        ("polygon", {TroubleCause.CANCEL, TroubleCause.CORRECTION}),
        ("finnhub", {TroubleCause.CANCEL, TroubleCause.CORRECTION, TroubleCause.DUPLICATE}),
        ("binance", {TroubleCause.CANCEL, TroubleCause.CORRECTION}),
        ("coinbase", {TroubleCause.CANCEL, TroubleCause.CORRECTION}),
        ("kraken", {TroubleCause.CANCEL, TroubleCause.CORRECTION, TroubleCause.DUPLICATE}),
        ("bitstamp", {TroubleCause.CANCEL, TroubleCause.CORRECTION}),
    ],
)
def test_a_feed_has_only_faults_that_it_can_express(feed: str, missing: set[TroubleCause]) -> None:
    made = simulate(SimulationPlan(FRIDAY, feed=feed, trades=2_000, faults=MANY))

    assert {trouble.cause for trouble in made.troubles} == set(TroubleCause) - missing


@pytest.mark.parametrize("feed", ["alpaca", "polygon", "finnhub", "kraken"])
def test_a_payload_may_have_several_trades_of_a_symbol(feed: str) -> None:
    made = simulate(SimulationPlan(FRIDAY, feed=feed, trades=3_000, faults=NO_FAULTS))

    assert len(made.records) < 3_000 == len(made.truth.trades)
    assert max(trade.position.index for trade in made.truth.trades) >= 1
    for record in made.records:
        json.loads(record.payload)


def test_malformed_records_are_additional_and_have_no_line_end(troubled: SimulatedSession) -> None:
    told = Counter(t.detail for t in troubled.troubles if t.cause is TroubleCause.MALFORMED)

    assert set(told) == set(BROKEN)
    assert not any(b"\n" in record.payload for record in troubled.records)
    assert sum(record.payload == b"" for record in troubled.records) == told["empty"]
    assert sum(b"NaN" in record.payload for record in troubled.records) == told["nan-price"]


def test_paced_records_come_when_they_are_due_and_never_before() -> None:
    start = at("2026-11-22T12:00:00")  # a Sunday: live sessions run on any day
    plan = replace(PLAN, trades=50, starts_ns=start, day=date(2026, 11, 22), faults=NO_FAULTS)
    now = start - SECOND
    waits = []

    def sleep(seconds: float) -> None:
        nonlocal now
        waits.append(seconds)
        now += int(seconds * SECOND) + 1

    for record in paced(simulate(plan).records, lambda: now, sleep):
        assert 0 <= now - record.received_ns < SECOND
    assert 58 < sum(waits) < 62


def test_paced_records_that_are_overdue_come_at_once() -> None:
    records = [Record(b"", "truetape", "A", due) for due in (1, 2, 3)]

    assert list(paced(records, lambda: 10, refuse)) == records


def refuse(seconds: float) -> None:
    raise AssertionError(f"waited {seconds} s")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"feed": "databento-csv"}, "cannot simulate feed 'databento-csv'"),
        ({"venue": "XXXX"}, "venue 'XXXX' is not declared"),
        ({"feed": "binance", "venue": "KRAKEN"}, "has venue BINANCE, not KRAKEN"),
        ({"day": date(2026, 11, 22)}, "XNYS is closed on 2026-11-22"),
        ({"trades": 0}, "0 trades"),
        ({"symbols": ()}, "0 symbols"),
        ({"symbols": ("A", "A")}, "each once"),
        ({"symbols": ('A"',)}, "is invalid"),
        ({"offset_s": -1.0}, "at least 0 seconds"),
        ({"offset_s": 90_000.0}, "after the end"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_an_invalid_plan_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        simulate(SimulationPlan(**({"day": FRIDAY, "trades": 10} | change)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "rates", [{"late": -0.1}, {"late": 0.6, "cancel": 0.6}, {"late_s": (2.0, 1.0)}], ids=str
)
def test_invalid_faults_are_refused(rates: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Faults(**rates)  # type: ignore[arg-type]


def test_a_session_may_have_a_single_trade() -> None:
    made = simulate(SimulationPlan(FRIDAY, trades=1, symbols=("A",), faults=NO_FAULTS))

    assert len(made.truth.trades) == len(made.records) == 1
