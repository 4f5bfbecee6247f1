"""The verb `feed`: lists, shows and checks contracts, and begins a new one. Decodes nothing."""

import re
from datetime import UTC, datetime
from pathlib import Path

import click

from truetape.cli.output import console, require_writable
from truetape.host.dates import shown
from truetape.host.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
WRONG = 65
"""The exit code if a sample does not give its lines."""


@click.group()
def feed() -> None:
    """Work with the contracts of feeds: what their payloads look like, as YAML.

    Your own contracts are files that you name (`--feed ./acme.yaml`), or files in feeds/ of the
    folders in TRUETAPE_SCHEMAS, which come before those of truetape.
    """


@feed.command(name="list")
def list_feeds() -> None:
    """List the feeds that have a contract, and where its file is."""
    from rich.table import Table

    from truetape.feeds.contract import CsvPayload, contract_file, contract_names, load_contract
    from truetape.host.resources import own_schemas

    table = Table("feed", "version", "rows", "venue", "about", "file")
    for name in contract_names():
        contract, file = load_contract(name), contract_file(name)
        venue = contract.eras[-1].trade.venue
        codes = set((venue.codes or {}).values()) | {venue.default or ""}
        table.add_row(
            name,
            str(contract.version),
            "CSV" if isinstance(contract.layout, CsvPayload) else "JSON",
            venue.const or " ".join(sorted(codes)).strip(),
            contract.about or "",
            str(file) if any(own in file.parents for own in own_schemas()) else "truetape's own",
        )
    console().print(table, markup=False)


@feed.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the contract of the feed NAME, to read or to begin one's own with.

    \b
      truetape feed show kraken-v2 > acme.yaml
    """
    from truetape.feeds.contract import contract_file

    click.echo(contract_file(name).read_text("utf-8"), nl=False)


@feed.command()
@click.argument("contract")
@click.pass_context
def check(ctx: click.Context, contract: str) -> None:
    """Check a CONTRACT, the name of a feed or a YAML file, by its own samples.

    Prints for each sample whether it gives its native lines, and if not, the lines that it gives.
    Exit code 65: a sample gives other lines; 78: the file is no contract, with line and field.

    \b
      truetape feed check ./acme.yaml
    """
    from truetape.feeds.contract import contract_named
    from truetape.feeds.contract_check import sample_outcomes

    declared = contract_named(contract)
    wrong = 0
    for outcome in sample_outcomes(declared):
        click.echo(f"sample {outcome.number}: {'right' if outcome.is_right else 'WRONG'}")
        if not outcome.is_right:
            wrong += 1
            for title, lines in (("declared", outcome.expected), ("decoded", outcome.found)):
                click.echo(f"  {title}:")
                for line in lines:
                    click.echo(f"    - '{line}'")
    name = f"{declared.feed} version {declared.version}"
    click.echo(f"{name}: {len(declared.samples)} samples, {wrong} wrong")
    if wrong:
        ctx.exit(WRONG)


@feed.command()
@click.argument("name")
@click.argument("sample", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="The file to write; NAME.yaml.")
def new(name: str, sample: Path, output: Path | None) -> None:
    """Begin the contract of a new feed NAME from a SAMPLE of its payloads.

    Guesses where the records and their fields are, and writes each guess as a comment: nothing is
    in force until you have read the line and removed the # in front of it.

    \b
      truetape feed new acme acme.jsonl
      truetape feed check acme.yaml
    """
    from truetape.feeds.skeleton import skeleton

    if not _NAME.fullmatch(name):
        raise ConfigError(f"{shown(name)} is no name of a feed; use small letters, digits and -")
    file = output or Path(f"{name}.yaml")
    require_writable(file)
    if file.exists():
        raise ConfigError(f"{file} exists; remove it, or name another with --output")
    text = sample.read_text("utf-8", errors="replace")
    file.write_text(skeleton(name, text, sample.name, datetime.now(UTC).date()), "utf-8")
    click.echo(f"wrote {file}: read it, correct each guess and remove its #; then")
    click.echo(f"  truetape feed check {file}")
