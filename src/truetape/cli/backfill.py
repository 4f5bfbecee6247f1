"""The verb `backfill`: what is asked, the plan as a table, and what was done."""

import getpass
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from truetape.host.errors import ConfigError, OutdatedPlanError, VerificationError
from truetape.host.settings import Settings

if TYPE_CHECKING:
    from truetape.batch.backfill_notes import Notes
    from truetape.batch.backfill_plan import BackfillPlan, PartitionPlan
    from truetape.pipeline.sessions import SessionOutcome

_LISTED = 20
"""Most stretches or sessions that are listed one by one."""
_COLUMNS = ("asked", "in_kafka", "archived", "to_ingest", "lost", "awaited", "unwritten")


@click.command()
@click.option("--holes", is_flag=True, help="All that a recount finds missing.")
@click.option("--from", "start", metavar="TIME", help="Kafka got it at TIME or later; with --to.")
@click.option("--to", "end", metavar="TIME", help="Kafka got it before TIME.")
@click.option("--offsets", metavar="LIST", help="PARTITION:FIRST-LAST, ... both ends included.")
@click.option("--symbols", metavar="LIST", default="", help="Settle only sessions with these.")
@click.option("--reason", required=True, help="Why; kept with every publication that follows.")
@click.option("--apply", is_flag=True, help="Do it. Without, only the plan is made and shown.")
def backfill(  # noqa: PLR0917 - one parameter an option
    holes: bool,
    start: str | None,
    end: str | None,
    offsets: str | None,
    symbols: str,
    reason: str,
    apply: bool,
) -> None:
    """Fill holes of the lake from Kafka: exactly the missing offsets, then their sessions.

    Shows a plan first: of the offsets asked for, which are archived, which are missing and can be
    ingested, which Kafka has dropped, and what the missing ones hold. Writes nothing without
    --apply. Then it appends the missing records to `raw`, counts them there, and recomputes,
    publishes and verifies the sessions touched that are over. A second run is a no-op; one that was
    killed is finished by the next.

    \b
    asked      the offsets of the request, of each partition
    in kafka   those of them that Kafka has
    archived   those of them that the lake has
    to ingest  missing, and still in Kafka: what --apply brings
    lost       missing, and no longer in Kafka
    awaited    not archived yet; the next `truetape archive` brings them by itself
    unwritten  not given out by Kafka yet

    Times are when Kafka got a record, not when it traded: a replay of last year has today's times.
    Where the window begins before Kafka's first record, all that Kafka has dropped before is named.
    Missing offsets are ingested whatever symbol they hold; --symbols restricts what is settled.

    \b
    truetape backfill --holes --reason "nightly"
    truetape backfill --offsets 0:100-200,3:5-9 --reason "lost files" --apply
    truetape backfill --from 2026-11-20T14:00:00Z --to 2026-11-20T15:00:00Z --reason "outage"
    """
    from truetape.batch.backfill_notes import Notes
    from truetape.batch.backfill_request import request_of
    from truetape.batch.backfill_run import plan_once

    settings = Settings.from_env()
    request = request_of(_form(holes, start, end, offsets, symbols) | {"reason": reason})
    notes = Notes.of(settings)
    for earlier in notes.unfinished() if apply else ():
        click.echo(f"finishing backfill {earlier.plan.digest}: {earlier.plan.request.reason}")
        _ingest_if_due(settings, notes, earlier)
    _progress("counting raw and asking Kafka")
    planned = plan_once(settings, request)
    for line in _lines(planned):
        click.echo(line)
    if not apply:
        click.echo("nothing was written: this is the plan; --apply carries it out")
        return
    if planned.plan.to_ingest:
        notes.begin(planned)
        _ingest(settings, planned)
    else:
        click.echo("nothing to ingest")
    _settle(settings, notes)


def _form(
    holes: bool, start: str | None, end: str | None, offsets: str | None, symbols: str
) -> dict[str, Any]:
    """Return the values of the form that the options are; ConfigError unless they ask one thing."""
    asked = {"holes": holes, "time": bool(start or end), "offsets": bool(offsets)}
    chosen = [name for name, is_asked in asked.items() if is_asked]
    if len(chosen) != 1:
        raise ConfigError("give one of --holes, --from with --to, --offsets")
    names = [symbol for symbol in symbols.replace(",", " ").split() if symbol]
    return {"by": chosen[0], "from": start, "to": end, "offsets": offsets, "symbols": names}


def _ingest_if_due(settings: Settings, notes: "Notes", earlier: "BackfillPlan") -> None:
    """Ingest what an earlier run may not have; a plan that is outdated never wrote anything."""
    try:
        _ingest(settings, earlier)
    except OutdatedPlanError as error:
        click.echo(f"  dropped: {error}")
        notes.finish(earlier)


def _ingest(settings: Settings, planned: "BackfillPlan") -> None:
    from truetape.batch.backfill_run import ingest_once

    _progress("ingesting")
    done = ingest_once(settings, planned)
    click.echo(
        f"ingested {done.records:,} records, sent {done.dead_letters:,} dead letters"
        if done.records
        else f"all {planned.contents.records:,} records were in raw already"
    )


def _settle(settings: Settings, notes: "Notes") -> None:
    """Settle what was ingested and is not settled; last, since it can wait and retention cannot."""
    from truetape.pipeline.sessions import finalize_backfilled

    differing = 0
    for planned in notes.unfinished():
        outcomes, open_ones = finalize_backfilled(
            settings, planned, getpass.getuser(), datetime.now(UTC), _progress
        )
        for line in _settled(outcomes):
            click.echo(line)
        for venue, day in open_ones:
            click.echo(f"  {venue} {day}: not over yet, left to its own recompute")
        notes.finish(planned)
        differing += sum(len(outcome.mismatches) for outcome in outcomes)
    if differing:
        raise VerificationError(f"{differing:,} served bars differ from the recomputed ones")


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        click.echo(line, err=True)


def _lines(planned: "BackfillPlan") -> Iterator[str]:
    plan, contents = planned.plan, planned.contents
    yield f"backfill {plan.digest} of {plan.topic}"
    yield from _table(plan.partitions)
    for part in plan.partitions:
        yield from _listed(part, "to_ingest", "still in Kafka")
        yield from _listed(part, "lost", "lost: no longer in Kafka")
    if plan.archive_is_stuck:
        yield (
            "the archive cannot go on, Kafka dropped its next record; "
            'see "Records left Kafka before they were read" in docs/RUNBOOK.md'
        )
    yield (
        f"to ingest: {contents.records:,} records = {contents.events:,} events "
        f"+ {contents.rejected:,} rejected, in {len(contents.touched):,} sessions"
    )
    symbols = {(one.venue, one.day): one.symbols for one in contents.touched}
    due = planned.to_settle()
    for place in due[:_LISTED]:
        yield f"  {place[0]} {place[1]}: {len(symbols[place]):,} symbols"
    if len(due) > _LISTED:
        yield f"  and {len(due) - _LISTED:,} more"
    if len(due) < len(contents.touched):
        yield f"  {len(contents.touched) - len(due):,} sessions have none of the symbols asked for"


def _table(partitions: "tuple[PartitionPlan, ...]") -> Iterator[str]:
    yield "partition".rjust(9) + "".join(name.replace("_", " ").rjust(12) for name in _COLUMNS)
    for part in partitions:
        counts = [getattr(part, name).size for name in _COLUMNS]
        yield f"{part.partition:>9}" + "".join(f"{count:>12,}" for count in counts)


def _listed(part: "PartitionPlan", name: str, what: str) -> Iterator[str]:
    ranges = getattr(part, name).parts
    for offsets in ranges[:_LISTED]:
        yield f"  partition {part.partition}: offsets {offsets}, {what}"
    if len(ranges) > _LISTED:
        yield f"  partition {part.partition}: and {len(ranges) - _LISTED:,} more, {what}"


def _settled(outcomes: "list[SessionOutcome]") -> Iterator[str]:
    for outcome in outcomes:
        session, published = outcome.published.session, outcome.published
        rev = "zero edits" if published.rev is None else f"rev {published.rev}"
        yield (
            f"  {session.venue} {session.date}: {outcome.recomputed.trades:,} trades, {rev}, "
            f"{published.edits:,} edits; {outcome.compared:,} bars compared, "
            f"{len(outcome.mismatches):,} differ"
        )
