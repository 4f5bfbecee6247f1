"""The verb `speed`: commands, supervises and shows the speed layer. Decides nothing itself."""

import getpass
import json
from typing import TYPE_CHECKING

import click

from truetape.cli.options import REASON, Number, Whole
from truetape.host.errors import TransientError, TruetapeError
from truetape.host.private_home import current_settings

if TYPE_CHECKING:
    from truetape.speed.supervision import SpeedStatus

_LAUNCHES_SHOWN = 5
MAX_STEP_S = 86_400
_reason = click.option(
    "--reason", type=REASON, required=True, help="Why; recorded with the order, and shown."
)


@click.group(epilog='Example: truetape speed start --reason "open for business"')
def speed() -> None:
    """Start, stop, supervise, reset and inspect the speed layer, which serves provisional bars.

    Orders go to Kafka. A driver that runs under an older order exits after its batch. A supervisor
    (the DAG speed_layer, or `truetape speed supervise`) starts a driver if the newest order wants
    one and none works. Two drivers never write at once: a new driver takes the lease. A driver on
    any host goes on where the last one stopped: the position is in Kafka.
    """


@speed.command()
@_reason
def start(reason: str) -> None:
    """Order the speed layer to run.

    Also makes a supervisor that gave up try again. If a driver runs already, this restarts it.
    Writes the order to Kafka; exit code 75: Kafka was away.
    """
    _order("started", reason)


@speed.command()
@_reason
def stop(reason: str) -> None:
    """Order the speed layer to stop after its batch, and to stay stopped until `start`."""
    _order("stopped", reason)


@speed.command()
@_reason
def restart(reason: str) -> None:
    """Order the driver to exit after its batch, and the supervisor to start a new one."""
    _order("started", reason)


@speed.command()
@click.option(
    "--every",
    type=Number(1, MAX_STEP_S),
    help="Take a step every so many seconds until SIGTERM; then stop the driver, too.",
)
@click.pass_context
def supervise(ctx: click.Context, every: float | None) -> None:
    """Take one step towards the order: start, replace, adopt or stop a driver, or do nothing.

    Safe to repeat and to run twice at once, on any host. Run it every few seconds, as the DAG does,
    or keep it running with --every, as the container of the speed layer does. Exit codes: 0 done, 1
    given up (`truetape speed start` tries again), 75 Kafka could not be read and nothing was done.
    """
    if every is not None:
        from truetape.speed.supervision import supervise_until_term

        supervise_until_term(current_settings(), every)
        return
    from truetape.speed.decision import GiveUp
    from truetape.speed.supervision import supervise_once

    action = supervise_once(current_settings())
    click.echo(f"{type(action).__name__}: {action.reason}")
    if isinstance(action, GiveUp):
        ctx.exit(TruetapeError.exit_code)


@speed.command()
@click.option(
    "--to",
    type=click.Choice(["start", "end"]),
    required=True,
    help="start: read all that Kafka has. end: read what comes from now on.",
)
def reset(to: str) -> None:
    """Set the position of the speed layer to the start or the end of its topic.

    For a topic that was made anew, and for a watermark beyond the clock. Final bars stay as they
    are: the speed layer writes no bar before the boundary of its venue. After --to end, it serves
    bars from the next full minute on. A running driver ends; a supervisor starts the next one if
    the newest order wants one. After a driver that ended with 78, `start` must follow. Exit code
    75: Kafka was away.
    """
    from truetape.speed.reset import ResetTo, reset_position

    position = reset_position(current_settings(), ResetTo(to))
    places = [f"partition {part} from offset {offset}" for part, offset in position.offsets.items()]
    click.echo(f"the next driver reads {', '.join(places) or 'the topic from its start'}")


@speed.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show the health of the speed layer, its order, its driver and the last launches.

    Health compares the driver's progress with the newest offsets in Kafka. "silent" means: all
    records are read, and no trade arrives although a venue of TRUETAPE_SPEED_VENUES is open; check
    the feed. Writes nothing. Exit codes: 0 health is known, 75 Kafka could not be read.
    """
    from truetape.broker.record_json import encode
    from truetape.speed.supervision import status_of

    speed_status = status_of(current_settings())
    if as_json:
        click.echo(json.dumps(json.loads(encode(speed_status))))
    else:
        _print(speed_status)
    if speed_status.observed.problem is not None:
        ctx.exit(TransientError.exit_code)


@speed.command()
@click.option("--order", type=Whole(0), help="Run under this order [the newest].")
@click.option("--after", type=Whole(0), help="Do not take the lease if its epoch is above this.")
def run(order: int | None, after: int | None) -> None:
    """Run the driver in the foreground, until SIGTERM or a newer order.

    Takes the lease from the driver that has it. A supervisor adopts a running driver. Exit codes: 0
    stopped by an order, 1 an unforeseen error, 75 a server was away or another driver took the
    lease, 78 a setting or file must be changed first.
    """
    from truetape.speed.entry_point import run_driver

    run_driver(current_settings, order, after)


def _order(state: str, reason: str) -> None:
    from truetape.speed.control_records import DesiredState
    from truetape.speed.supervision import write_command

    given = write_command(current_settings(), DesiredState(state), reason, getpass.getuser())
    click.echo(f"order {given.number}: {given.state}, {given.reason}")


def _print(status: "SpeedStatus") -> None:
    desired, beat = status.desired, status.observed.beat
    click.echo(f"health   {status.health}: {status.reason}")
    click.echo(
        f"order    {desired.number} {desired.state} by {desired.who or '-'}: {desired.reason}"
    )
    if beat is not None:
        lag = sum(status.observed.lag.values())
        fresh = "-" if beat.freshness_s is None else f"{beat.freshness_s:.1f} s"
        click.echo(
            f"heard    {beat.driver}, epoch {beat.epoch}, {beat.state} at {beat.at:%H:%M:%SZ}"
        )
        click.echo(
            f"progress batch {beat.position.batch}, {lag:,} records behind, "
            f"{beat.rows_per_s:,.0f} rows/s, freshness {fresh}"
        )
        for write in beat.unfinished_writes:
            spans = ", ".join(map(str, write.spans))
            click.echo(f"suspect  {write.driver} may still write {spans}")
    for report in status.late_writers:
        spans = ", ".join(map(str, report.late_writes))
        click.echo(f"late     {report.driver} wrote without the lease: {spans}; publish them")
    for launch in status.history.launches[-_LAUNCHES_SHOWN:]:
        end = "runs" if launch.ended is None else f"ended {launch.ended:%H:%M:%SZ}"
        code = "" if launch.code is None else f" with {launch.code}"
        click.echo(f"launch   {launch.at:%Y-%m-%d %H:%M:%SZ} {launch.kind}, {end}{code}")
