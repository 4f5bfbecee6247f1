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
@click.option("--reason", help="Kept in the ledger. Required with --no-gate.")
@click.option(
    "--gate/--no-gate",
    "gated",
    default=True,
    show_default=True,
    help="Publish only what passes the quality gate. --no-gate is told in the ledger.",
)
def publish(venue: str, day: str, reason: str | None, gated: bool) -> None:
    """Make the served bars of one session equal the recomputed ones, and final.

    Asks the quality gate first (about 20 s): a session that breaks a gate rule is not published,
    what is served stays, and the exit code is 66. Then raises the venue's fence, waits until the
    speed layer keeps to it, writes what differs, reads it back, seals it, and moves the boundary.
    Safe to repeat: a second run makes zero edits.

    \b
      truetape publish --venue XNYS --session 2026-11-20
      truetape publish --venue XNYS --session 2026-11-20 --no-gate --reason "split 7:1, see T-118"
    """
    from truetape.reconcile.run import publish_once

    if not (gated or reason):
        raise click.UsageError("--no-gate needs --reason: the ledger keeps who did it, and why")
    settings = Settings.from_env()
    session = session_named(venue, day)

    def progress(line: str) -> None:
        if sys.stderr.isatty():
            click.echo(line, err=True)

    words = reason or "published by hand"
    outcome = publish_once(settings, session, getpass.getuser(), words, progress, gated=gated)
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
