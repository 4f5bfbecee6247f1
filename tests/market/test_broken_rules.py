"""Breaks each rule of the reference fold on purpose: a test of this folder must fail."""

from pathlib import Path

import pytest

from support.mutants import FAILED, PASSED, Mutant, outcome

pytestmark = [pytest.mark.real, pytest.mark.long]  # a pytest for each

TESTS = [
    f"tests/market/test_{name}.py"
    for name in (
        "amendments",
        "bars",
        "canonical",
        "eligibility",
        "resends",
        "resolution",
        "sessions",
        "trades",
    )
]
BARS, CANONICAL, TRADES = "market/bars.py", "market/canonical.py", "market/trades.py"
AMENDMENTS, ELIGIBILITY, RESENDS, SESSIONS = (
    "market/amendments.py",
    "market/eligibility.py",
    "market/resends.py",
    "market/sessions.py",
)

MUTANTS = [
    Mutant("open is the first print", BARS, "first=min(firsts", "first=max(firsts"),
    Mutant("close is the last print", BARS, "last=max(lasts", "last=min(lasts"),
    Mutant("high is the highest", BARS, "high=max(highs", "high=min(highs"),
    Mutant("low is the lowest", BARS, "low=min(lows", "low=max(lows"),
    Mutant("what is not in force does not count", BARS, "if not item.counts:", "if False:"),
    Mutant(
        "only prints that may set open and close do",
        BARS,
        "(trade.order, trade.price) if eligibility.open_close else None",
        "(trade.order, trade.price)",
    ),
    Mutant(
        "only prints that may set high and low do",
        BARS,
        "high_low = trade.price if eligibility.high_low else None",
        "high_low = trade.price",
    ),
    Mutant(
        "only prints that count for volume add their size",
        BARS,
        "size = trade.size if eligibility.volume else Decimal(0)",
        "size = trade.size",
    ),
    Mutant(
        "vwap is over prints that count for high and low too",
        BARS,
        "priced = size if eligibility.high_low else Decimal(0)",
        "priced = size",
    ),
    Mutant(
        "trades are prints that count for volume",
        BARS,
        "trades=int(eligibility.volume)",
        "trades=1",
    ),
    Mutant(
        "vwap is rounded half to even",
        BARS,
        "rounding=ROUND_HALF_EVEN",
        'rounding="ROUND_HALF_UP"',
    ),
    Mutant("vwap is rounded once", BARS, "Context(prec=120,", "Context(prec=13,"),
    Mutant("sums are exact", BARS, "_EXACT = Context(prec=60)", "_EXACT = Context(prec=8)"),
    Mutant(
        "a daily bar takes its auction prints",
        SESSIONS,
        "return auction or self.is_regular(event_ns) or start <= event_ns < end",
        "return self.is_regular(event_ns) or start <= event_ns < end",
    ),
    Mutant(
        "a daily bar takes the prints of its venue's closing auction",
        SESSIONS,
        "return auction or self.is_regular(event_ns) or start <= event_ns < end",
        "return auction or self.is_regular(event_ns)",
    ),
    Mutant(
        "a daily bar takes no other print out of hours",
        SESSIONS,
        "return auction or self.is_regular(event_ns) or start <= event_ns < end",
        "return True",
    ),
    Mutant(
        "a session begins when its venue says",
        SESSIONS,
        "return self.wall_clock_ns(day, self.begins_min)",
        "return self.wall_clock_ns(day, 0)",
    ),
    Mutant(
        "a venue may close before its calendar",
        SESSIONS,
        "closes = min(closes, venue.wall_clock_ns(day, venue.closes_min))",
        "pass",
    ),
    Mutant(
        "a bar without a price of each kind is not served",
        BARS,
        "return None not in (self.open, self.high, self.low, self.close)",
        "return True",
    ),
    Mutant(
        "as of an instant includes what was received then",
        CANONICAL,
        "event.received_ns > as_of_ns",
        "event.received_ns >= as_of_ns",
    ),
    Mutant(
        "the first delivery counts",
        CANONICAL,
        "for trade in sorted(trades, key=arrival):",
        "for trade in sorted(trades, key=arrival, reverse=True):",
    ),
    Mutant(
        "an id is unique within its day only",
        CANONICAL,
        "return trade.feed, trade.venue, trade.symbol, day, trade.id",
        "return trade.feed, trade.venue, trade.symbol, date.min, trade.id",
    ),
    Mutant(
        "identical prints without id are prints of their own",
        CANONICAL,
        "return trade.position\n",
        'return "", "", trade.symbol, date.min, f"{trade.event_ns} {trade.price} {trade.size}"\n',
    ),
    Mutant(
        "a repeat delivery does not count",
        CANONICAL,
        "return not (self.duplicate or self.cancelled)",
        "return not self.cancelled",
    ),
    Mutant(
        "a cancelled trade does not count",
        CANONICAL,
        "return not (self.duplicate or self.cancelled)",
        "return not self.duplicate",
    ),
    Mutant(
        "nothing changes a cancelled trade",
        CANONICAL,
        "    if item.cancelled:\n        return item\n",
        "",
    ),
    Mutant(
        "a correction brings its size",
        CANONICAL,
        "price=price, size=size, conditions=in_force",
        "price=price, conditions=in_force",
    ),
    Mutant(
        "a correction brings its price",
        CANONICAL,
        "price=price, size=size, conditions=in_force",
        "size=size, conditions=in_force",
    ),
    Mutant(
        "a correction without conditions keeps the old ones",
        CANONICAL,
        "in_force = item.trade.conditions if conditions is None else conditions",
        "in_force = conditions or ()",
    ),
    Mutant(
        "a correction may bring conditions",
        CANONICAL,
        "in_force = item.trade.conditions if conditions is None else conditions",
        "in_force = item.trade.conditions",
    ),
    Mutant(
        "amendments apply in the order in which they take effect",
        CANONICAL,
        "sorted(pairs, key=_effect)",
        "sorted(pairs, key=_effect, reverse=True)",
    ),
    Mutant(
        "an amendment means the latest trade before it",
        AMENDMENTS,
        "before[-1] if before",
        "before[0] if before",
    ),
    Mutant(
        "an amendment waits for a trade that comes later",
        AMENDMENTS,
        "if not due:",
        "if not before:",
    ),
    Mutant(
        "an amendment with event time means the trade of that day",
        AMENDMENTS,
        "if amendment.event_ns is not None:",
        "if False:",
    ),
    Mutant(
        "an amendment means no trade of a later day",
        AMENDMENTS,
        "return day <= venue.date_of(amendment.received_ns)",
        "return True",
    ),
    Mutant(
        "a correction gives its trade the new id",
        AMENDMENTS,
        "return event.feed, event.venue, event.symbol, event.new_id",
        "return None",
    ),
    Mutant(
        "a link that came early takes effect after the one before it",
        AMENDMENTS,
        "max(effect, given.effect) if given else effect",
        "effect",
    ),
    Mutant(
        "a trade that comes again under its new id is a repeat",
        CANONICAL,
        "if trade.position in changes.resends:",
        "if False:",
    ),
    Mutant(
        "a resend has the event time of its trade",
        RESENDS,
        "each.event_ns == trade.event_ns",
        "True",
    ),
    Mutant(
        "a resend has a price and size that its trade had",
        RESENDS,
        "_terms(each) in had",
        "True",
    ),
    Mutant(
        "an amendment that names a resend means its trade",
        RESENDS,
        "return Meaning(resend.of, effect",
        "return Meaning(meaning.trade, effect",
    ),
    Mutant(
        "an amendment that names a resend takes effect after the id was given",
        RESENDS,
        "max(meaning.effect, resend.effect)",
        "meaning.effect",
    ),
    Mutant(
        "one trade of a circle of resends counts",
        RESENDS,
        "self._resolved(_without_circles(self._links()))",
        "self._resolved(self._links())",
    ),
    Mutant(
        "ids clash within a day only",
        RESENDS,
        "day = venues[trade.venue].date_of(trade.event_ns)",
        "day = date.min",
    ),
    Mutant(
        "one condition that forbids open and close is enough",
        ELIGIBILITY,
        "open_close=all(",
        "open_close=any(",
    ),
    Mutant(
        "one condition that forbids high and low is enough",
        ELIGIBILITY,
        "high_low=all(",
        "high_low=any(",
    ),
    Mutant(
        "one condition that forbids volume is enough", ELIGIBILITY, "volume=all(", "volume=any("
    ),
    Mutant(
        "an unknown condition counts for nothing",
        ELIGIBILITY,
        "Eligibility(open_close=False, high_low=False, volume=False, known=False)",
        "Eligibility(open_close=True, high_low=True, volume=True, known=False)",
    ),
    Mutant(
        "an unknown condition is flagged",
        ELIGIBILITY,
        "volume=False, known=False)",
        "volume=False)",
    ),
    Mutant(
        "a condition may lift another's restrictions", ELIGIBILITY, " if code not in lifted]", "]"
    ),
    Mutant(
        "at one instant the sequence decides",
        TRADES,
        "event_ns, rank, sequence or 0, *source",
        "event_ns, rank, 0, *source",
    ),
    Mutant(
        "trades with a sequence come before those without",
        TRADES,
        "rank = 0 if sequence is not None else 1",
        "rank = 0",
    ),
    Mutant(
        "without a sequence the position decides",
        TRADES,
        "place.offset, place.index",
        "0, place.index",
    ),
    Mutant(
        "the regular session is half-open",
        SESSIONS,
        "self.open_ns <= event_ns < self.close_ns",
        "self.open_ns <= event_ns <= self.close_ns",
    ),
    Mutant(
        "a trading day is half-open",
        SESSIONS,
        "self.start_ns <= event_ns < self.end_ns",
        "self.start_ns <= event_ns <= self.end_ns",
    ),
]


def test_the_tests_pass_on_the_unbroken_rules(tmp_path: Path) -> None:
    assert outcome(None, TESTS, tmp_path) == PASSED


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_a_broken_rule_fails_a_test(mutant: Mutant, tmp_path: Path) -> None:
    assert outcome(mutant, TESTS, tmp_path) == FAILED
