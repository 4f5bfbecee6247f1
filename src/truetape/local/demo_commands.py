"""The verb `demo`: the loop on a simulated session, shown while it runs."""

import sys
from typing import TYPE_CHECKING

import click

from truetape.market.resolution import Resolution
from truetape.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from truetape.feeds.simulator import SimulatedSession
    from truetape.local.demo import Final
    from truetape.market.sessions import Session
    from truetape.reconcile.drift_ledger import BarDrift
    from truetape.serving.store import BarStore, ServedBar

_SHOWN_LINES = 20


@click.command()
@click.option("--minutes", default=20.0, show_default=True, help="Minutes of market to simulate.")
@click.option("--trades", default=40_000, show_default=True, help="Trades in these minutes.")
@click.option("--speed", default=20.0, show_default=True, help="Times as fast as real time.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same session.")
@click.option("--down", is_flag=True, help="Only stop the servers of an earlier demo.")
@click.option("--keep/--stop", default=True, show_default=True, help="Keep the servers running.")
def demo(  # noqa: PLR0917 - one parameter an option
    minutes: float, trades: int, speed: float, seed: int, down: bool, keep: bool
) -> None:
    """Show the whole system on the last minutes of a simulated session.

    Starts a real Kafka, InfluxDB, Airflow and Spark in a home of its own, prints where Airflow is
    and how to sign in, streams a session with late trades, repeat deliveries, cancels, corrections
    and one bad clock, shows the provisional bars as they appear; then Airflow makes the session
    final, and what changed is printed.
    """
    from rich.console import Console

    from truetape.local import demo as steps
    from truetape.local import stack

    settings = steps.demo_settings(Settings.from_env())
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 140)

    def report(line: str) -> None:
        console.print(f"  {line}", style="dim", highlight=False)

    if down:
        stack.down(settings, report)
        return
    console.rule("1 of 4: real servers")
    if settings.store == "embedded":
        console.print(
            "There is no influxd on this machine: bars are served from an embedded store instead. "
            "`make influxd` builds one in 8 to 10 minutes."
        )
    store = steps.start(settings, report)
    try:
        api = steps.airflow(settings)
        _print_sign_in(console, settings)
        session, made = steps.simulated(seed, minutes * 60, trades)
        console.rule(f"2 of 4: {session.date} streams in, provisional bars appear")
        console.print(
            f"{len(made.records):,} records with {len(made.troubles):,} troubles in them, "
            f"{speed:g} times as fast as real time. {minutes * 60 / speed:.0f} s:"
        )
        _stream(settings, made, speed, store, session)
        before = steps.served(store, session)
        console.rule("3 of 4: the session is over, Airflow makes it final")
        outcome = steps.finish(api, report)
        console.rule("4 of 4: what changed, and why")
        _print_outcome(console, steps.drift(settings, session), outcome, before)
        if keep:
            steps.leave_running(api)
            _print_how_to_go_on(console, settings)
    finally:
        if not keep:
            stack.down(settings, report)


def _print_how_to_go_on(console: "Console", settings: Settings) -> None:
    from truetape.local import demo as steps

    console.print(
        f"\nThe servers keep running, and so do the DAGs. Look at a symbol, and stop them when you "
        f"are done:\n  TRUETAPE_HOME={settings.home} TRUETAPE_KAFKA={settings.kafka} "
        f"TRUETAPE_INFLUX_PORT={steps.INFLUX_PORT} TRUETAPE_STORE={settings.store} "
        f"TRUETAPE_BUCKET_SET=history truetape show IBM --last 10\n  truetape demo --down"
    )


def _print_sign_in(console: "Console", settings: Settings) -> None:
    from truetape.local import airflow_config
    from truetape.local import demo as steps
    from truetape.local.airflow_server import AirflowServer

    password = airflow_config.passwords(settings)[steps.USER]
    console.print(
        f"\nAirflow: {AirflowServer(settings).address}   sign in as {steps.USER}, "
        f"password {password.reveal()}\n",
        style="bold",
        highlight=False,
    )


def _stream(
    settings: Settings,
    made: "SimulatedSession",
    speed: float,
    store: "BarStore",
    session: "Session",
) -> None:
    from rich.live import Live

    from truetape.local import demo as steps

    with Live(_table([]), auto_refresh=False, transient=not sys.stdout.isatty()) as live:

        def watch() -> None:
            rows = [
                bar
                for symbol in steps.SYMBOLS
                for bar in store.tail(
                    Resolution.MINUTE, symbol, 2, venue=session.venue, end_ns=session.end_ns
                )
            ]
            live.update(_table(rows), refresh=True)

        steps.stream(settings, made, speed, watch)


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
    console: "Console", drift: "list[BarDrift]", outcome: "Final", before: int
) -> None:
    from truetape.reconcile.drift_table import lines_of, sums, table

    minutes = [entry for entry in drift if entry.resolution is Resolution.MINUTE]
    console.print(
        f"{before:,} provisional 1s and 1m bars were served. The drift ledger has {len(drift):,} "
        "that became final otherwise. Of the 1m bars:"
    )
    for line in sums(minutes):
        console.print(f"  {line}", highlight=False)
    lines = lines_of(minutes)
    console.print(table(lines[:_SHOWN_LINES], f"The first {_SHOWN_LINES} of {len(lines)} lines"))
    published, recomputed = outcome.published, outcome.recomputed
    console.print(
        f"Final: rev {published['rev']}, {published['bars']:,} bars in five resolutions from "
        f"{recomputed['trades']:,} trades ({recomputed['duplicates']} repeat deliveries, "
        f"{recomputed['cancelled']} cancelled, {recomputed['corrected']} corrected). Read back: "
        f"{outcome.compared:,} compared, none differs. The run: {outcome.page}"
    )
