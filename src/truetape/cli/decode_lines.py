"""Decodes lines of payloads into native JSON lines: what `truetape decode` does."""

from dataclasses import dataclass
from datetime import date
from typing import IO

from truetape.feeds.contract import Contract
from truetape.feeds.decoder import Context, Limits, decode
from truetape.feeds.fields import Origin
from truetape.feeds.files import read_lines
from truetape.feeds.native import encode, encode_rejected
from truetape.host.settings import Settings
from truetape.market.rejection import Rejected


@dataclass(frozen=True, slots=True)
class Tally:
    """How many records came in, and what became of them; `str` is the line for people."""

    payloads: int
    accepted: int
    rejected: int

    def __str__(self) -> str:
        received = self.accepted + self.rejected
        return (
            f"received {received} = accepted {self.accepted} + rejected {self.rejected}"
            f" (in {self.payloads} payloads)"
        )


@dataclass(frozen=True, slots=True)
class Task:
    """A feed and what is known beside its payloads."""

    contract: Contract
    day: date | None
    symbol: str | None
    limits: Limits

    @classmethod
    def of(cls, contract: Contract, day: date | None, symbol: str | None) -> "Task":
        """Build the task with the limits of the environment's settings."""
        return cls(contract, day, symbol, Limits.of(Settings.from_env()))

    def lacking(self) -> tuple[str, str] | None:
        """Return what neither the feed nor anybody told: its name, and the option for it."""
        rules = self.contract.eras[-1].rules
        times = [rule.event_time for rule in rules if rule.event_time]
        if self.day is None and any(time.spec.needs_day for time in times):
            return "the date of its times", "--date YYYY-MM-DD"
        if self.symbol is None and any(rule.symbol.path.origin is Origin.KEY for rule in rules):
            return "its symbol", "--symbol SYMBOL"
        return None

    def run(self, lines: IO[bytes], out: IO[bytes]) -> Tally:
        """Decode every line and write its answers at once; a line too large to keep is rejected."""
        payloads = accepted = rejected = 0
        for number, payload in enumerate(read_lines(lines, self.limits.max_payload_bytes), 1):
            payloads = number
            context = Context(self.contract.feed, self.symbol, self.day, None, "stdin", 0, number)
            for outcome in decode(payload, self.contract, context, self.limits):
                if isinstance(outcome, Rejected):
                    rejected += 1
                    line = encode_rejected(outcome, number)
                else:
                    accepted += 1
                    line = encode(outcome)
                out.write(line.encode() + b"\n")
            out.flush()
        return Tally(payloads, accepted, rejected)
