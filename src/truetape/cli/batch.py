"""The batch layer's verbs: `bars`, `archive`, `recompute`. Parses arguments, prints outcomes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from truetape.host.calendars import parse_session
from truetape.host.settings import Settings
from truetape.market.event_time import Shape, TimeSpec, parse
from truetape.market.resolution import Resolution

if TYPE_CHECKING:
    from truetape.batch.recompute import Recomputed
    from truetape.lake.completeness import Completeness
    from truetape.market.sessions import Session

_LISTED_HOLES = 20


class _Instant(click.ParamType[int]):
    """An ISO 8601 time with offset, or epoch nanoseconds."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        text = str(value)
        spec = TimeSpec(Shape.EPOCH_NS if text.lstrip("-").isdecimal() else Shape.ISO8601)
        parsed = parse(text, spec)
        if not isinstance(parsed, int):
            self.fail(f"{text!r}: {parsed.detail}; write it like 2026-11-20T21:00:00Z", param, ctx)
        return parsed


INSTANT = _Instant()
RESOLUTION = click.Choice([resolution.value for resolution in Resolution])


def session_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--venue` and `--session` to a verb that works on one session."""
    day = click.option("--session", "day", required=True, metavar="DATE", help="Session date.")
    venue = click.option("--venue", required=True, help="Venue code, such as XNYS or KRAKEN.")
    return venue(day(verb))


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--feed", required=True, help="Feed contract; `truetape decode --help` lists them.")
@click.option("--resolution", required=True, type=RESOLUTION)
@click.option("--profile", required=True, help="Eligibility profile: all, sip or lean.")
@click.option("--symbol", help="Only this symbol.")
@click.option(
    "--as-of", "as_of_ns", type=INSTANT, help="As known at TIME: received at or before it."
)
@click.option("--engine", type=click.Choice(["reference", "spark"]), default="reference")
@click.option("--format", "style", type=click.Choice(["csv", "jsonl"]), default="csv")
def bars(  # noqa: PLR0917 - one parameter an option
    files: tuple[Path, ...],
    feed: str,
    resolution: str,
    profile: str,
    symbol: str | None,
    as_of_ns: int | None,
    engine: str,
    style: str,
) -> None:
    """Fold trade FILES into bars, without any server.

    Duplicates, cancels and corrections in the files are applied. Prices and sizes are exact
    decimals. Both engines print the same bytes; `spark` is for files too large for one process.

    \b
      truetape bars 20131007_trade.zip --feed lean-equity-tick --profile lean --resolution 1m
      truetape bars day.jsonl --feed truetape --profile sip --resolution 1d \\
          --as-of 2026-11-20T21:05:00Z
    """
    from truetape.batch import file_bars

    request = file_bars.Request(
        files, feed, Resolution(resolution), profile, symbol, as_of_ns, Settings.from_env()
    )
    fold = file_bars.reference if engine == "reference" else file_bars.spark
    outcome = fold(request)
    for line in file_bars.lines(outcome.bars, style):
        click.echo(line)
    click.echo(
        f"{outcome.received:,} records received = {outcome.accepted:,} accepted "
        f"+ {outcome.rejected:,} rejected; {len(outcome.bars):,} bars",
        err=True,
    )
    for reason, count in sorted(outcome.reasons.items()):
        click.echo(f"  rejected {reason}: {count:,}", err=True)


@click.command()
@click.option("--recount", is_flag=True, help="Count all of `raw`, not only what is new.")
def archive(recount: bool) -> None:
    """Bring every Kafka record that the lake lacks into its `raw` table, once.

    Safe to repeat and to interrupt. Ends with a count per partition; a hole is named by its
    offsets. Counts of earlier runs are taken over; --recount finds what `raw` lost since.
    """
    from truetape.batch.jobs import archive_once

    settings = Settings.from_env()
    outcome = archive_once(settings, recount=recount)
    click.echo(f"archived {outcome.records:,} records into {settings.lake}")
    for part in outcome.partitions:
        for line in _completeness(part):
            click.echo(line)
    click.echo(
        f"  {outcome.received:,} trades, cancels and corrections received "
        f"= {outcome.accepted:,} accepted + {outcome.rejected:,} rejected"
    )
    click.echo(f"  {outcome.dead_letters:,} dead letters sent to trades.rejected")
    for (name, day), symbols in sorted(outcome.dirty.items()):
        click.echo(f"  dirty: {name} {day}, {symbols:,} symbols; `truetape repair` recomputes them")
    click.echo(
        "  counted all of raw"
        if outcome.since is None
        else f"  counted what raw got since its version {outcome.since}"
    )


def _completeness(part: "Completeness") -> Iterator[str]:
    offsets = f"offsets {part.first} to {part.last}, " if part.records else ""
    repeated = f", {part.repeated:,} of them repeated" if part.repeated else ""
    yield (
        f"  {part.topic}/{part.partition}: {offsets}{part.records:,} records{repeated}, "
        f"{len(part.holes):,} holes"
    )
    for hole in part.holes[:_LISTED_HOLES]:
        where = "still in Kafka" if hole.recoverable else "lost: no longer in Kafka"
        yield f"    hole: offsets {hole.first} to {hole.last}, {where}"
    if len(part.holes) > _LISTED_HOLES:
        yield f"    and {len(part.holes) - _LISTED_HOLES:,} more"


@click.command()
@session_options
@click.option("--profile", help="Eligibility profile; default is TRUETAPE_PROFILE.")
@click.option("--dirty", is_flag=True, help="Only the symbols that are marked dirty.")
@click.option(
    "--as-of", "as_of_ns", type=INSTANT, help="As known at TIME; writes nothing to the lake."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="With --as-of: all bars, into .csv or .jsonl."
)
def recompute(  # noqa: PLR0917 - one parameter an option
    venue: str, day: str, profile: str | None, dirty: bool, as_of_ns: int | None, out: Path | None
) -> None:
    """Recompute one session's trades and bars from the lake, exactly.

    Replaces the session in the lake as a whole; what is served does not change until `publish`.
    With --dirty only symbols for which something was archived since, if the others have the same
    profile; `truetape repair` does that, and publishes.
    With --as-of it only counts what was known then, and writes the bars to a file if asked.

    \b
      truetape recompute --venue XNYS --session 2026-11-20
      truetape recompute --venue XNYS --session 2026-11-20 --as-of 2026-11-20T19:00:00Z --out b.csv
    """
    from truetape.batch.jobs import recompute_once

    session = parse_session(venue, day)
    if as_of_ns is not None:
        if dirty:
            raise click.UsageError("--dirty writes the lake, --as-of does not: give one of them")
        _recompute_as_of(session, profile, as_of_ns, out)
        return
    if out is not None:
        raise click.UsageError("--out needs --as-of; the lake has the other bars")
    _tell(recompute_once(Settings.from_env(), session, profile, dirty=dirty), "")


def _recompute_as_of(
    session: "Session", profile: str | None, as_of_ns: int, out: Path | None
) -> None:
    from truetape.batch.file_bars import lines
    from truetape.batch.jobs import known_once
    from truetape.feeds.native import iso

    if out is not None and out.suffix not in (".csv", ".jsonl"):
        raise click.UsageError(f"--out {out}: give a name that ends in .csv or .jsonl")
    known = known_once(Settings.from_env(), session, profile, as_of_ns)
    _tell(known.counts, f" as known at {iso(as_of_ns)}")
    if out is not None:
        with out.open("w", encoding="utf-8") as file:
            for line in lines(known.bars(), out.suffix[1:]):
                file.write(f"{line}\n")


def _tell(outcome: "Recomputed", when: str) -> None:
    named = f"{outcome.session.venue} {outcome.session.date}{when}"
    click.echo(
        f"{named}: {outcome.trades:,} trades ({outcome.duplicates:,} repeat deliveries, "
        f"{outcome.cancelled:,} cancelled, {outcome.corrected:,} corrected, "
        f"{outcome.unknown_conditions:,} with unknown conditions)"
    )
    for name in [resolution.value for resolution in Resolution]:
        click.echo(f"  {name}: {outcome.bars.get(name, 0):,} bars")
