"""The verb `decode`: payloads on stdin, native JSON lines on stdout.

Decodes with the reference decoder of `feeds`; knows no feed itself.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import IO

import click

from truetape.cli.options import DATE, feed_option
from truetape.feeds import decoder
from truetape.feeds.beside import needs_day, needs_symbol
from truetape.feeds.contract import (
    Contract,
    contract_named,
    contract_names,
    is_contract_file,
)
from truetape.feeds.decoder import Context, Limits
from truetape.feeds.files import file_limits, numbered, payloads_of_lines
from truetape.feeds.native import encode, encode_rejected
from truetape.host.private_home import current_settings
from truetape.host.words import counted
from truetape.market.rejection import Rejected
from truetape.market.resolution import MS_NS
from truetape.market.trades import Event


@click.command()
@feed_option
@click.option(
    "--date",
    "day",
    type=DATE,
    help="The date of times of day, for feeds whose payloads lack it (LEAN).",
)
@click.option("--symbol", help="The symbol, for feeds whose payloads lack it (LEAN).")
def decode(feed: str, day: date | None, symbol: str | None) -> None:
    """Decode payloads of a feed, one a line on stdin, into native JSON lines on stdout.

    Prints one line for each trade, cancel or correction, in order; a payload may hold several. A
    record that does not fit the feed's contract gives a line of kind "rejected" with the reason,
    the detail, its index inside the payload and the input line. Rejections do not fail the command:
    the exit code is 0, and stderr shows the counts. Writes no file.

    \b
    head -1 trades.jsonl | truetape decode --feed truetape
    unzip -p ibm/20131007_trade.zip | truetape decode --feed lean-equity-tick \\
        --date 2013-10-07 --symbol IBM
    """
    if not is_contract_file(feed) and feed not in contract_names():
        raise click.BadParameter(
            f"there is no feed {feed!r}; there are {', '.join(contract_names())}",
            param_hint="--feed",
        )
    lines = LineDecoder.of(contract_named(feed), day, symbol)
    missing = lines.missing_option()
    if missing is not None:
        raise click.UsageError(f"payloads of feed {feed} lack {missing[0]}; add {missing[1]}")
    click.echo(str(lines.run(sys.stdin.buffer, sys.stdout.buffer)), err=True)


@dataclass(frozen=True, slots=True)
class DecodeCounts:
    """How many records were received, accepted and rejected; `str` is the line for people."""

    payloads: int
    accepted: int
    rejected: int

    def __str__(self) -> str:
        received = self.accepted + self.rejected
        return (
            f"received {received:,} = accepted {self.accepted:,} + rejected {self.rejected:,}"
            f" (in {counted(self.payloads, 'payload')})"
        )


@dataclass(frozen=True, slots=True)
class LineDecoder:
    """Decodes lines of one feed; `day` and `symbol` are for payloads that lack them.

    No time of a line may lie beyond `clock_ns` when the line is read: a pipe may carry a live feed.
    """

    contract: Contract
    day: date | None
    symbol: str | None
    limits: Limits
    clock_ns: Callable[[], int]

    @classmethod
    def of(cls, contract: Contract, day: date | None, symbol: str | None) -> "LineDecoder":
        """Return a decoder with the limits of files in the environment's settings."""
        return cls(contract, day, symbol, file_limits(current_settings()), time.time_ns)

    def missing_option(self) -> tuple[str, str] | None:
        """Return what the payloads lack and was not given: its name, and the option for it."""
        if self.day is None and needs_day(self.contract):
            return "the date of their times", "--date YYYY-MM-DD"
        if self.symbol is None and needs_symbol(self.contract):
            return "their symbol", "--symbol SYMBOL"
        return None

    def run(self, lines: IO[bytes], out: IO[bytes]) -> DecodeCounts:
        """Decode every line and write its results at once; a line that is too large is rejected."""
        payloads = accepted = rejected = 0
        texts = numbered(lines, self.limits.max_payload_bytes)
        for number, payload in payloads_of_lines(texts, self.contract):
            payloads += 1
            for outcome in self._outcomes(payload, number):
                if isinstance(outcome, Rejected):
                    rejected += 1
                    line = encode_rejected(outcome, number)
                else:
                    accepted += 1
                    line = encode(outcome)
                out.write(line.encode() + b"\n")
            out.flush()
        return DecodeCounts(payloads, accepted, rejected)

    def _outcomes(self, payload: bytes, number: int) -> list[Event | Rejected]:
        context = Context(
            feed=self.contract.feed,
            key=self.symbol,
            day=self.day,
            received_ns=None,
            topic="stdin",
            partition=0,
            offset=number,
            record_ms=self.clock_ns() // MS_NS,
        )
        return decoder.decode(payload, self.contract, context, self.limits)
