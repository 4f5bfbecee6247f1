"""The reconcile layer's verbs: `publish`, `verify`, `repair`, `status`."""

import getpass
import json
import sys
import time
from typing import TYPE_CHECKING

import click

from truetape.cli.batch import session_options
from truetape.host.calendars import parse_session
from truetape.host.errors import GateClosedError, VerificationError
from truetape.host.settings import Settings

if TYPE_CHECKING:
    from truetape.publish.publication import Published


@click.command()
@session_options
@click.option("--reason", help="Kept in the ledger. Required to depart from the usual.")
@click.option(
    "--gate/--no-gate",
    "gated",
    default=True,
    show_default=True,
    help="Publish only what passes the quality gate. --no-gate is told in the ledger.",
)
@click.option("--rev", type=click.IntRange(1), help="Serve this older rev again, exactly.")
@click.option(
    "--begin",
    is_flag=True,
    help="The boundary counts from this session on, whatever is missing before it.",
)
def publish(  # noqa: PLR0917 - one parameter an option
    venue: str, day: str, reason: str | None, gated: bool, rev: int | None, begin: bool
) -> None:
    """Make the served bars of one session equal the recomputed ones, and final.

    Asks the quality gate first (about 20 s): a session that breaks a gate rule is not published,
    what is served stays, and the exit code is 66. Then raises the venue's fence, waits until the
    speed layer keeps to it, writes what differs, reads it back, seals it, and moves the boundary.
    Safe to repeat: a second run makes zero edits.

    With --rev an older rev is served again under a new rev, bar by bar as it was, or nothing is
    written; the gate is not asked. The session is held there until it is published with a reason.

    \b
      truetape publish --venue XNYS --session 2026-11-20
      truetape publish --venue XNYS --session 2026-11-20 --no-gate --reason "split 7:1, see T-118"
      truetape publish --venue XNYS --session 2026-11-20 --rev 1 --reason "the cancels were wrong"
    """
    from truetape.pipeline.publish import PublishOptions, publish_once, revert_once

    if not reason and (not gated or rev or begin):
        raise click.UsageError(
            "--no-gate, --rev and --begin need --reason: the ledger keeps who did it, and why"
        )
    settings = Settings.from_env()
    session, who = parse_session(venue, day), getpass.getuser()
    if rev:
        _tell(revert_once(settings, session, rev, who, reason or "", report=_progress))
        return
    options = PublishOptions(gated=gated, supersedes=bool(reason), restarts_boundary=begin)
    words = reason or "published by hand"
    _tell(publish_once(settings, session, who, words, _progress, options=options))


@click.command()
@click.option("--reason", default="repaired by hand", help="Kept in the ledger.")
def repair(reason: str) -> None:
    """Repair published sessions that are dirty: recompute, check and publish the symbols for which
    something was archived since, and no others.

    Airflow's DAG `repair_sessions` does it by itself. `truetape status` says what is dirty. A
    session that was reverted is left alone, and one that was never published to its own recompute.
    """
    from truetape.pipeline.sessions import repair_dirty

    outcomes, closed = repair_dirty(Settings.from_env(), getpass.getuser(), reason, _progress)
    for outcome in outcomes:
        _tell(outcome.published)
    if closed:
        raise GateClosedError("\n".join(str(error) for error in closed))
    wrong = [one for one in outcomes if one.mismatches]
    if wrong:
        raise VerificationError(
            f"served bars of {len(wrong):,} sessions differ; publish them again"
        )
    if not outcomes:
        click.echo("nothing to repair")


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        click.echo(line, err=True)


def _tell(outcome: "Published") -> None:
    label = f"{outcome.session.venue} {outcome.session.date}"
    click.echo(f"{label}: {outcome.indicators:,} indicator rows written")
    if outcome.rev is None:
        click.echo(f"{label}: zero edits, {outcome.bars:,} bars are served as wanted")
        return
    click.echo(f"{label}: rev {outcome.rev}, {outcome.edits:,} edits, {outcome.bars:,} bars")
    for change, count in outcome.changes.items():
        click.echo(f"  {change}: {count:,}")


@click.command()
@click.option("--venue", help="Only this venue.")
@click.option("--json", "as_json", is_flag=True, help="For programs: instants in nanoseconds.")
def status(venue: str | None, as_json: bool) -> None:
    """Say up to where each venue's bars are final, which sessions are missing before that, which
    are dirty, which are held by a revert, and what was published last.
    """
    from truetape.pipeline.status import fields, lines, status_of

    found = status_of(Settings.from_env(), venue)
    if as_json:
        click.echo(json.dumps(fields(found)))
        return
    for line in lines(found):
        click.echo(line)


@click.command()
@session_options
@click.option("--limit", default=20, help="Most differences to list.")
def verify(venue: str, day: str, limit: int) -> None:
    """Compare the served bars of one session with the recomputed ones, or with the rev that a
    revert restored; exit code 65 when they differ.
    """
    from truetape.publish.publication import compare_served
    from truetape.publish.revert import target_bars
    from truetape.serving.backends import open_store

    settings = Settings.from_env()
    session = parse_session(venue, day)
    started = time.monotonic()
    store = open_store(settings)
    compared, wrong = compare_served(store, target_bars(settings.lake, store, session))
    for mismatch in wrong[:limit]:
        click.echo(f"{mismatch.resolution.value} served {mismatch.served}")
        click.echo(f"   recomputed {mismatch.recomputed}")
    seconds = time.monotonic() - started
    click.echo(
        f"{venue} {day}: {compared:,} bars compared in {seconds:.1f} s, {len(wrong):,} differ"
    )
    if wrong:
        raise VerificationError(f"{len(wrong):,} served bars differ; run `truetape publish`")
