"""The verb `feed`: lists, shows and checks contracts, and begins a new one. Decodes nothing."""

import re
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import click

from truetape.cli.options import DATE, SYMBOL
from truetape.cli.output import console, require_writable, show_progress
from truetape.feeds.file_names import NameParts
from truetape.host.dates import shown
from truetape.host.errors import ConfigError
from truetape.host.words import counted
from truetape.market.resolution import MS_NS

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
WRONG = 65
"""The exit code if a sample does not give its lines, or a file is no contract."""


@click.group()
def feed() -> None:
    """Work with the contracts of feeds: what their payloads look like, as YAML.

    Your own contracts are files that you name (`--feed ./acme.yaml`), or files in feeds/ of the
    folders in TRUETAPE_SCHEMAS, which come before those of truetape.
    """


@feed.command(name="list")
@click.pass_context
def list_feeds(ctx: click.Context) -> None:
    """List the feeds that have a contract, and where its file is.

    Names each file that is no contract, with line and field. Exit code 65: there is such a file.
    """
    from rich.table import Table

    from truetape.feeds.contract import contract_file, contract_names, load_contract
    from truetape.host.resources import own_schemas

    table = Table("feed", "version", "rows", "venue", "about", "file")
    broken: list[str] = []
    for name in contract_names():
        try:
            contract, file = load_contract(name), contract_file(name)
        except ConfigError as error:
            broken.append(f"{name}: {error}")
            continue
        venue = contract.eras[-1].trade.venue
        codes = set((venue.codes or {}).values()) | {venue.default or ""}
        table.add_row(
            name,
            str(contract.version),
            "JSON" if contract.payload else "CSV",
            venue.const or " ".join(sorted(codes)).strip(),
            contract.about or "",
            str(file) if any(own in file.parents for own in own_schemas()) else "truetape's own",
        )
    console().print(table, markup=False)
    for line in broken:
        click.echo(line, err=True)
    if broken:
        ctx.exit(WRONG)


@feed.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the contract of the feed NAME, to read or to begin one's own with.

    \b
      truetape feed show kraken-v2 > acme.yaml
    """
    from truetape.feeds.contract import contract_file
    from truetape.host.state_files import read_text

    click.echo(read_text(contract_file(name), "restore it"), nl=False)


@feed.command()
@click.argument("contract")
@click.option(
    "--data", "files", multiple=True, help="A trade file, folder or pattern to decode; repeatable."
)
@click.option("--profile", default="all", show_default=True, help="The eligibility profile.")
@click.option("--symbol-is", type=SYMBOL, help="The symbol of the files, as for `truetape bars`.")
@click.option("--date-is", "day", type=DATE, metavar="YYYY-MM-DD", help="Their date, likewise.")
@click.pass_context
def check(  # noqa: PLR0917 - one parameter an option
    ctx: click.Context,
    contract: str,
    files: tuple[str, ...],
    profile: str,
    symbol_is: str | None,
    day: date | None,
) -> None:
    """Check a CONTRACT, the name of a feed or a YAML file, by its own samples and by data.

    Prints for each sample whether it gives its native lines, and if not, the lines that it gives.
    With --data it decodes the files, and prints what became of their records: rejections by reason
    with their place, codes of conditions that the profile does not know, and the share of payloads
    that the kernel reads fast. Exit code 65: a sample gives other lines, or every record was
    rejected; 78: the file is no contract, with line and field.

    \b
      truetape feed check ./acme.yaml --data acme.jsonl --profile sip
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
    click.echo(f"{name}: {counted(len(declared.samples), 'sample')}, {wrong} wrong")
    given = NameParts(symbol_is, day)
    if wrong or (files and not _check_data(contract, files, profile, given)):
        ctx.exit(WRONG)


def _check_data(contract: str, files: Sequence[str], profile: str, given: NameParts) -> bool:
    """Decode files and print what became of their records. Return whether any was accepted."""
    from truetape.batch import file_bars
    from truetape.batch.bar_requests import BarRequest
    from truetape.feeds import file_sources
    from truetape.feeds.contract import contract_named
    from truetape.host.private_home import current_settings
    from truetape.host.timeframes import require_timeframe
    from truetape.market.timeframe import Fill

    read_ns = time.time_ns()
    sources = file_sources.find(files, contract_named(contract), given)
    for line in sources.notes():
        click.echo(line)
    request = file_bars.FileFold(
        files=sources.paths,
        feed=contract,
        bars=BarRequest(require_timeframe("1m", "utc"), Fill.NONE, read_ns),
        profile=profile,
        symbol=None,
        as_of_ns=None,
        settings=current_settings(),
        read_ms=read_ns // MS_NS,
        given=given,
        report=show_progress,
    )
    outcome = file_bars.kernel(request)
    for line in outcome.counts.lines(len(outcome.bars)):
        click.echo(line)
    share = outcome.counts.fast / max(outcome.counts.payloads, 1)
    click.echo(f"  fast lane: {share:.1%} of {counted(outcome.counts.payloads, 'payload')}")
    return outcome.counts.accepted > 0


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
    from truetape.feeds.sample_layout import head_of
    from truetape.feeds.skeleton import skeleton
    from truetape.host.state_files import write_text

    if not _NAME.fullmatch(name):
        raise ConfigError(f"{shown(name)} is no name of a feed; use small letters, digits and -")
    file = output or Path(f"{name}.yaml")
    require_writable(file)
    if file.exists():
        raise ConfigError(f"{file} exists; remove it, or name another with --output")
    text = head_of(sample)
    write_text(file, skeleton(name, text, sample.name, datetime.now(UTC).date()))
    written = click.format_filename(file)
    click.echo(f"wrote {written}: read it, correct each guess and remove its #; then")
    click.echo(f"  truetape feed check {written} --data {click.format_filename(sample)}")
