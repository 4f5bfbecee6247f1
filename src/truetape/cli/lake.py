"""The verb `lake`: the upgrade of an older lake."""

import click

from truetape.cli.output import show_progress
from truetape.host.private_home import current_settings


@click.group()
def lake() -> None:
    """Look after the tables of the lake."""


@lake.command()
def upgrade() -> None:
    """Rewrite the tables of a lake that an older version of truetape wrote.

    Prices, sizes and sums get 20 digits and 18 decimals, and each trade its price x size. Values do
    not change. Every other command refuses such a lake (78). Stop what writes the lake first. Each
    table is one commit: after a kill or a failure run it again, and it goes on with the other
    tables. The old files stay until the maintenance removes them, so the lake needs twice its size
    until then.

    \b
      truetape lake upgrade
    """
    from truetape.lake.upgrade import upgrade as upgrade_tables

    done = False
    for table in upgrade_tables(current_settings().lake, show_progress):
        click.echo(f"{table.table}: {table.rows:,} rows in {table.files:,} files")
        done = True
    if not done:
        click.echo("no table needs an upgrade")
