"""Duplicates: what it costs the speed layer to drop them within a second.

The same deliveries are counted and merged twice, for a feed whose contract expects duplicates and
for one whose contract does not, alternately, in one process. Kafka and the store are not included.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import payloads
import pyarrow as pa
import pyarrow.dataset
from measure import report, stopped_by_signals
from results import Cell, Figure, Table, add_json, cores, show, whole

from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import Limits
from truetape.host import profiles
from truetape.host.errors import TruetapeError, VerificationError
from truetape.kernel.columns import RECORDS
from truetape.market.resolution import SECOND_NS
from truetape.speed.counting import Counting, CountingRules
from truetape.speed.state import SpeedState

FEED = "truetape"
LATENESS_S = 60
_BATCH = 25_000
"""Records of a batch: half a second at 50,000 a second."""
_WARM_UP = 40_000
"""Deliveries that go through both first, without measurement."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: its processor seconds, and the trades in the bars of one minute."""

    deliveries: int
    seconds: float
    counted: int


def main() -> int:
    """Measure, print the table; exit 0 only if each plan counted the right trades."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trades", type=int, default=1_000_000)
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--times", type=int, default=3, help="runs of each plan")
    parser.add_argument("--seed", type=int, default=1)
    add_json(parser)
    given = parser.parse_args()
    try:
        with (
            stopped_by_signals(),
            tempfile.TemporaryDirectory(prefix="truetape-duplicates-") as work,
        ):
            done = measure(Path(work), given.trades, given.symbols, given.times, given.seed)
            show([done], given)
    except TruetapeError as error:
        print(f"duplicates: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def measure(work: Path, trades: int, symbols: int, times: int, seed: int) -> Table:
    """Run both plans alternately, check their counts, return the table."""
    report(f"writing {trades:,} trades of {symbols} symbols")
    payloads.write(work / "warm-up", _WARM_UP, symbols, seed)
    deliveries = payloads.write(work / "measured", trades, symbols, seed)
    plans = {"repeats counted": False, "repeats dropped": True}
    for drops in plans.values():
        run(work / "warm-up", drops=drops)
    found: dict[str, list[Measured]] = {name: [] for name in plans}
    for number in range(times):
        for name, drops in plans.items():
            report(f"{name}: run {number + 1} of {times}")
            found[name].append(run(work / "measured", drops=drops))
    check(found, {"repeats counted": deliveries, "repeats dropped": trades})
    head = (
        f"{deliveries:,} deliveries of {trades:,} trades, {symbols} symbols, "
        f"{LATENESS_S} s of lateness; median of {times} runs, {cores()}"
    )
    return Table(_HEAD, _rows(found), head)


def run(folder: Path, *, drops: bool) -> Measured:
    """Count and merge the payloads of a folder as the speed layer does, a batch at a time."""
    contract = load_contract(FEED).model_copy(update={"duplicates_expected": drops})
    rules = CountingRules({FEED: contract}, profiles.load("all"), Limits(), LATENESS_S * SECOND_NS)
    counting, state = Counting(rules), SpeedState()
    trades: dict[tuple[str, int], int] = {}
    deliveries, seconds = 0, 0.0
    for batch in _batches(folder):
        began = time.process_time()
        changed = state.add(counting.counted(batch))
        seconds += time.process_time() - began
        deliveries += batch.num_rows
        for bar in changed.filter(pa.compute.field("resolution") == "1m").to_pylist():
            trades[bar["symbol"], bar["start_ns"]] = bar["trades"]
    return Measured(deliveries, seconds, sum(trades.values()))


def _batches(folder: Path) -> Iterator[pa.Table]:
    """Yield the records of the payload files by offset."""
    table = pyarrow.dataset.dataset(folder / "payloads").to_table()
    table = table.sort_by([("partition", "ascending"), ("offset", "ascending")])
    if "day" not in table.column_names:
        table = table.append_column("day", pa.nulls(table.num_rows, RECORDS.field("day").type))
    records = table.select(RECORDS.names).cast(RECORDS)
    for begin in range(0, records.num_rows, _BATCH):
        yield records.slice(begin, _BATCH)


def check(found: dict[str, list[Measured]], expected: dict[str, int]) -> None:
    """Raise VerificationError if a plan counted a wrong number of trades."""
    for name, runs in found.items():
        for one in runs:
            if one.counted != expected[name]:
                raise VerificationError(
                    f"{name}: the bars hold {one.counted:,} trades, not {expected[name]:,}"
                )


_HEAD = ("plan", "deliveries/s", "time", "trades counted")


def _rows(found: dict[str, list[Measured]]) -> list[tuple[Cell, ...]]:
    rates = {
        name: statistics.median(one.deliveries / one.seconds for one in runs)
        for name, runs in found.items()
    }
    base = next(iter(found))
    return [
        (
            name,
            whole(rates[name]),
            Figure(rates[base] / rates[name], "{:.2f} x"),
            whole(runs[0].counted),
        )
        for name, runs in found.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
