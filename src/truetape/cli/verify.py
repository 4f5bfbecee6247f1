"""The verb `verify`: compares the served bars of a session with the recomputed ones. Read only."""

import time

import click

from truetape.cli.options import limit_option, session_options
from truetape.host.calendars import parse_session
from truetape.host.errors import VerificationError
from truetape.host.private_home import current_settings


@click.command()
@session_options
@limit_option(20, "Most differences to list.")
@click.option(
    "--every-row", is_flag=True, help="Read also the rows of symbols whose digests are equal."
)
def verify(venue: str, day: str, limit: int, every_row: bool) -> None:
    """Compare the served bars of one session with the recomputed ones: the database's digest of
    each symbol, and the rows of those whose digest differs.

    If the session was reverted, compares with the restored rev. Prints each difference and writes
    nothing. Exit code 65: bars differ; the last line says whether to publish or to
    recompute the session.
    """
    from truetape.publish.revert import target_bars
    from truetape.publish.verification import compare_served, next_move
    from truetape.quality.checks import closed_by
    from truetape.serving.backends import open_store

    settings = current_settings()
    session = parse_session(venue, day)
    started = time.monotonic()
    store = open_store(settings)
    target = target_bars(settings.lake, store, session)
    compared, wrong = compare_served(store, target, every_row=every_row)
    for mismatch in wrong[:limit]:
        click.echo(f"{mismatch.resolution.value} served {mismatch.served}")
        click.echo(f"   recomputed {mismatch.recomputed}")
    seconds = time.monotonic() - started
    click.echo(
        f"{venue} {day}: {compared:,} bars compared in {seconds:.1f} s, {len(wrong):,} differ"
    )
    if wrong:
        move = next_move(settings, target, compared, wrong, closed_by(settings, session))
        raise VerificationError(f"{len(wrong):,} served bars differ; {move}")
