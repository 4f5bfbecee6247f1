"""Kernel: payloads a second of each feed's contract, and the share that the fast lane reads.

Measures ordinary traffic, which is simulated without faults (where the simulator lacks the feed,
its contract's samples again and again), and hostile traffic, in which every tenth payload is
damaged. The careful lane is the reference, one payload at a time, on the same payloads; both lanes
run in one thread of one process.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
from measure import report
from results import Figure, Table, add_json, cores, share, show, whole

from truetape.feeds.contract import Contract, contract_names, load_contract
from truetape.feeds.decoder import Limits
from truetape.feeds.records import Record
from truetape.feeds.simulator.faults import Faults
from truetape.feeds.simulator.formats import FORMATS
from truetape.feeds.simulator.session import SimulationPlan, simulate
from truetape.kernel import careful_lane
from truetape.kernel.columns import RECORDS
from truetape.kernel.decode import decode

_DAY = date(2026, 11, 20)
_READ_MS = 4_102_444_800_000
_READ_NS = _READ_MS * 1_000_000
_BATCH = 100_000
_SMALL_BATCH = 500
_CAREFUL = 2_000
"""Payloads that the careful lane alone is measured with; it is two orders slower."""
_TOKENS = (b",", b'"', b"}", b"]", b"NaN", b"\\u0041", b"1e5", b"\xff", b'"price":1,', b"[[[")
_LIMITS = Limits()
_NO_FAULTS = Faults(late=0, duplicate=0, cancel=0, correct=0, outage_s=0, bad_clock=0)


@dataclass(frozen=True, slots=True)
class Measured:
    """Payloads a second: in large and in small batches, hostile ones, and by the careful lane."""

    feed: str
    ordinary: float
    ordinary_small: float
    ordinary_share: float
    hostile: float
    hostile_share: float
    careful: float


def main() -> int:
    """Measure each contract and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payloads", type=int, default=_BATCH, help="of each feed [100000]")
    parser.add_argument("--seed", type=int, default=7)
    add_json(parser)
    wanted = parser.parse_args()
    done = [measure(feed, wanted.payloads, wanted.seed) for feed in contract_names()]
    show([tabulated(done, wanted.payloads)], wanted)
    return 0


def measure(feed: str, count: int, seed: int) -> Measured:
    """Measure one feed."""
    report(f"{feed}: simulating")
    contract = load_contract(feed)
    made = simulated(feed, seed) if feed in FORMATS else sampled(contract)
    ordinary = batch(feed, (made * (1 + count // len(made)))[:count])
    hostile = batch(feed, damaged((made * (1 + count // len(made)))[:count], seed))
    decode(ordinary.slice(0, 10), contract, _LIMITS)  # compiles the contract's query
    report(f"{feed}: measuring")
    fast, fast_share = rate(ordinary, contract)
    small = ordinary.slice(0, count // 10)
    began = time.perf_counter()
    for start in range(0, small.num_rows, _SMALL_BATCH):
        decode(small.slice(start, _SMALL_BATCH), contract, _LIMITS)
    in_small = small.num_rows / (time.perf_counter() - began)
    hostile_rate, hostile_share = rate(hostile, contract)
    some = ordinary.slice(0, _CAREFUL)
    began = time.perf_counter()
    careful_lane.read(some, range(some.num_rows), contract, _LIMITS)
    careful = some.num_rows / (time.perf_counter() - began)
    return Measured(feed, fast, in_small, fast_share, hostile_rate, hostile_share, careful)


def simulated(feed: str, seed: int) -> Sequence[Record]:
    """Return the records of a simulated session."""
    plan = SimulationPlan(_DAY, feed=feed, trades=20_000, seed=seed, faults=_NO_FAULTS)
    return simulate(plan).records


def sampled(contract: Contract) -> Sequence[Record]:
    """Return the samples of a contract that are trades, as records received at their end."""
    trades = [
        sample
        for sample in contract.samples
        if all('"kind":"trade"' in line for line in sample.native)
    ]
    return [
        Record(sample.payload.encode(), contract.feed, sample.key, sample.received_ns or _READ_NS)
        for sample in trades
    ]


def rate(records: pa.Table, contract: Contract) -> tuple[float, float]:
    """Return payloads a second, and the share that the fast lane read."""
    began = time.perf_counter()
    decoded = decode(records, contract, _LIMITS)
    seconds = time.perf_counter() - began
    return records.num_rows / seconds, decoded.fast / records.num_rows


def batch(feed: str, records: Sequence[Record]) -> pa.Table:
    """Return records as the kernel reads them."""
    columns = {
        "topic": ["trades"] * len(records),
        "partition": [0] * len(records),
        "offset": list(range(len(records))),
        "record_ms": [_READ_MS] * len(records),
        "key": [record.key for record in records],
        "value": [record.payload for record in records],
        "feed": [feed] * len(records),
        "received_ns": [record.received_ns for record in records],
        "day": [None] * len(records),
    }
    return pa.table(columns, schema=RECORDS)


def damaged(records: Sequence[Record], seed: int) -> list[Record]:
    """Return the records with something put into every tenth payload."""
    choose = random.Random(seed)  # noqa: S311 - no secret
    result = list(records)
    for number in range(0, len(result), 10):
        record = result[number]
        place = choose.randrange(len(record.payload))
        payload = record.payload[:place] + choose.choice(_TOKENS) + record.payload[place:]
        result[number] = Record(payload, record.feed, record.key, record.received_ns)
    return result


def tabulated(done: Sequence[Measured], count: int) -> Table:
    """Return the table."""
    head = (
        "feed", "payloads/s", f"in batches of {_SMALL_BATCH}", "fast lane",
        "10 % damaged", "fast lane of these", "careful lane alone", "ratio",
    )  # fmt: skip
    rows = [
        (
            item.feed,
            whole(item.ordinary),
            whole(item.ordinary_small),
            share(item.ordinary_share),
            whole(item.hostile),
            share(item.hostile_share),
            whole(item.careful),
            Figure(item.ordinary / item.careful, "{:.1f}"),
        )
        for item in done
    ]
    return Table(head, rows, f"{count:,} payloads of each feed, one thread, {cores()}")


if __name__ == "__main__":
    sys.exit(main())
