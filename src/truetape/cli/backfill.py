"""The verb `backfill`: parses the request, prints the plan and the outcome. Plans nothing."""

import getpass
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from truetape.cli.output import show_progress
from truetape.host.errors import ConfigError, OutdatedPlanError, VerificationError
from truetape.host.private_home import current_settings
from truetape.host.settings import Settings

if TYPE_CHECKING:
    from truetape.batch.backfill_notes import BackfillNotes
    from truetape.batch.backfill_plan import BackfillPlan, PartitionPlan
    from truetape.pipeline.sessions import SessionOutcome

_LISTED = 20
"""Most offset ranges or sessions that are listed one by one."""
_COLUMNS = ("asked", "in_kafka", "archived", "to_ingest", "lost", "awaited", "unwritten")


@click.command()
@click.option("--holes", is_flag=True, help="All missing offsets that a recount finds.")
@click.option("--from", "start", metavar="TIME", help="Records since TIME, by Kafka's clock.")
@click.option("--to", "end", metavar="TIME", help="Records that Kafka got before TIME.")
@click.option("--offsets", metavar="LIST", help="PARTITION:FIRST-LAST, ...; both ends included.")
@click.option("--symbols", metavar="LIST", default="", help="Finalize only their sessions.")
@click.option("--reason", help="Why; recorded with each publication. --apply needs it.")
@click.option("--apply", is_flag=True, help="Carry the plan out; otherwise only print it.")
def backfill(  # noqa: PLR0917 - one parameter an option
    holes: bool,
    start: str | None,
    end: str | None,
    offsets: str | None,
    symbols: str,
    reason: str | None,
    apply: bool,
) -> None:
    """Fetch records that are missing in the lake from Kafka, then finalize their sessions.

    Prints a plan first: the requested offsets by state, and the content of the missing ones. Writes
    nothing without --apply. With --apply it appends the missing records to `raw`, counts them
    there, and recomputes, publishes and verifies the affected sessions that are over. Safe to
    repeat: a second run does nothing, and the next run finishes one that was killed. Exit codes: 65
    served bars differ after the publication, 75 Kafka was away.

    \b
    asked      requested offsets, of each partition
    in kafka   of these, the offsets that Kafka has
    archived   of these, the offsets that the lake has
    to ingest  missing, and still in Kafka: --apply fetches them
    lost       missing, and no longer in Kafka
    awaited    not archived yet; the next `truetape archive` appends them
    unwritten  not assigned by Kafka yet

    --from and --to are times at which Kafka got a record, not trade times: a replay of last year
    has today's times. If the range begins before Kafka's first record, the plan lists everything
    that Kafka dropped before it. Missing offsets are ingested for all symbols; --symbols limits
    which sessions are finalized.

    \b
    truetape backfill --holes
    truetape backfill --offsets 0:100-200,3:5-9 --reason "lost files" --apply
    truetape backfill --from 2026-11-20T14:00:00Z --to 2026-11-20T15:00:00Z --reason "outage"
    """
    from truetape.batch.backfill_notes import BackfillNotes
    from truetape.batch.backfill_request import PLAN_ONLY, request_of
    from truetape.batch.backfill_run import plan_once

    if apply and reason is None:
        raise click.UsageError("--apply needs --reason: each publication that follows records it")
    settings = current_settings()
    why = {"reason": PLAN_ONLY if reason is None else reason}
    request = request_of(_form(holes, start, end, offsets, symbols) | why)
    notes = BackfillNotes.of(settings)
    for earlier in notes.unfinished() if apply else ():
        click.echo(f"finishing backfill {earlier.plan.digest}: {earlier.plan.request.reason}")
        _ingest_if_due(settings, notes, earlier)
    show_progress("counting raw and asking Kafka")
    planned = plan_once(settings, request)
    for line in _plan_lines(planned):
        click.echo(line)
    if not apply:
        click.echo("nothing was written: this is the plan; --apply carries it out")
        return
    if planned.plan.to_ingest:
        notes.begin(planned)
        _ingest(settings, planned)
    else:
        click.echo("nothing to ingest")
    _finalize(settings, notes)


def _form(
    holes: bool, start: str | None, end: str | None, offsets: str | None, symbols: str
) -> dict[str, Any]:
    """Return the options as values of the backfill form.

    Raise ConfigError unless they select offsets in exactly one way.
    """
    given = {"holes": holes, "time": bool(start or end), "offsets": bool(offsets)}
    ways = [name for name, is_given in given.items() if is_given]
    if len(ways) != 1:
        raise ConfigError("give one of --holes, --from with --to, --offsets")
    names = [symbol for symbol in symbols.replace(",", " ").split() if symbol]
    return {"by": ways[0], "from": start, "to": end, "offsets": offsets, "symbols": names}


def _ingest_if_due(settings: Settings, notes: "BackfillNotes", earlier: "BackfillPlan") -> None:
    """Ingest the plan of an earlier run, or drop it: an outdated plan has written nothing."""
    try:
        _ingest(settings, earlier)
    except OutdatedPlanError as error:
        click.echo(f"  dropped: {error}")
        notes.finish(earlier)


def _ingest(settings: Settings, planned: "BackfillPlan") -> None:
    from truetape.batch.backfill_run import ingest_once

    show_progress("ingesting")
    done = ingest_once(settings, planned)
    click.echo(
        f"ingested {done.records:,} records, sent {done.dead_letters:,} dead letters"
        if done.records
        else f"raw already had all {planned.contents.records:,} records"
    )


def _finalize(settings: Settings, notes: "BackfillNotes") -> None:
    """Finalize the sessions of all ingested plans.

    This comes last: it can wait, while Kafka's retention may drop records that are not ingested.
    """
    from truetape.pipeline.sessions import finalize_backfilled

    differing = 0
    for planned in notes.unfinished():
        outcomes, open_sessions = finalize_backfilled(
            settings, planned, getpass.getuser(), datetime.now(UTC), show_progress
        )
        for line in _outcome_lines(outcomes):
            click.echo(line)
        for venue, day in open_sessions:
            click.echo(f"  {venue} {day}: not over yet; its nightly recompute will include them")
        notes.finish(planned)
        differing += sum(len(outcome.mismatches) for outcome in outcomes)
    if differing:
        raise VerificationError(f"{differing:,} served bars differ from the recomputed ones")


def _plan_lines(planned: "BackfillPlan") -> Iterator[str]:
    plan, contents = planned.plan, planned.contents
    yield f"backfill {plan.digest} of {plan.topic}"
    yield from _table(plan.partitions)
    for part in plan.partitions:
        yield from _range_lines(part, "to_ingest", "still in Kafka")
        yield from _range_lines(part, "lost", "lost: no longer in Kafka")
    yield (
        f"to ingest: {contents.records:,} records = {contents.events:,} events "
        f"+ {contents.rejected:,} rejected, in {len(contents.touched):,} sessions"
    )
    symbols = {(session.venue, session.day): session.symbols for session in contents.touched}
    due = planned.sessions_to_finalize()
    for place in due[:_LISTED]:
        yield f"  {place[0]} {place[1]}: {len(symbols[place]):,} symbols"
    if len(due) > _LISTED:
        yield f"  and {len(due) - _LISTED:,} more"
    if len(due) < len(contents.touched):
        yield f"  {len(contents.touched) - len(due):,} sessions have none of the given symbols"


def _table(partitions: "tuple[PartitionPlan, ...]") -> Iterator[str]:
    yield "partition".rjust(9) + "".join(name.replace("_", " ").rjust(12) for name in _COLUMNS)
    for part in partitions:
        counts = [getattr(part, name).size for name in _COLUMNS]
        yield f"{part.partition:>9}" + "".join(f"{count:>12,}" for count in counts)


def _range_lines(part: "PartitionPlan", name: str, what: str) -> Iterator[str]:
    ranges = getattr(part, name).parts
    for offsets in ranges[:_LISTED]:
        yield f"  partition {part.partition}: offsets {offsets}, {what}"
    if len(ranges) > _LISTED:
        yield f"  partition {part.partition}: and {len(ranges) - _LISTED:,} more, {what}"


def _outcome_lines(outcomes: "list[SessionOutcome]") -> Iterator[str]:
    for outcome in outcomes:
        session, published = outcome.published.session, outcome.published
        rev = "zero edits" if published.rev is None else f"rev {published.rev}"
        yield (
            f"  {session.venue} {session.date}: {outcome.recomputed.trades:,} trades, {rev}, "
            f"{published.edits:,} edits; {outcome.compared:,} bars compared, "
            f"{len(outcome.mismatches):,} differ"
        )
