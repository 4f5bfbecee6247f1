"""The verb `demo`: shows the tour of the whole system. The room `tour` does the work."""

import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from truetape.cli.options import Number, Whole, with_default
from truetape.host.private_home import current_settings
from truetape.host.settings import Settings
from truetape.market.resolution import Resolution

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from truetape.drift.ledger import BarDrift
    from truetape.feeds.simulator.session import SimulatedSession
    from truetape.market.sessions import Session
    from truetape.serving.store import BarStore, ServedBar
    from truetape.stack.airflow_api import AirflowApi
    from truetape.tour.demo import Backfilled, FinalSession

MAX_MINUTES = 390
"""A regular session of the simulated market."""
MAX_TRADES = 5_000_000
_SHOWN_LINES = 20


@click.command()
@with_default("--minutes", Number(1, MAX_MINUTES), 60.0, "Minutes of market to simulate.")
@with_default("--trades", Whole(1, MAX_TRADES), 40_000, "Trades in these minutes.")
@with_default("--speed", Number(0.01, 10_000), 60.0, "Speed, as a multiple of real time.")
@with_default("--seed", Whole(), 1, "The same seed gives the same session.")
@click.option("--down", is_flag=True, help="Only stop the servers of an earlier demo.")
@click.option("--env", "is_env", is_flag=True, help="Only print the environment of a demo.")
@click.option("--keep/--stop", default=True, show_default=True, help="Keep the servers running.")
@click.option("--live/--no-live", default=True, show_default=True, help="End with a live market.")
def demo(  # noqa: PLR0917 - one parameter an option
    minutes: float,
    trades: int,
    speed: float,
    seed: int,
    down: bool,
    is_env: bool,
    keep: bool,
    live: bool,
) -> None:
    """Show the whole system in a tour of six parts; the servers keep running afterwards.

    Starts a real Kafka, InfluxDB, Airflow and Spark in their own home, and prints their addresses.
    Streams the end of a simulated session with late trades, duplicates, cancels, corrections and
    one bad clock, and shows the provisional bars. Airflow makes the session final, and the demo
    prints each change with its cause. Then it deletes archived records, and a backfill fetches them
    again from Kafka. Finally a live market opens. Writes only to that home; --down stops its
    servers. After a failure run it again.

    --env prints the environment that leads other commands to the servers of a demo, and its
    DEMO_DAY and DEMO_BAR:

    \b
      eval "$(truetape demo --env)"
      truetape show IBM --last 10
    """
    from rich.console import Console

    from truetape.tour import demo as steps

    if is_env:
        for name, value in steps.environment(current_settings()).items():
            click.echo(f"export {name}={shlex.quote(value)}")
        return
    began = time.monotonic()
    settings = steps.demo_settings(current_settings())
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 140)

    def report(line: str) -> None:
        console.print(f"  {line}", style="dim", highlight=False)

    if down:
        steps.stop(settings, report)
        return
    console.rule("1 of 6: real servers")
    if settings.store == "embedded":
        console.print(
            "There is no influxd on this machine: bars are served from an embedded store instead. "
            "`make influxd` builds one in 8 to 10 minutes."
        )
    store = steps.start(settings, report)
    try:
        api = steps.airflow(settings)
        _print_addresses(console, settings)
        tour = _Tour(console, settings, store, api, report)
        _show_session(tour, _Market(minutes, trades, speed, seed), began)
        _show_backfill(tour)
        if live:
            _show_live(tour)
        console.print(f"The tour took {time.monotonic() - began:.0f} s.")
        if keep:
            steps.unpause_other_dags(api)
            _print_how_to_go_on(console)
    finally:
        if not keep:
            steps.stop(settings, report)


@dataclass(frozen=True, slots=True)
class _Tour:
    """The servers of a tour, and the console that shows it."""

    console: "Console"
    settings: Settings
    store: "BarStore"
    api: "AirflowApi"
    report: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Market:
    """The simulated market: its minutes, its trades, and its speed as a multiple of real time."""

    minutes: float
    trades: int
    speed: float
    seed: int


def _show_session(tour: _Tour, market: _Market, began: float) -> None:
    """Parts 2 to 4: a session streams in, becomes final, and its changes are shown."""
    from truetape.tour import demo as steps
    from truetape.tour.places import market_page

    console, settings = tour.console, tour.settings
    session, made = steps.simulated(market.seed, market.minutes * 60, market.trades)
    console.rule(f"2 of 6: {session.date} streams in, provisional bars appear")
    console.print(
        f"{len(made.records):,} records with {len(made.troubles):,} faults in them, "
        f"{market.speed:g} times as fast as real time. "
        f"{market.minutes * 60 / market.speed:.0f} s:"
    )

    def say_first() -> None:
        console.print(
            f"{time.monotonic() - began:.0f} s after the start: the first provisional bars are "
            f"served. Watch them grow: {market_page(settings, steps.SYMBOLS[0])}"
        )

    _stream(tour, made, market.speed, session, say_first)
    before = steps.served(tour.store, session)
    console.print(
        f"{time.monotonic() - began:.0f} s after the start: all {before:,} provisional bars are "
        "served."
    )
    console.rule("3 of 6: the session is over, Airflow makes it final")
    outcome = steps.finish(tour.api, tour.report)
    console.rule("4 of 6: what changed, and why")
    _print_outcome(console, steps.drift(settings, session), outcome, before)
    _print_gate(console, settings, session)


def _show_backfill(tour: _Tour) -> None:
    """Part 5: a backfill fetches records that the lake lost from Kafka."""
    from truetape.tour import demo as steps

    tour.console.rule("5 of 6: archived records are deleted, a backfill fetches them again")
    steps.let_last_night_s_backfill_run(tour.api, tour.report)
    lost = steps.delete_third(tour.settings)
    tour.console.print(f"{lost:,} archived records are deleted from the lake.")
    _print_backfill(tour.console, steps.backfill(tour.api, tour.report))


def _show_live(tour: _Tour) -> None:
    """Part 6: a market opens now, under Airflow's supervision."""
    from truetape.tour import live_market

    tour.console.rule("6 of 6: a live market")
    live_market.start(tour.settings, tour.api)
    _print_live(tour.console, tour.settings, live_market.wait_until_served(tour.store, tour.report))


def _print_how_to_go_on(console: "Console") -> None:
    console.print(
        "\nAll servers keep running. To print a symbol here, and to stop them when you are done:\n"
        '  eval "$(truetape demo --env)"\n'
        "  truetape show IBM --last 10\n"
        "  truetape demo --down",
        markup=False,
    )


def _print_addresses(console: "Console", settings: Settings) -> None:
    from rich.table import Table

    from truetape.stack import airflow_config
    from truetape.tour import demo as steps
    from truetape.tour.places import places

    password = airflow_config.passwords(settings)[steps.USER]
    table = Table(title="Where to look", title_justify="left")
    for heading in ("what", "where", "what it shows"):
        table.add_column(heading, overflow="fold")
    for place in places(settings):
        table.add_row(place.what, place.where, place.shows)
    console.print(table)
    console.print(
        f"\nSign in to Airflow as {steps.USER}, password {password.reveal()}\n",
        style="bold",
        highlight=False,
    )


def _print_gate(console: "Console", settings: Settings, session: "Session") -> None:
    from truetape.tour.places import gate

    verdict = gate(settings, session)
    console.print(
        f"The quality gate was {'open' if verdict.is_open else 'closed'}: {verdict.rules} rules "
        f"checked {verdict.rows:,} rows, {verdict.flags} flagged. Rule by rule: {verdict.page}"
    )


def _print_backfill(console: "Console", done: "Backfilled") -> None:
    plan = done.planned
    console.print(
        f"The plan: {plan['asked']:,} offsets requested, {plan['archived']:,} archived, "
        f"{plan['to_ingest']:,} missing and in Kafka, {plan['lost']:,} lost to retention. "
        f"Ingested: {done.ingested:,}."
    )
    for session in done.finalized:
        console.print(
            f"Final: {session['venue']} {session['session']}, {_rev_text(session['rev'])}; "
            f"{session['compared']:,} served bars compared, none differs. The run: {done.page}"
        )


def _rev_text(rev: int | None) -> str:
    return "nothing to publish" if rev is None else f"published as rev {rev}"


def _print_live(console: "Console", settings: Settings, first: "ServedBar") -> None:
    from truetape.feeds.native import iso
    from truetape.tour import live_market
    from truetape.tour.places import market_page

    console.print(
        f"{live_market.RATE} trades a second on {live_market.VENUE} for {live_market.HOURS} hours. "
        f"The first bar served: {first.symbol} {iso(first.start_ns)[:19]}Z, {first.trades} trades, "
        f"close {first.close}. Watch the minutes fill: "
        f"{market_page(settings, live_market.SYMBOLS[0])}"
    )


def _stream(
    tour: _Tour,
    made: "SimulatedSession",
    speed: float,
    session: "Session",
    say_first: Callable[[], None],
) -> None:
    """Send the session and show what is served meanwhile; call `say_first` once there is a bar."""
    from rich.live import Live

    from truetape.tour import demo as steps

    has_bars = False
    live = Live(
        _table([]),
        console=tour.console,
        auto_refresh=False,
        transient=not sys.stdout.isatty(),
    )
    with live:

        def watch() -> None:
            nonlocal has_bars
            rows = [
                bar
                for symbol in steps.SYMBOLS
                for bar in tour.store.tail(
                    Resolution.MINUTE, symbol, 2, venue=session.venue, end_ns=session.end_ns
                )
            ]
            if rows and not has_bars:
                has_bars = True
                say_first()
            live.update(_table(rows), refresh=True)

        steps.stream(tour.settings, made, speed, watch)


def _table(rows: "list[ServedBar]") -> "Table":
    from rich.table import Table

    from truetape.feeds.native import iso

    table = Table(title="Served now, 1m", title_justify="left")
    for heading in ("symbol", "start", "open", "high", "low", "close", "volume", "trades", "state"):
        table.add_column(heading, justify="left" if heading in ("symbol", "start") else "right")
    for bar in rows:
        prices = [f"{price:.2f}" for price in (bar.open, bar.high, bar.low, bar.close)]
        state = f"final rev {bar.rev}" if bar.final else "provisional"
        start = iso(bar.start_ns)[11:16]
        table.add_row(bar.symbol, start, *prices, f"{bar.volume:,.0f}", str(bar.trades), state)
    return table


def _print_outcome(
    console: "Console", drift: "list[BarDrift]", outcome: "FinalSession", before: int
) -> None:
    from truetape.drift.table import lines_of, sums, table

    minutes = [entry for entry in drift if entry.resolution is Resolution.MINUTE]
    console.print(
        f"{before:,} provisional 1s and 1m bars were served. The drift ledger has {len(drift):,} "
        "whose final values differ. Of the 1m bars:"
    )
    for line in sums(minutes):
        console.print(f"  {line}", highlight=False)
    lines = lines_of(minutes)
    console.print(table(lines[:_SHOWN_LINES], f"The first {_SHOWN_LINES} of {len(lines)} lines"))
    published, recomputed = outcome.published, outcome.recomputed
    console.print(
        f"Final: rev {published['rev']}, {published['bars']:,} bars in five resolutions with "
        f"{published['indicators']:,} rows of indicators, from "
        f"{recomputed['trades']:,} trades ({recomputed['duplicates']} repeat deliveries, "
        f"{recomputed['cancelled']} cancelled, {recomputed['corrected']} corrected). Read back: "
        f"{outcome.compared:,} compared, none differs. The run: {outcome.page}"
    )
