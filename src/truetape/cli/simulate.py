"""Commands of the feeds: what `truetape` offers on payloads, files and simulated sessions."""

import gzip
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from truetape.host.errors import ConfigError
from truetape.host.settings import Settings

if TYPE_CHECKING:
    from truetape.feeds.simulator import Plan
    from truetape.feeds.simulator_faults import Faults

LIVE_LEAD_S = 1.0
"""A live session starts this long after the command, so that its first record is not late."""


@click.command()
@click.option("--feed", default="truetape", show_default=True, help="Format of the payloads.")
@click.option("--venue", help="Market of the bars, where the feed carries several [XNYS].")
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="Session to simulate.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same bytes.")
@click.option("--symbols", default="IBM,MSFT,AAPL", show_default=True, help="The first is busiest.")
@click.option("--trades", default=100_000, show_default=True, help="True prints in all.")
@click.option("--rate", type=float, help="Prints a second on average, instead of --trades.")
@click.option("--offset", type=float, help="Start so many seconds after the open.")
@click.option("--duration", type=float, help="Seconds to simulate [the whole session].")
@click.option("--late", type=float, help="Share of prints that arrive minutes late.")
@click.option("--duplicate", type=float, help="Share of prints delivered twice.")
@click.option("--cancel", type=float, help="Share of prints cancelled later.")
@click.option("--correct", type=float, help="Share of prints corrected later.")
@click.option("--malformed", type=float, help="Broken records on top, as a share of prints.")
@click.option("--outage", type=float, help="Seconds without any print, in mid-session.")
@click.option("--bad-clock", type=float, help="Share of the time that one clock runs ahead.")
@click.option("--no-faults", is_flag=True, help="None of these, unless one is given.")
@click.option("--live", is_flag=True, help="Start now and write each record when it is due.")
@click.option("--kafka", "to_kafka", is_flag=True, help="Send to TRUETAPE_TOPIC, write nothing.")
@click.option("--out", type=click.Path(path_type=Path), help="Write here, .gz packs [stdout].")
@click.option("--truth", type=click.Path(path_type=Path), help="Write the true trades, native.")
@click.option("--troubles", type=click.Path(path_type=Path), help="Write what went wrong, JSON.")
def simulate(  # noqa: PLR0917 - one parameter an option
    feed: str,
    venue: str | None,
    day: datetime | None,
    seed: int,
    symbols: str,
    trades: int,
    rate: float | None,
    offset: float | None,
    duration: float | None,
    no_faults: bool,
    live: bool,
    to_kafka: bool,
    out: Path | None,
    truth: Path | None,
    troubles: Path | None,
    **faults: float | None,
) -> None:
    """Make a believable session of an exchange, one payload a line, in order of arrival.

    Volume over the day, ties, odd lots, sale conditions, auctions, and the troubles of real feeds:
    late prints, second deliveries, cancels, corrections, an outage, a clock that runs ahead. The
    truth is written beside it: bars of the --truth file are what the bars of the output must be.

    \b
    truetape simulate --date 2026-11-20 --trades 200000 --out day.jsonl --truth truth.jsonl
    truetape simulate --feed binance --symbols BTCUSDT --duration 30 --rate 200 --live
    truetape simulate --venue BITSTAMP --symbols BTCUSD --duration 600 --rate 20 --live --kafka
    """
    from truetape.feeds.simulator import Plan

    if day is None and not live:
        raise ConfigError("no session to simulate; give --date YYYY-MM-DD, or --live for now")
    if rate is not None and duration is None:
        raise ConfigError("--rate needs --duration")
    if to_kafka and out is not None:
        raise ConfigError("--kafka and --out exclude each other; give one of them")
    plan = Plan(
        day=datetime.now(UTC).date() if day is None else day.date(),
        feed=feed,
        venue=venue,
        seed=seed,
        symbols=tuple(symbols.split(",")),
        trades=trades if rate is None or duration is None else max(1, round(rate * duration)),
        offset_s=offset,
        duration_s=duration,
        starts_ns=time.time_ns() + int(LIVE_LEAD_S * 1e9) if live else None,
        faults=_faults(no_faults, faults),
    )
    _simulate(plan, live=live, to_kafka=to_kafka, out=out, truth=truth, troubles=troubles)


def _faults(none: bool, given: Mapping[str, float | None]) -> "Faults":
    from truetape.feeds.simulator_faults import NO_FAULTS, Faults

    names = {"outage": "outage_s"}
    changed = {names.get(name, name): rate for name, rate in given.items() if rate is not None}
    return replace(NO_FAULTS if none else Faults(), **changed)  # type: ignore[arg-type]


def _simulate(
    plan: "Plan",
    *,
    live: bool,
    to_kafka: bool,
    out: Path | None,
    truth: Path | None,
    troubles: Path | None,
) -> None:
    from truetape.broker.producer import send_all
    from truetape.feeds.native import encode
    from truetape.feeds.records import paced
    from truetape.feeds.simulator import simulate

    click.echo(f"simulating {plan.trades:,} prints of {plan.feed}, seed {plan.seed}", err=True)
    made = simulate(plan)
    if truth:
        _write(truth, (encode(trade).encode() for trade in made.truth.trades))
    if troubles:
        _write(troubles, (json.dumps(asdict(trouble)).encode() for trouble in made.troubles))
    records = paced(made.records, time.time_ns, time.sleep) if live else made.records
    if to_kafka:
        settings = Settings.from_env()
        send_all(settings.kafka, settings.topic, records)
    else:
        _write(out, (record.payload for record in records), flush=live)
    counts = Counter(str(trouble.cause) for trouble in made.troubles)
    told = ", ".join(f"{count:,} {cause}" for cause, count in sorted(counts.items()))
    click.echo(f"{len(made.records):,} records; {told or 'no trouble'}", err=True)


def _write(path: Path | None, lines: Iterable[bytes], *, flush: bool = False) -> None:
    with _opened(path) as file:
        for line in lines:
            file.write(line + b"\n")
            if flush:
                file.flush()


@contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO]:
    """Open a file to write, packed where its name ends in .gz; no path is standard output."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        file = path.open("wb")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; choose another path") from error
    with file:
        if path.suffix == ".gz":
            # no file name and no time inside, so that the same lines pack to the same bytes
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                yield packed  # type: ignore[misc]
        else:
            yield file
