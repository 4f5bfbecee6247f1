"""The reconcile layer's verbs: `publish` and `verify`, one session at a time."""

import getpass
import sys
import time

import click

from truetape.batch.commands import session_named, session_options
from truetape.errors import VerificationError
from truetape.settings import Settings


@click.command()
@session_options
@click.option("--reason", default="published by hand", help="Kept in the ledger.")
def publish(venue: str, day: str, reason: str) -> None:
    """Make the served bars of one session equal the recomputed ones, and final.

    Raises the venue's fence, waits until the speed layer keeps to it, writes what differs, reads it
    back, seals it, and then moves the boundary. Safe to repeat: a second run makes zero edits.
    """
    from truetape.reconcile.run import publish_once

    settings = Settings.from_env()
    session = session_named(venue, day)

    def progress(line: str) -> None:
        if sys.stderr.isatty():
            click.echo(line, err=True)

    outcome = publish_once(settings, session, getpass.getuser(), reason, progress)
    click.echo(f"{venue} {day}: {outcome.indicators:,} indicator rows written")
    if outcome.rev is None:
        click.echo(f"{venue} {day}: zero edits, {outcome.bars:,} bars are served as recomputed")
        return
    click.echo(f"{venue} {day}: rev {outcome.rev}, {outcome.edits:,} edits, {outcome.bars:,} bars")
    for change, count in outcome.changes.items():
        click.echo(f"  {change}: {count:,}")


@click.command()
@session_options
@click.option("--limit", default=20, help="Most differences to list.")
def verify(venue: str, day: str, limit: int) -> None:
    """Compare the served bars of one session with the recomputed ones; exit code 65 when they
    differ.
    """
    from truetape.reconcile.publication import verify as compare
    from truetape.serving.store import open_store

    settings = Settings.from_env()
    session = session_named(venue, day)
    started = time.monotonic()
    store = open_store(settings)
    compared, wrong = compare(settings.lake, store, session)
    for mismatch in wrong[:limit]:
        click.echo(f"{mismatch.resolution.value} served {mismatch.served}")
        click.echo(f"   recomputed {mismatch.recomputed}")
    seconds = time.monotonic() - started
    click.echo(
        f"{venue} {day}: {compared:,} bars compared in {seconds:.1f} s, {len(wrong):,} differ"
    )
    if wrong:
        raise VerificationError(f"{len(wrong):,} served bars differ; run `truetape publish`")
