"""The verb `simulate`: writes a simulated session to files or Kafka. Simulates nothing itself."""

import gzip
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from truetape.cli.options import DAY, Number, Whole, with_default
from truetape.feeds.native import iso
from truetape.host.errors import ConfigError
from truetape.host.private_home import current_settings
from truetape.market.resolution import MS_NS

if TYPE_CHECKING:
    from truetape.feeds.records import Record
    from truetape.feeds.simulator.faults import Faults
    from truetape.feeds.simulator.session import SimulationPlan

MAX_RATE = 1_000_000
MAX_S = 604_800
LIVE_LEAD_S = 1.0
"""A live session starts this many seconds after the command: its first record is not late."""


@click.command()
@click.option("--feed", default="truetape", show_default=True, help="Format of the payloads.")
@click.option("--venue", help="Market of the bars, where the feed carries several [XNYS].")
@click.option("--date", "day", type=DAY, help="Session to simulate.")
@with_default("--seed", Whole(), 0, "The same seed gives the same bytes.")
@click.option("--symbols", default="IBM,MSFT,AAPL", show_default=True, help="The first is busiest.")
@with_default("--trades", Whole(1), 100_000, "Number of true trades.")
@click.option(
    "--rate", type=Number(0, MAX_RATE), help="Trades a second on average, instead of --trades."
)
@click.option("--offset", type=Number(0), help="Seconds after the open at which to start.")
@click.option("--duration", type=Number(0, MAX_S), help="Seconds to simulate [the whole session].")
@click.option("--late", type=Number(0), help="Share of trades that arrive minutes late.")
@click.option("--duplicate", type=Number(0), help="Share of trades delivered twice.")
@click.option("--cancel", type=Number(0), help="Share of trades cancelled later.")
@click.option("--correct", type=Number(0), help="Share of trades corrected later.")
@click.option(
    "--malformed", type=Number(0), help="Broken records in addition, as a share of trades."
)
@click.option("--outage", type=Number(0), help="Seconds without any trade, in mid-session.")
@click.option("--bad-clock", type=Number(0), help="Share of the time that one clock runs ahead.")
@click.option("--no-faults", is_flag=True, help="No faults, except those given as options.")
@click.option("--live", is_flag=True, help="Start now and write each record at its time.")
@click.option("--kafka", "to_kafka", is_flag=True, help="Send to TRUETAPE_TOPIC instead.")
@click.option("--out", type=click.Path(path_type=Path), help="File; .gz compresses it [stdout].")
@click.option("--truth", type=click.Path(path_type=Path), help="File for the true trades, native.")
@click.option(
    "--troubles", type=click.Path(path_type=Path), help="File for the faults, JSON lines."
)
def simulate(  # noqa: PLR0917 - one parameter an option
    feed: str,
    venue: str | None,
    day: date | None,
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
    """Simulate a realistic session of an exchange, one payload a line, in order of arrival.

    Has the volume curve of a day, ties, odd lots, sale conditions and auctions, and the faults of
    real feeds: late trades, duplicates, cancels, corrections, an outage, a clock that runs ahead.
    The --truth file has the true trades: bars of the output must equal the bars of that file.
    Writes only the files named, or Kafka. Exit code 78: an option is missing or a file is not
    writable.

    \b
    truetape simulate --date 2026-11-20 --trades 200000 --out day.jsonl --truth truth.jsonl
    truetape simulate --feed binance --symbols BTCUSDT --duration 30 --rate 200 --live
    truetape simulate --venue BITSTAMP --symbols BTCUSD --duration 600 --rate 20 --live --kafka
    """
    from truetape.feeds.simulator.session import SimulationPlan

    if day is None and not live:
        raise ConfigError(
            "there is no session to simulate; give --date YYYY-MM-DD, or --live to start now"
        )
    if rate is not None and duration is None:
        raise ConfigError("--rate needs --duration")
    if to_kafka and out is not None:
        raise ConfigError("--kafka and --out cannot be combined; give only one")
    plan = SimulationPlan(
        day=datetime.now(UTC).date() if day is None else day,
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
    from truetape.feeds.simulator.faults import NO_FAULTS, Faults

    names = {"outage": "outage_s"}
    changed = {names.get(name, name): rate for name, rate in given.items() if rate is not None}
    return replace(NO_FAULTS if none else Faults(), **changed)  # type: ignore[arg-type]


def _simulate(
    plan: "SimulationPlan",
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
    from truetape.feeds.simulator.session import simulate

    settings = current_settings() if to_kafka else None  # before the work, not after it
    click.echo(f"simulating {plan.trades:,} trades of {plan.feed}, seed {plan.seed}", err=True)
    made = simulate(plan)
    if settings is not None and not live:
        require_past(plan, made.records, settings.future_slack_ms, time.time_ns())
    if truth:
        _write(truth, (encode(trade).encode() for trade in made.truth.trades))
    if troubles:
        _write(troubles, (json.dumps(asdict(trouble)).encode() for trouble in made.troubles))
    records = paced(made.records, time.time_ns, time.sleep) if live else made.records
    if settings is not None:
        send_all(settings.kafka, settings.topic, records)
    else:
        _write(out, (record.payload for record in records), flush=live)
    counts = Counter(str(trouble.cause) for trouble in made.troubles)
    faults = ", ".join(f"{count:,} {cause}" for cause, count in sorted(counts.items()))
    click.echo(f"{len(made.records):,} records; {faults or 'no faults'}", err=True)


def require_past(
    plan: "SimulationPlan", records: "Sequence[Record]", slack_ms: int, now_ns: int
) -> None:
    """Raise ConfigError if a record is received in the future: Kafka would stamp it before that,
    and the pipeline would reject it.
    """
    last_ns = max((record.received_ns for record in records), default=0)
    if last_ns > now_ns + slack_ms * MS_NS:
        raise ConfigError(
            f"the session of {plan.day} ends at {iso(last_ns)}, which is in the future: Kafka "
            "would stamp its records before their times, and they would be rejected; give an "
            "earlier --date, or --live to send each record at its time"
        )


def _write(path: Path | None, lines: Iterable[bytes], *, flush: bool = False) -> None:
    with _opened(path) as file:
        for line in lines:
            file.write(line + b"\n")
            if flush:
                file.flush()


@contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO]:
    """Open a file to write, compressed if its name ends in .gz; without a path, stdout."""
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
            # without file name and time in the header, equal lines give equal bytes
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                yield packed  # type: ignore[misc]
        else:
            yield file
