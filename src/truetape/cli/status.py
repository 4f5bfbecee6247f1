"""The verb `status`: whether the served bars are complete, and what is final. Read only."""

import json
from collections.abc import Mapping

import click

from truetape.cli.options import VENUE
from truetape.host.errors import TransientError
from truetape.host.private_home import current_settings

EXIT_CODES: Mapping[str, int] = {"Yes": 0, "Nearly": 3, "Not yet": 3, "No": 4}


@click.command()
@click.option("--venue", type=VENUE, help="Only this venue.")
@click.option(
    "--json", "as_json", is_flag=True, help="For programs, with boundaries in nanoseconds."
)
@click.pass_context
def status(context: click.Context, venue: str | None, as_json: bool) -> None:
    """Show whether the served bars are complete, and up to where each venue's bars are final.

    Compares the calendars of TRUETAPE_VENUES with what is final, and asks Kafka, the lake, the
    store, the quality reports and the local Airflow. Lists the sessions that are missing, dirty or
    held at an older rev, and the newest publications. Writes nothing.

    Exit codes: 0 complete, 3 something waits or should be looked at, 4 something is wrong, 75 a
    source could not be read.
    """
    from truetape.pipeline import judgement_report
    from truetape.pipeline.fact_reader import read_facts
    from truetape.pipeline.judgement import judge
    from truetape.pipeline.status import fields, lines
    from truetape.stack.airflow_dags import read_dags

    settings = current_settings()
    facts = read_facts(settings, lambda: read_dags(settings))
    facts = facts if venue is None else facts.of_venue(venue)
    judgement, details = judge(facts), facts.status
    if as_json:
        report = judgement_report.fields(settings, judgement, facts)
        click.echo(json.dumps(report | ({} if details is None else fields(details))))
    else:
        for line in judgement_report.lines(judgement, facts):
            click.echo(line)
        for line in () if details is None else lines(details):
            click.echo(line)
    context.exit(EXIT_CODES[judgement.verdict] if judgement.is_known else TransientError.exit_code)
