"""Payloads of every feed for tests: samples, simulated ones, real ones, and damaged copies."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from support.build import READ_MS, at
from truetape.feeds.contract import Contract, load_contract
from truetape.feeds.files import read
from truetape.feeds.simulator.faults import Faults
from truetape.feeds.simulator.formats import FORMATS
from truetape.feeds.simulator.session import SimulationPlan, simulate

DAY = date(2026, 11, 20)
RECEIVED_NS = 1_795_185_071_000_000_000
FAULTS = Faults(late=0.02, duplicate=0.02, cancel=0.02, correct=0.02, malformed=0.02)


@dataclass(frozen=True, slots=True)
class ReceivedPayload:
    """A payload and what comes beside it: key, day and receipt time, and Kafka's stamp."""

    payload: bytes
    key: str | None = None
    day: date | None = None
    received_ns: int | None = None
    record_ms: int = READ_MS


def samples(contract: Contract) -> list[ReceivedPayload]:
    """Return the samples of a contract."""
    return [
        ReceivedPayload(sample.payload.encode(), sample.key, sample.day, sample.received_ns)
        for sample in contract.samples
    ]


def simulated(feed: str, trades: int) -> list[ReceivedPayload]:
    """Return the payloads of a simulated session with every fault, none for an unknown feed."""
    if feed not in FORMATS:
        return []
    made = simulate(SimulationPlan(DAY, feed=feed, trades=trades, faults=FAULTS))
    return [
        ReceivedPayload(item.payload, item.key, None, item.received_ns) for item in made.records
    ]


def recorded(path: Path, feed: str) -> Iterator[ReceivedPayload]:
    """Yield the payloads of a trade file, in its order."""
    for item in read(path, load_contract(feed)):
        yield ReceivedPayload(item.payload, item.key, item.day, item.received_ns)


STAMP_MS = RECEIVED_NS // 1_000_000
_STAMP_END_NS = STAMP_MS * 1_000_000 + 999_999
_TIMES = (
    None,
    RECEIVED_NS - 86_400_000_000_000,
    *(_STAMP_END_NS + offset_ns for offset_ns in (0, 1, 1_000_000_000, 1_000_000_001)),
    at("2098-01-02T15:00:00"),
)
"""Times before and beyond a stamp, with the edges of its millisecond and of the slack."""


def around_stamp() -> list[ReceivedPayload]:
    """Return native records of one stamp with every combination of times around it, or none."""
    return [
        ReceivedPayload(_native(kind, event_ns, stated_ns), received_ns=header, record_ms=STAMP_MS)
        for kind in ("trade", "cancel", "correct")
        for event_ns in _TIMES
        for stated_ns in _TIMES
        for header in (*_TIMES, -5, 2**63 - 1)
    ]


def _native(kind: str, event_ns: int | None, stated_ns: int | None) -> bytes:
    times = {"event_time": event_ns, "received_time": stated_ns}
    stated = {name: str(instant) for name, instant in times.items() if instant is not None}
    line = {"kind": kind, "symbol": "IBM", "venue": "XNYS", "id": "1", "price": "1", "size": "1"}
    return json.dumps(line | stated).encode()


_TOKENS = (
    *'{}[]",:\\ \t\n\x00\x1f\x7f',
    *("null", "true", "fals", "NaN", "-Infinity", "0", "-0", "01", "1e3", "-1.5E+2"),
    *(".5", "1.", "+1"),
    *("9" * 41, "1e400", "0." + "0" * 30 + "1", "123456789012345678901234567890.5"),
    *("[]", "{}", "[[]]", '{"a":1}', '""', '"\\u0041"', '"\\ud800"', "'a'", "//", "\ufeff"),
    *("é", "٣", "😀", "\u2028", "1 2", ",,", "]]", "}}", "},{", "],[", '":"', "#"),
)  # fmt: skip

Edit = tuple[int, str, int, str]
"""Where (modulo the length), what to do, how many characters, what to put in."""

_KINDS = ("insert", "replace", "delete", "double", "cut")


def edits(rnd: random.Random) -> list[Edit]:
    """Draw one to three edits."""
    return [
        (rnd.randrange(2_001), rnd.choice(_KINDS), rnd.randint(1, 12), rnd.choice(_TOKENS))
        for _ in range(rnd.randint(1, 3))
    ]


def damaged(received: ReceivedPayload, edits: Sequence[Edit]) -> ReceivedPayload:
    """Return a copy with each edit applied in turn; few of them still fit the contract."""
    text = received.payload.decode("utf-8", "surrogateescape")
    for place, edit, length, token in edits:
        at = place % (len(text) + 1)
        match edit:
            case "insert":
                text = text[:at] + token + text[at:]
            case "replace":
                text = text[:at] + token + text[at + length :]
            case "delete":
                text = text[:at] + text[at + length :]
            case "double":
                text = text[: at + length] + text[at:]
            case _:
                text = text[:at]
    return replace(received, payload=text.encode("utf-8", "surrogateescape"))


FRAMES = {
    "binance": ("BINANCE_US.jsonl",),
    "binance-futures": ("BINANCE_FUTURES.jsonl",),
    "bitstamp": ("BITSTAMP.jsonl",),
    "coinbase": ("COINBASE.jsonl",),
    "kraken": ("KRAKEN.jsonl",),
}
"""Captured frames in the real data, by feed."""


def whole_and_damaged(contract: Contract) -> list[ReceivedPayload]:
    """Return samples and simulated payloads of a feed, and over a thousand damaged ones.

    Three in four of the damaged ones are broken; the others must still be the same trades.
    """
    whole = [*samples(contract), *simulated(contract.feed, 1_500)]
    few = [*samples(contract), *simulated(contract.feed, 60)]
    # under a stamp of their own time, damaged times lie beyond it
    few += [replace(item, record_ms=STAMP_MS) for item in few]
    asked = dict.fromkeys(whole)
    rnd = random.Random()  # others in each run; a test that fails prints the payload
    asked |= dict.fromkeys(damaged(rnd.choice(few), edits(rnd)) for _ in range(1_500))
    assert len(asked) > len(set(whole)) + 1_000
    return list(asked)
