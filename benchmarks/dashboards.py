"""Dashboards: bytes, rows and time of each query of the boards, compared with raw one-minute bars.

Writes one year of one symbol and the last day of many into its own InfluxDB, and sends each query
as Grafana does.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import tests_path  # noqa: F401 - makes `support` importable
from measure import report, stopped_by_signals
from results import Cell, Figure, Table, add_json, cores, show, whole

from support.grafana_frames import POINTS_ALLOWED, QueryAnswer, drawn_rows, is_too_long
from support.grafana_queries import BoardQuery, queries, run_query
from support.grafana_variables import ALL, PanelView, VariableValue, interpolate
from truetape.host.errors import TruetapeError, VerificationError
from truetape.host.settings import Secret, Settings
from truetape.market.resolution import Resolution
from truetape.serving.buckets import load_buckets
from truetape.serving.http import InfluxHttp
from truetape.serving.indicator_table import table_of
from truetape.serving.influx import InfluxStore
from truetape.serving.schema import INDICATOR_NAMES
from truetape.serving.store import IndicatorRow, ServedBar
from truetape.stack import lifecycle
from truetape.stack.server import free_port

GRAFANA = Path(__file__).resolve().parents[1] / "grafana"
SET = "history"
ONE, VENUE = "S0000", "XNYS"
CLOSE_NS = 1_772_658_000_000_000_000
"""2026-03-04T21:00:00Z, the close of New York."""
MINUTES, DAYS = 390, 252
DAY_NS = 86_400_000_000_000
WIDTHS = (Resolution.MINUTE, Resolution.FIVE_MINUTES, Resolution.HOUR, Resolution.DAY)
ROWS_AT_ONCE = 50_000
TIMEOUT_S = 120.0
READS_BARS = ('_measurement == "bar"', '_measurement == "indicator"')


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a reader looks at: a time range and the symbols of the watchlist."""

    name: str
    back_ns: int
    watch: str


SCENARIOS = (
    Scenario("one symbol, one year", 365 * DAY_NS, ONE),
    Scenario("all symbols, one day", DAY_NS, ALL),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one query of a panel, and of the same filters on raw bars."""

    query: BoardQuery
    rows: int
    shown: int
    size: int
    seconds: float
    raw: QueryAnswer
    raw_seconds: float
    is_too_long: bool

    @property
    def ratio(self) -> float:
        """Return the number of rows fetched for each row that is drawn."""
        return self.rows / self.shown if self.shown else 1.0


def main() -> int:
    """Measure and print a table for each scenario. Exit 0 only if no panel fetched too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--runs", type=int, default=5, help="runs of each query; 1 of a raw one")
    add_json(parser)
    given = parser.parse_args()
    try:
        with stopped_by_signals(), private_influx() as settings:
            store = InfluxStore.from_settings(settings, load_buckets(SET))
            with closing(store), closing(_server(settings)) as server:
                bars = seed(store, given.symbols)
                measured = {
                    scenario.name: measure(server, scenario, given.runs) for scenario in SCENARIOS
                }
        about = f"{given.symbols} symbols, {bars:,} bars, {cores()}"
        show(
            [Table(_HEAD, _rows(costs), f"{about}: {name}") for name, costs in measured.items()],
            given,
        )
        wide = [
            cost
            for costs in measured.values()
            for cost in costs
            if cost.is_too_long or cost.ratio > POINTS_ALLOWED
        ]
        if wide:
            raise VerificationError(
                f"{wide[0].query.name} fetched {wide[0].rows:,} rows to draw {wide[0].shown:,}"
            )
    except TruetapeError as error:
        print(f"dashboards: {error}", file=sys.stderr)
        return error.exit_code
    return 0


@contextmanager
def private_influx() -> Iterator[Settings]:
    """Run our own InfluxDB in a temporary home and on a free port."""
    with tempfile.TemporaryDirectory(prefix="truetape-dashboards-") as home:
        env = {"TRUETAPE_HOME": home, "TRUETAPE_CACHE": str(Settings.from_env().cache)}
        settings = Settings.from_env(env | {"TRUETAPE_INFLUX_PORT": str(free_port())})
        try:
            lifecycle.up(settings, ("influx",), report, build_influx=True)
            yield replace(settings, write_timeout_s=TIMEOUT_S)
        finally:
            lifecycle.down(settings, report)


def seed(store: InfluxStore, symbols: int) -> int:
    """Write a year of the first symbol and the last day of all; return the number of bars.

    Only the first symbol's bars have indicators.
    """
    store.ensure_buckets()
    count = 0
    for resolution in WIDTHS:
        report(f"bars of {resolution.value}")
        waiting: list[ServedBar] = []
        for bar in _bars(symbols, resolution):
            waiting.append(bar)
            if len(waiting) == ROWS_AT_ONCE:
                count += _write(store, resolution, waiting)
                waiting = []
        count += _write(store, resolution, waiting)
    return count


def _write(store: InfluxStore, resolution: Resolution, bars: Sequence[ServedBar]) -> int:
    store.write(resolution, bars).require_stored("bars")
    rows = [_indicators(bar) for bar in bars if bar.symbol == ONE]
    store.write_indicators(resolution, table_of(rows)).require_stored("indicators")
    return len(bars)


def measure(server: InfluxHttp, scenario: Scenario, runs: int) -> list[Cost]:
    """Run every query that reads bars."""
    costs = []
    for query in queries(GRAFANA):
        if query.kind in ("variable", "annotation", "alert"):
            continue
        if any(source in query.text for source in READS_BARS):
            report(f"{scenario.name}: {query.name}")
            costs.append(_cost(server, query, scenario, runs))
    return costs


def raw(text: str) -> str:
    """Return a query for all one-minute bars that the filters of a query select."""
    begins = [part.split("\n") for part in text.split("from(bucket: ")[1:]]
    steps = [lines[2] for lines in begins]
    source = f'from(bucket: "{SET}_bars_1m")\n  |> ' + "range(start: {start}, stop: {stop})\n"
    each = [f"({source}{step})" for step in dict.fromkeys(steps)]
    return each[0] if len(each) == 1 else f"union(tables: [{', '.join(each)}])"


def _cost(server: InfluxHttp, query: BoardQuery, scenario: Scenario, runs: int) -> Cost:
    view = PanelView(CLOSE_NS - scenario.back_ns, CLOSE_NS, query.max_points)
    chosen = _chosen(scenario)
    flux = interpolate(query.text, view, chosen)
    took = []
    for _ in range(runs):
        answer, seconds = _timed(server, flux)
        took.append(seconds)
    whole = raw(query.text).replace("{start}", "v.timeRangeStart")
    whole = whole.replace("{stop}", "v.timeRangeStop")
    unshaped, raw_seconds = _timed(server, interpolate(whole, view, chosen))
    return Cost(
        query,
        answer.rows,
        drawn_rows(query.kind, answer, query.max_points),
        answer.size,
        statistics.median(took),
        unshaped,
        raw_seconds,
        is_too_long(answer, query.max_points),
    )


def _chosen(scenario: Scenario) -> Mapping[str, VariableValue]:
    values = {"set": SET, "symbol": ONE, "venue": VENUE, "res": "1ms", "watch": scenario.watch}
    return {name: VariableValue((value,), ".*") for name, value in values.items()}


def _timed(server: InfluxHttp, flux: str) -> tuple[QueryAnswer, float]:
    began = time.monotonic()
    answer = run_query(server, flux)
    if answer.error and not answer.error.startswith("max series"):
        raise VerificationError(f"{answer.error}\n{flux}")
    return answer, time.monotonic() - began


def _bars(symbols: int, resolution: Resolution) -> Iterator[ServedBar]:
    for number in range(symbols):
        for day in range(DAYS if number == 0 else 1):
            yield from _session(number, day, resolution)


def _session(number: int, day: int, resolution: Resolution) -> Iterator[ServedBar]:
    """Yield the bars of a session, `day` trading days back, with synthetic prices."""
    weeks, rest = divmod(day, 5)
    back = weeks * 7 + rest + (2 if rest > 2 else 0)  # the last day is a Wednesday
    open_ns = CLOSE_NS - back * DAY_NS - MINUTES * Resolution.MINUTE.width_ns
    width = min(resolution.width_ns, DAY_NS)
    first = open_ns if resolution is Resolution.DAY else resolution.start_of(open_ns)
    close_ns = open_ns + MINUTES * Resolution.MINUTE.width_ns
    for seq, start_ns in enumerate(range(first, close_ns, width)):
        price = 100.0 + (number * 7 + day * 13 + seq * 3) % 97 / 10
        yield ServedBar(
            symbol=f"S{number:04}",
            venue=VENUE,
            start_ns=start_ns,
            open=price,
            high=price + 0.5,
            low=price - 0.5,
            close=price + 0.1,
            volume=500.0,
            vwap=price,
            trades=5,
            rev=1,
            seq=seq,
            layer="batch",
            final=True,
            void=False,
        )


def _indicators(bar: ServedBar) -> IndicatorRow:
    """Return a row with all indicators; their values do not matter, its width does."""
    values = {name: bar.close + number for number, name in enumerate(INDICATOR_NAMES)}
    return IndicatorRow(bar.symbol, bar.venue, bar.start_ns, values, rev=1, void=False)


def _server(settings: Settings) -> InfluxHttp:
    token = Secret(settings.influx_token_file.read_text("utf-8").strip())
    return InfluxHttp(
        settings.influx_url, settings.influx_org, token, timeout_s=TIMEOUT_S, attempts=1
    )


_HEAD = (
    "panel", "rows", "drawn", "ratio", "kB", "ms",
    "raw rows", "raw kB", "raw ms", "fewer bytes", "faster",
)  # fmt: skip


def _rows(costs: Sequence[Cost]) -> list[tuple[Cell, ...]]:
    return [
        (
            cost.query.name.removesuffix(" (A)"),
            whole(cost.rows),
            whole(cost.shown),
            Figure(cost.ratio, "{:.2f}"),
            Figure(cost.size / 1e3, "{:,.1f}"),
            whole(cost.seconds * 1e3),
            whole(cost.raw.rows),
            whole(cost.raw.size / 1e3),
            whole(cost.raw_seconds * 1e3),
            Figure(cost.raw.size / cost.size, "{:,.0f} x") if cost.size else "-",
            Figure(cost.raw_seconds / cost.seconds, "{:,.1f} x"),
        )
        for cost in costs
    ]


if __name__ == "__main__":
    sys.exit(main())
