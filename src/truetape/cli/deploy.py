"""The verb `deploy`: prepares and sets up the stack in containers. Starts no container."""

from pathlib import Path

import click

from truetape.deploy.health import AIRFLOW_PARTS
from truetape.host.errors import TransientError
from truetape.host.private_home import current_settings

_PARTS = (*AIRFLOW_PARTS, "spark-master", "spark-worker", "speed")


@click.group(epilog="Example: truetape deploy env")
def deploy() -> None:
    """Prepare and set up the stack in containers, and check its health (docs/DEPLOY.md).

    Run `env` on the host; `init` and `health` run inside the containers.
    """


@deploy.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=".",
    help="The checkout [this folder].",
)
def env(folder: Path) -> None:
    """Create .env and secrets/ for the containers, where they are missing.

    Prints the files that it created or extended, never a secret. Safe to repeat: existing values
    stay. Exit code 78: a file is empty, or readable by others.
    """
    from truetape.deploy.host_files import owner_here, prepare

    written = prepare(folder, owner_here())
    for path in written:
        click.echo(f"wrote {path}")
    if not written:
        click.echo("nothing was missing")


@deploy.group()
def init() -> None:
    """Set up the servers' storage and users. Safe to repeat."""


@init.command()
@click.option(
    "--tokens",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for the token of each role.",
)
@click.option(
    "--password",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File with the password of InfluxDB's first user.",
)
def stores(tokens: Path, password: Path) -> None:
    """Create topics, buckets, roll-up tasks and a token for each role.

    TRUETAPE_INFLUX_TOKEN_FILE is the file with the operator token. Exit codes: 0 all exist, 75 a
    server was away, 78 a secret is missing, or InfluxDB was set up with a different one.
    """
    from truetape.deploy.stores_init import prepare_stores

    prepare_stores(current_settings(), password, tokens, click.echo)


@init.command()
@click.option(
    "--passwords",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="JSON file with a password for admin, operator and viewer.",
)
def airflow(passwords: Path) -> None:
    """Migrate Airflow's database and create its three users.

    Exit codes: 0 done, 75 Airflow's own command failed, 78 a password is missing.
    """
    from truetape.deploy.airflow_init import prepare_airflow

    prepare_airflow(passwords, click.echo)


@deploy.command()
@click.argument("part", type=click.Choice(_PARTS))
@click.option(
    "--url", default="", help="Address of Airflow's API, or of the page of Spark's master."
)
@click.pass_context
def health(ctx: click.Context, part: str, url: str) -> None:
    """Check whether a part of the stack works. Exit codes: 0 it works, 75 it does not."""
    from truetape.deploy import health as checks

    match part:
        case "spark-master":
            problem = checks.master_problem(url)
        case "spark-worker":
            problem = checks.worker_problem(url, checks.address_here())
        case "speed":
            problem = checks.speed_problem(current_settings())
        case _:
            problem = checks.airflow_problem(url, part)
    click.echo(problem or "works")
    if problem is not None:
        ctx.exit(TransientError.exit_code)
