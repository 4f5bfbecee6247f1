"""The verb `stack`: parses its options and prints states. The room `stack` does the work."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from truetape.host.private_home import current_settings

if TYPE_CHECKING:
    from truetape.host.locks import Report
    from truetape.stack.lifecycle import PartStatus

_NOT_RUNNING = 75


@click.group(epilog="Example: truetape stack up && truetape stack status")
def stack() -> None:
    """Run a real Kafka, InfluxDB and Airflow on this machine.

    They are ordinary processes that listen on 127.0.0.1 only. Data, logs and generated secrets are
    under TRUETAPE_HOME (~/.local/share/truetape), downloads and builds under TRUETAPE_CACHE
    (~/.cache/truetape). Ports: TRUETAPE_KAFKA, TRUETAPE_INFLUX_PORT and TRUETAPE_AIRFLOW_PORT.

    If TRUETAPE_INFLUX_URL is set, or TRUETAPE_KAFKA is not on this machine, that server is used and
    none is started.
    """


@stack.command()
@click.argument("parts", nargs=-1, type=click.Choice(("kafka", "influx", "airflow")))
@click.option("--no-airflow", is_flag=True, help="All but Airflow, like TRUETAPE_AIRFLOW=False.")
@click.option("--build-influx", is_flag=True, help="Build influxd if it is missing (8 to 10 min).")
def up(parts: tuple[str, ...], no_airflow: bool, build_influx: bool) -> None:
    """Start the servers that do not run and wait until they answer; PARTS limits which.

    Safe to repeat: running servers are adopted, crashed ones restart with their data. The first
    start downloads the broker's jars (about 45 s); later starts take seconds, Airflow's a minute.
    InfluxDB gets the buckets of TRUETAPE_BUCKET_SET from influx/buckets.yaml and the roll-up tasks
    of influx/tasks/. Airflow gets the DAGs of dags/, which run by their schedules from then on.

    Exit codes: 0 all parts are ready, 75 one did not answer in time (its log is shown), 78 a port
    is taken, or Java 17 or influxd is missing.
    """
    from truetape.serving.backends import open_store
    from truetape.stack import lifecycle as local_stack

    settings = current_settings()
    wanted = [
        part
        for part in parts or local_stack.needed_parts(settings)
        if part != "airflow" or not no_airflow
    ]
    with _progress("starting the local stack") as report:
        local_stack.up(settings, wanted, report, build_influx=build_influx)
        if "influx" in wanted:
            store = open_store(settings)
            for change in store.ensure_buckets() + store.ensure_rollups():
                report(change)
            store.close()


@stack.command()
def down() -> None:
    """Stop the servers of this home; their data stays. Safe to repeat.

    Each gets SIGTERM, and SIGKILL if it still runs after 30 seconds. Exit code 0: none runs.
    """
    from truetape.stack import lifecycle as local_stack

    with _progress("stopping the local stack") as report:
        local_stack.down(current_settings(), report)


@stack.command("renew-token")
def renew_token() -> None:
    """Write new InfluxDB tokens for this stack: the old ones were revoked or lost.

    Signs in to the running InfluxDB with the password of this home, and replaces the token in
    TRUETAPE_INFLUX_TOKEN_FILE and that of the readers. Tokens that still work stay valid.

    Exit codes: 0 written, 75 InfluxDB did not answer, 78 the server is not this stack's.
    """
    from truetape.stack.influx_server import InfluxServer

    settings = current_settings()
    InfluxServer(settings).renew_tokens()
    click.echo(f"new token in {settings.influx_token_file}")


@stack.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for scripts.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show each server's state, process, address, memory, data size and start time.

    "running" means that the server answered a real request: Kafka with its metadata, InfluxDB with
    the result of a query, and Airflow with the health of all its parts. Writes nothing.

    Exit codes: 0 all parts are usable, 75 a part is not.
    """
    from truetape.stack import lifecycle as local_stack

    settings = current_settings()
    lines = local_stack.status(settings)
    if as_json:
        for line in lines:
            click.echo(json.dumps(asdict(line), default=str))
    else:
        _print_table(lines)
    needed = [line for line in lines if line.part in local_stack.needed_parts(settings)]
    if not all(line.state.is_usable for line in needed):
        ctx.exit(_NOT_RUNNING)


@contextmanager
def _progress(title: str) -> "Iterator[Report]":
    """Show a spinner on a terminal, plain lines elsewhere, both on stderr."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with console.status(title):
        yield lambda message: console.print(message, markup=False)


def _print_table(lines: "list[PartStatus]") -> None:
    rows = [("part", "state", "pid", "address", "memory", "data", "since")]
    rows += [
        (
            line.part,
            line.state.value,
            "-" if line.pid is None else str(line.pid),
            line.address,
            _size(line.memory_bytes),
            _size(line.data_bytes),
            "-" if line.since is None else f"{line.since:%Y-%m-%d %H:%M:%SZ}",
        )
        for line in lines
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    for line in lines:
        if line.problem is not None:
            click.echo(f"{line.part}: {line.problem}")
        if line.pid is not None and line.sign_in is not None:
            click.echo(f"{line.part}: {line.sign_in}")


def _size(count: int | None) -> str:
    return "-" if count is None else f"{count / 1_000_000:.1f} MB"
