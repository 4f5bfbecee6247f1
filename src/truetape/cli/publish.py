"""The verb `publish`: makes one session final, or serves an older rev again. Decides nothing."""

import getpass
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from truetape.cli.options import REASON, Whole, session_options
from truetape.cli.output import show_progress
from truetape.host.calendars import parse_session
from truetape.host.private_home import current_settings

if TYPE_CHECKING:
    from truetape.publish.publication import Published


@click.command()
@session_options
@click.option(
    "--reason", type=REASON, help="Recorded in the ledger; all options below but --gate need it."
)
@click.option(
    "--gate/--no-gate",
    "gated",
    default=True,
    show_default=True,
    help="Publish only if the session passes the quality gate. The ledger records --no-gate.",
)
@click.option("--rev", type=Whole(1), help="Serve this older rev again, exactly.")
@click.option(
    "--begin",
    is_flag=True,
    help="Start the boundary at this session, even if earlier sessions are missing.",
)
@click.option(
    "--replace-revert",
    is_flag=True,
    help="Publish the recomputed bars even if somebody reverted the session to an older rev.",
)
def publish(  # noqa: PLR0917 - one parameter an option
    venue: str,
    day: str,
    reason: str | None,
    gated: bool,
    rev: int | None,
    begin: bool,
    replace_revert: bool,
) -> None:
    """Publish the recomputed bars of one session as final.

    Asks the quality gate first (about 20 s). If the session breaks a gate rule, nothing is
    published, the served bars stay, and the exit code is 66. Then it raises the venue's fence,
    waits until the speed layer respects it, writes the bars that differ, reads them back, seals the
    publication and moves the boundary. Safe to repeat: a second run makes zero edits.

    With --rev it serves an older rev again under a new rev, with exactly the same bars, or writes
    nothing; it does not ask the gate. The session stays at that rev until somebody publishes it
    with --replace-revert.

    \b
      truetape publish --venue XNYS --session 2026-11-20
      truetape publish --venue XNYS --session 2026-11-20 --no-gate --reason "split 7:1, see T-118"
      truetape publish --venue XNYS --session 2026-11-20 --rev 1 --reason "the cancels were wrong"
    """
    from truetape.pipeline.publish import PublishOptions, publish_once, revert_once

    if not reason and (not gated or rev or begin or replace_revert):
        raise click.UsageError(
            "--no-gate, --rev, --begin and --replace-revert need --reason: the ledger records who "
            "did it, and why"
        )
    if rev and replace_revert:
        raise click.UsageError("give --rev or --replace-revert: a revert replaces an older one")
    settings = current_settings()
    session, who = parse_session(venue, day), getpass.getuser()
    if rev:
        outcome = revert_once(settings, session, rev, who, reason or "", report=show_progress)
    else:
        options = PublishOptions(gated=gated, supersedes=replace_revert, restarts_boundary=begin)
        words = reason or "published by hand"
        outcome = publish_once(settings, session, who, words, show_progress, options=options)
    for line in publication_lines(outcome):
        click.echo(line)


def publication_lines(outcome: "Published") -> Iterator[str]:
    """Yield the lines that report one publication: what it wrote, and each kind of change."""
    label = f"{outcome.session.venue} {outcome.session.date}"
    yield f"{label}: {outcome.indicators:,} indicator rows written"
    if outcome.rev is None:
        yield f"{label}: zero edits, all {outcome.bars:,} served bars are right already"
        return
    yield f"{label}: rev {outcome.rev}, {outcome.edits:,} edits, {outcome.bars:,} bars"
    for change, count in outcome.changes.items():
        yield f"  {change}: {count:,}"
