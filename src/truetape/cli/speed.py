"""The verb `speed`: how the speed layer is asked about, ordered and run. Decides nothing."""

import getpass
import json
from typing import TYPE_CHECKING

import click

from truetape.host.errors import TransientError, TruetapeError
from truetape.host.settings import Settings

if TYPE_CHECKING:
    from truetape.speed.supervision import Status

_LAUNCHES_SHOWN = 5
_reason = click.option("--reason", required=True, help="Why; kept with the order and shown.")


@click.group(epilog='Example: truetape speed start --reason "open for business"')
def speed() -> None:
    """Order, supervise and inspect the speed layer, which serves provisional bars.

    Orders are written to Kafka; a driver that runs under an older order ends after its batch. A
    supervisor (the DAG speed_layer, or `truetape speed supervise`) starts one where one is ordered
    and none works. Two drivers never write at once: the one that starts takes the lease.
    """


@speed.command()
@_reason
def start(reason: str) -> None:
    """Order the speed layer to run.

    Gives it a new beginning, also after the supervisor gave up. When it runs already, this is a
    restart.
    """
    _order("started", reason)


@speed.command()
@_reason
def stop(reason: str) -> None:
    """Order the speed layer to stop after its batch; it stays stopped until it is started."""
    _order("stopped", reason)


@speed.command()
@_reason
def restart(reason: str) -> None:
    """Order the driver to end after its batch and the supervisor to start another one."""
    _order("started", reason)


@speed.command()
@click.option(
    "--every",
    type=click.FloatRange(min=1),
    help="Stay, and take a step every so many seconds until SIGTERM; then the driver ends, too.",
)
@click.pass_context
def supervise(ctx: click.Context, every: float | None) -> None:
    """Take one step towards the order: start, replace, adopt or stop a driver, or leave it alone.

    Safe to repeat and to run twice at once, on any host. Call it every few seconds, as the DAG
    does, or let it stay with --every, as the container of the speed layer does. Exit codes: 0 done,
    1 given up (a new `truetape speed start` tries again), 75 Kafka could not be read and nothing
    was done.
    """
    if every is not None:
        from truetape.speed.supervisor_loop import keep_until_term

        keep_until_term(Settings.from_env(), every)
        return
    from truetape.speed.decision import GiveUp
    from truetape.speed.supervision import supervise_once

    action = supervise_once(Settings.from_env())
    click.echo(f"{type(action).__name__}: {action.reason}")
    if isinstance(action, GiveUp):
        ctx.exit(TruetapeError.exit_code)


@speed.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show the health of the speed layer, its order, its driver and the last launches.

    Health is judged by progress against what Kafka holds now. "silent" means that everything was
    read and no trade comes although a venue of TRUETAPE_SPEED_VENUES is open: look at the feed.
    Exit codes: 0 known, 75 Kafka could not be read.
    """
    from truetape.speed.record_json import encode
    from truetape.speed.supervision import status_of

    found = status_of(Settings.from_env())
    click.echo(json.dumps(json.loads(encode(found)))) if as_json else _print(found)
    if found.observed.problem is not None:
        ctx.exit(TransientError.exit_code)


@speed.command()
@click.option("--order", type=int, help="Run under this order; the newest one by default.")
@click.option("--after", type=int, help="Leave the lease alone if its epoch is above this.")
def run(order: int | None, after: int | None) -> None:
    """Run the driver in the foreground, until SIGTERM or a newer order.

    Takes the lease from whoever has it. A supervisor adopts what it finds running. Exit codes: 0
    asked to stop, 75 a server was away or another driver took the lease, 78 a setting or file must
    be changed first.
    """
    from truetape.speed.job import run as run_driver

    run_driver(Settings.from_env(), order, after)


def _order(state: str, reason: str) -> None:
    from truetape.speed.order import State
    from truetape.speed.supervision import order

    given = order(Settings.from_env(), State(state), reason, getpass.getuser())
    click.echo(f"order {given.number}: {given.state}, {given.reason}")


def _print(found: "Status") -> None:
    desired, beat = found.desired, found.observed.beat
    click.echo(f"health   {found.health}: {found.reason}")
    click.echo(
        f"order    {desired.number} {desired.state} by {desired.who or '-'}: {desired.reason}"
    )
    if beat is not None:
        lag = sum(found.observed.lag.values())
        fresh = "-" if beat.freshness_s is None else f"{beat.freshness_s:.1f} s"
        click.echo(
            f"driver   {beat.driver}, epoch {beat.epoch}, {beat.state} at {beat.at:%H:%M:%SZ}"
        )
        click.echo(
            f"progress batch {beat.batch}, {lag:,} records behind, {beat.rows_per_s:,.0f} rows/s, "
            f"freshness {fresh}"
        )
        for one in beat.suspects:
            spans = ", ".join(map(str, one.spans))
            click.echo(f"suspect  {one.driver} may still write {spans}")
    for late in found.touched:
        spans = ", ".join(map(str, late.touched))
        click.echo(f"late     {late.driver} wrote without the lease: {spans}; publish them")
    for launch in found.history.launches[-_LAUNCHES_SHOWN:]:
        end = "runs" if launch.ended is None else f"ended {launch.ended:%H:%M:%SZ}"
        code = "" if launch.code is None else f" with {launch.code}"
        click.echo(f"launch   {launch.at:%Y-%m-%d %H:%M:%SZ} {launch.how}, {end}{code}")
