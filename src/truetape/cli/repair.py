"""The verb `repair`: recomputes and publishes the dirty symbols of published sessions."""

import getpass

import click

from truetape.cli.options import REASON
from truetape.cli.output import show_progress
from truetape.cli.publish import publication_lines
from truetape.host.errors import GateClosedError, VerificationError
from truetape.host.private_home import current_settings


@click.command()
@click.option("--reason", type=REASON, default="repaired by hand", help="Recorded in the ledger.")
def repair(reason: str) -> None:
    """Recompute, check and publish the dirty symbols of published sessions, and no others.

    A symbol is dirty if records of it were archived since its session was recomputed; `truetape
    status` lists the dirty sessions. Airflow's DAG `repair_sessions` runs this by itself. It skips
    sessions that were reverted, and sessions that were never published. Exit codes: 66 the gate
    closed on a session, 65 served bars still differ. Safe to repeat.
    """
    from truetape.pipeline.sessions import repair_dirty

    outcomes, closed = repair_dirty(current_settings(), getpass.getuser(), reason, show_progress)
    for outcome in outcomes:
        for line in publication_lines(outcome.published):
            click.echo(line)
    if closed:
        raise GateClosedError("\n".join(str(error) for error in closed))
    wrong = [outcome for outcome in outcomes if outcome.mismatches]
    if wrong:
        raise VerificationError(
            f"served bars of {len(wrong):,} sessions differ; publish them again"
        )
    if not outcomes:
        click.echo("nothing to repair")
