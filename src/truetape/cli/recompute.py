"""The verb `recompute`: one session's bars from the lake, now or as known at an instant.

Publishes nothing.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from truetape.cli.options import INSTANT, session_options
from truetape.cli.output import require_writable
from truetape.host.calendars import parse_session
from truetape.host.dates import shown
from truetape.host.private_home import current_settings, files_for_others
from truetape.market.resolution import Resolution

if TYPE_CHECKING:
    from truetape.batch.recompute import Recomputed
    from truetape.market.sessions import Session


@click.command()
@session_options
@click.option("--profile", help="Eligibility profile [TRUETAPE_PROFILE].")
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

    Replaces the whole session in the lake. The served bars do not change until `publish`. With
    --dirty it recomputes only the symbols that have new archived records, if the other symbols have
    the same profile; `truetape repair` does that, and publishes. With --as-of it only counts the
    trades known at TIME, and writes their bars to a file if --out is given. After a failure the
    lake still has the earlier bars; run it again.

    \b
      truetape recompute --venue XNYS --session 2026-11-20
      truetape recompute --venue XNYS --session 2026-11-20 --as-of 2026-11-20T19:00:00Z --out b.csv
    """
    from truetape.batch.jobs import recompute_once

    session = parse_session(venue, day)
    if as_of_ns is not None:
        if dirty:
            raise click.UsageError("--dirty writes the lake, --as-of does not: give only one")
        _recompute_as_of(session, profile, as_of_ns, out)
        return
    if out is not None:
        raise click.UsageError("--out needs --as-of; the lake has the bars of now")
    _echo_counts(recompute_once(current_settings(), session, profile, dirty=dirty), "")


def _recompute_as_of(
    session: "Session", profile: str | None, as_of_ns: int, out: Path | None
) -> None:
    from truetape.batch.bar_lines import lines
    from truetape.batch.jobs import recompute_as_of_once
    from truetape.feeds.native import iso

    if out is not None:
        if out.suffix not in (".csv", ".jsonl"):
            raise click.UsageError(f"--out {shown(str(out))}: name it .csv or .jsonl")
        require_writable(out)
    known = recompute_as_of_once(current_settings(), session, profile, as_of_ns)
    _echo_counts(known.counts, f" as known at {iso(as_of_ns)}")
    if out is not None:
        with files_for_others(), out.open("w", encoding="utf-8") as file:
            for line in lines(known.bars(), out.suffix[1:]):
                file.write(f"{line}\n")


def _echo_counts(outcome: "Recomputed", when: str) -> None:
    label = f"{outcome.session.venue} {outcome.session.date}{when}"
    click.echo(
        f"{label}: {outcome.trades:,} trades ({outcome.duplicates:,} repeat deliveries, "
        f"{outcome.cancelled:,} cancelled, {outcome.corrected:,} corrected, "
        f"{outcome.unknown_conditions:,} with unknown conditions)"
    )
    for code, count in outcome.unknown_codes.items():
        click.echo(f"  unknown condition {code}: {count:,} trades, which count for nothing")
    for name in [resolution.value for resolution in Resolution]:
        click.echo(f"  {name}: {outcome.bars.get(name, 0):,} bars")
    for feed in outcome.contracts:
        if not feed.is_uniform:
            click.echo(f'  {feed}; see "A contract that changed" in docs/RUNBOOK.md')
