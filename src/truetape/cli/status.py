"""The verb `status`: up to where bars are final, and which sessions need work. Read only."""

import json

import click

from truetape.cli.options import VENUE
from truetape.host.private_home import current_settings


@click.command()
@click.option("--venue", type=VENUE, help="Only this venue.")
@click.option("--json", "as_json", is_flag=True, help="For programs: instants in nanoseconds.")
def status(venue: str | None, as_json: bool) -> None:
    """Show up to where each venue's bars are final, and which sessions need work.

    Lists the sessions that are missing before the boundary, the dirty ones, the ones held at an
    older rev, and the newest publication. Writes nothing.
    """
    from truetape.pipeline.status import fields, lines, status_of

    report = status_of(current_settings(), venue)
    if as_json:
        click.echo(json.dumps(fields(report)))
        return
    for line in lines(report):
        click.echo(line)
