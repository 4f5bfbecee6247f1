"""The verb `replay`: runs the replay, shows its steps, prints its tables. Sends nothing itself."""

import dataclasses
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import click

from truetape.cli import output
from truetape.cli.options import date_is_option, symbol_is_option
from truetape.host.errors import ConfigError, VerificationError
from truetape.host.private_home import current_settings
from truetape.host.setting_rules import declared_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from truetape.pipeline.sessions import SessionOutcome
    from truetape.tour.vendor_check import VendorCheck

_LISTED_DIFFERENCES = 40


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--feed", required=True, help="Feed contract; `truetape decode --help` lists them.")
@click.option("--profile", required=True, help="Eligibility profile: all, sip or lean.")
@symbol_is_option
@date_is_option
@click.option("--speed", default="max", show_default=True, help="Times real time, or max.")
@click.option(
    "--again",
    is_flag=True,
    help="Send files that were sent before, because Kafka has lost their records. Trades without "
    "ids count twice if it has not.",
)
def replay(  # noqa: PLR0917 - one parameter an option
    files: tuple[str, ...],
    feed: str,
    profile: str,
    symbol_is: str | None,
    day: date | None,
    speed: str,
    again: bool,
) -> None:
    """Send trade FILES through Kafka and the whole pipeline, until their bars are final.

    FILES are files, folders with everything below, and patterns, as for `truetape bars`.
    Starts the local stack if it does not run, sends the files in the order of their event times,
    and lets the speed layer write provisional bars. Then it archives the records, and recomputes,
    publishes and verifies each session of the files. Writes to the `history` buckets, where nothing
    expires. If a vendor's own bars are in the folder of a file, it compares them with the bars read
    back from InfluxDB. Safe to repeat. Exit code 65: served bars differ from the recomputed ones.

    \b
      truetape replay tick/ibm/2013*.zip --feed lean-equity-tick --profile lean
      truetape replay http_trades.json --feed kraken-rest --profile all --speed 600
    """
    from rich.console import Console

    from truetape.feeds import file_sources
    from truetape.feeds.contract import load_contract
    from truetape.feeds.file_names import NameParts
    from truetape.feeds.streams import STDIN
    from truetape.pipeline import sessions
    from truetape.serving.backends import open_store
    from truetape.stack import lifecycle
    from truetape.tour.replay import send, through_speed_layer
    from truetape.tour.vendor_check import checks

    pace = _speed(speed)
    declared_names("--feed", (feed,), "feed")
    declared_names("--profile", (profile,), "profile")
    settings = dataclasses.replace(
        current_settings(), bucket_set="history", profile=profile, feeds=(feed,), airflow=False
    )
    given = NameParts(symbol_is, day)
    sources = file_sources.find(files, load_contract(feed), given)
    paths = sources.paths
    if STDIN in paths:
        raise click.UsageError("replay reads its files more than once; name a file in place of -")
    console = Console(stderr=True, soft_wrap=True)
    for line in sources.notes():
        console.print(line, highlight=False, markup=False)
    with console.status("starting the local stack") as status:

        def report(line: str) -> None:
            status.update(line)
            console.print(line, highlight=False)

        lifecycle.up(settings, report=report, build_influx=True)
        store = open_store(settings)
        store.ensure_buckets()
        sending = partial(send, settings, paths, feed, pace, report, again=again, given=given)
        sent = through_speed_layer(settings, sending, report)
        archived, outcomes = sessions.finalize_sessions(
            settings, sent.ordered(), f"replay of {feed}", report
        )
        status.update("comparing with the vendor")
        vendor_checks = list(checks(settings, store, paths, feed))
    out = output.console()
    out.print(
        f"{sent.records:,} payloads contained {sent.events + sent.rejected:,} records "
        f"= {sent.events:,} accepted + {sent.rejected:,} rejected; "
        f"the lake holds {archived.received:,} = {archived.accepted:,} + {archived.rejected:,}, "
        f"{sum(len(part.holes) for part in archived.partitions)} holes"
    )
    _print_sessions(out, outcomes)
    _print_checks(out, vendor_checks)
    differing = sum(len(outcome.mismatches) for outcome in outcomes)
    if differing:
        raise VerificationError(f"{differing:,} served bars differ from the recomputed ones")


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise ConfigError(f"--speed is {text!r}; give a number above 0, or max")
    return speed


def _print_sessions(out: "Console", outcomes: "Iterable[SessionOutcome]") -> None:
    from rich.table import Table

    table = Table(title="Sessions: recomputed, published, read back", title_justify="left")
    for heading in (
        "session", "trades", "rev", "confirmed", "changed", "added", "void", "compared", "differ",
    ):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "session" else "right")
    for outcome in outcomes:
        session, changes = outcome.published.session, outcome.published.changes
        counts = [changes.get(key, 0) for key in ("confirm", "change", "add", "void")]  # type: ignore[call-overload]
        table.add_row(
            f"{session.venue} {session.date}",
            f"{outcome.recomputed.trades:,}",
            str(outcome.published.rev or "unchanged"),
            *[f"{count:,}" for count in counts],
            f"{outcome.compared:,}",
            f"{len(outcome.mismatches):,}",
        )
    out.print(table)


def _print_checks(out: "Console", checks: "list[VendorCheck]") -> None:
    from rich.table import Table

    if not checks:
        out.print("There are no vendor bars for these files.")
        return
    table = Table(title="Bars read back from InfluxDB, and the vendor's bars", title_justify="left")
    for heading in ("symbol", "file", "resolution", "compared", "equal", "share"):
        table.add_column(heading, justify="left" if heading in ("symbol", "file") else "right")
    totals: dict[str, list[int]] = {}
    for check in checks:
        agreement = check.agreement
        total = totals.setdefault(check.resolution.value, [0, 0])
        total[0] += agreement.compared
        total[1] += agreement.equal
        table.add_row(
            check.symbol,
            check.file.name,
            check.resolution.value,
            f"{agreement.compared:,}",
            f"{agreement.equal:,}",
            f"{agreement.share:.4%}",
        )
    for resolution, (compared, equal) in totals.items():
        share = f"{equal / compared:.4%}" if compared else "-"
        table.add_row("all", "", resolution, f"{compared:,}", f"{equal:,}", share, style="bold")
    out.print(table)
    _print_differences(out, checks)


def _print_differences(out: "Console", checks: "list[VendorCheck]") -> None:
    from rich.table import Table

    from truetape.feeds.native import iso

    rows = [(check, item) for check in checks for item in check.agreement.differences]
    if not rows:
        return
    table = Table(title=f"Every difference ({len(rows)})", title_justify="left")
    for heading in ("symbol", "bar", "field", "served", "vendor", "reason"):
        table.add_column(heading)
    for check, item in rows[:_LISTED_DIFFERENCES]:
        label = f"{check.resolution.value} {iso(item.start_ns)}"
        table.add_row(
            check.symbol, label, item.field, str(item.served), str(item.vendor), item.reason
        )
    out.print(table)
    if len(rows) > _LISTED_DIFFERENCES:
        out.print(f"and {len(rows) - _LISTED_DIFFERENCES} more")
