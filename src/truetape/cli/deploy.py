"""The verb `deploy`: how the containers of docker-compose.airflow.yml are prepared and asked."""

from pathlib import Path

import click

from truetape.deploy.health import AIRFLOW_PARTS
from truetape.host.errors import TransientError
from truetape.host.settings import Settings

_PARTS = (*AIRFLOW_PARTS, "spark-master", "spark-worker", "speed")


@click.group(epilog="Example: truetape deploy env && truetape deploy check")
def deploy() -> None:
    """Prepare, set up and check the stack in containers (docs/DEPLOY.md).

    `env` and `check` are for the host, `init` and `health` run inside of containers.
    """


@deploy.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=".",
    help="The checkout; this folder by default.",
)
def env(folder: Path) -> None:
    """Make .env and secrets/ for the containers, as far as they are missing.

    Prints the files that it made or added to, never a secret. Safe to repeat: what is there stays.
    Exit code 78 when a file is empty or open to others.
    """
    from truetape.deploy.host_files import owner_here, prepare

    made = prepare(folder, owner_here())
    for path in made:
        click.echo(f"made {path}")
    if not made:
        click.echo("nothing was missing")


@deploy.command()
@click.argument(
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default="docker-compose.airflow.yml",
)
def check(file: Path) -> None:
    """Hold a compose file to the rules of docs/DEPLOY.md: pins, users, ports, secrets, health.

    Reads the file alone and starts nothing. Exit codes: 0 it keeps them, 78 it breaks the rules
    that are printed.
    """
    from truetape.deploy.compose_file import read, require

    require(read(file))
    click.echo(f"{file} keeps the rules")


@deploy.group()
def init() -> None:
    """Set servers up, once; safe to repeat."""


@init.command()
@click.option(
    "--tokens",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder that each role's token is written below.",
)
@click.option(
    "--password",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File with the password of InfluxDB's first user.",
)
def stores(tokens: Path, password: Path) -> None:
    """Create topics, buckets, roll-up tasks and a token for each role.

    TRUETAPE_INFLUX_TOKEN_FILE names the file of the operator token. Exit codes: 0 all are there, 75
    a server was away, 78 a secret is missing or InfluxDB was set up with another.
    """
    from truetape.deploy.stores_init import prepare_stores

    prepare_stores(Settings.from_env(), password, tokens, click.echo)


@init.command()
@click.option(
    "--passwords",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="JSON file with a password for admin, operator and viewer.",
)
def airflow(passwords: Path) -> None:
    """Bring Airflow's database up to date and create its three users.

    Exit codes: 0 done, 75 Airflow's own command failed, 78 a password is missing.
    """
    from truetape.deploy.airflow_init import prepare_airflow

    prepare_airflow(passwords, click.echo)


@deploy.command()
@click.argument("part", type=click.Choice(_PARTS))
@click.option(
    "--url", default="", help="Whom to ask: Airflow's API, or the page of Spark's master."
)
@click.pass_context
def health(ctx: click.Context, part: str, url: str) -> None:
    """Say whether a part does its work. Exit codes: 0 it does, 75 it does not."""
    from truetape.deploy import health as checks

    match part:
        case "spark-master":
            problem = checks.master_problem(url)
        case "spark-worker":
            problem = checks.worker_problem(url, checks.address_here())
        case "speed":
            problem = checks.speed_problem(Settings.from_env())
        case _:
            problem = checks.airflow_problem(url, part)
    click.echo(problem or "works")
    if problem is not None:
        ctx.exit(TransientError.exit_code)
