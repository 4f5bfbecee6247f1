"""The verb `archive`: prints what one run of the archive did. Archives nothing itself."""

import getpass
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from truetape.cli.output import show_progress
from truetape.host.errors import VerificationError
from truetape.host.private_home import current_settings

if TYPE_CHECKING:
    from truetape.lake.completeness import Completeness

_LISTED_HOLES = 20


@click.command()
@click.option("--recount", is_flag=True, help="Count all of `raw`, not only the new records.")
@click.option(
    "--new-generation",
    is_flag=True,
    help="Kafka lost a log, or the topic was made anew: keep the old records, take the new ones.",
)
@click.option("--reason", help="Why; kept with the new generation.")
def archive(recount: bool, new_generation: bool, reason: str | None) -> None:
    """Append every Kafka record that the lake lacks to its `raw` table, once.

    Safe to repeat and to interrupt. Prints a count for each partition and the offsets of each hole.
    The counts of earlier runs are reused while the table has as many rows as were counted;
    --recount counts all of it anyway. Exit code 75: Kafka was away; run it again. Exit code 78:
    Kafka has given offsets that the lake has to other records; nothing was archived, and
    --new-generation goes on. Exit code 65: Kafka deleted records before they were archived; all
    others are archived, and the next run is silent about these.
    """
    from truetape.batch.jobs import archive_once, begin_generation_once

    if new_generation is not bool(reason):
        raise click.UsageError("--new-generation needs --reason, and --reason needs it")
    settings = current_settings()
    if new_generation:
        for log in begin_generation_once(settings, getpass.getuser(), reason or ""):
            click.echo(f"new generation: {log.evidence}")
    outcome = archive_once(settings, recount=recount, report=show_progress)
    click.echo(f"archived {outcome.records:,} records into {settings.lake}")
    for part in [*outcome.earlier, *outcome.partitions]:
        for line in _completeness_lines(part):
            click.echo(line)
    click.echo(
        f"  {outcome.received:,} trades, cancels and corrections received "
        f"= {outcome.accepted:,} accepted + {outcome.rejected:,} rejected"
    )
    click.echo(f"  {outcome.dead_letters:,} dead letters sent to trades.rejected")
    for (venue, day), symbols in sorted(outcome.dirty.items()):
        click.echo(
            f"  dirty: {venue} {day}, {symbols:,} symbols; `truetape repair` recomputes them"
        )
    click.echo(
        "  counted all of raw"
        if outcome.since is None
        else f"  counted the records that raw got since its version {outcome.since}"
    )
    if outcome.newly_lost:
        lost = "; ".join(
            f"{hole.topic}/{hole.partition} offsets {hole.offsets}" for hole in outcome.newly_lost
        )
        raise VerificationError(
            f"Kafka deleted records before they were archived: {lost}; "
            'see "Records left Kafka before they were read" in docs/RUNBOOK.md'
        )


def _completeness_lines(part: "Completeness") -> Iterator[str]:
    offsets = f"offsets {part.first} to {part.last}, " if part.records else ""
    repeated = f", {part.repeated:,} of them repeated" if part.repeated else ""
    yield (
        f"  {part.topic}/{part.partition}: {offsets}{part.records:,} records{repeated}, "
        f"{len(part.holes):,} holes"
    )
    for hole in part.holes[:_LISTED_HOLES]:
        where = "still in Kafka" if hole.recoverable else "lost: no longer in Kafka"
        yield f"    hole: offsets {hole.offsets}, {where}"
    if len(part.holes) > _LISTED_HOLES:
        yield f"    and {len(part.holes) - _LISTED_HOLES:,} more"
