"""File counts: what became of the records of trade files, for people. Reads no file."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from truetape.feeds.file_log import FileLog
from truetape.host.words import counted
from truetape.market.canonical import Changes
from truetape.market.eligibility import Profile

EXAMPLES = 3
"""Rejections of each reason that are shown with their place."""


@dataclass(slots=True)
class FileCounts:
    """The records of some files.

    `pending` are the amendments that found no trade; `later` and `later_trades` what was received
    after the instant as of which the bars are; `unknown` the trades by condition code that the
    profile does not have; `fast` the payloads that the kernel's fast lane read (the reference
    counts no `payloads`). `log` has the files without a payload. `resends` are the repeats that
    came under an id which a correction gave, `clashes` the ids which corrections gave although
    another trade of that day has them.
    """

    files: int = 0
    payloads: int = 0
    fast: int = 0
    trades: int = 0
    amendments: int = 0
    pending: int = 0
    later: int = 0
    later_trades: int = 0
    repeats: int = 0
    resends: int = 0
    clashes: "Counter[str]" = field(default_factory=Counter)
    reasons: "Counter[str]" = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    unknown: "Counter[str]" = field(default_factory=Counter)
    log: FileLog = field(default_factory=FileLog)

    @property
    def accepted(self) -> int:
        """Return the number of events."""
        return self.trades + self.amendments

    @property
    def rejected(self) -> int:
        """Return the number of records that do not fit the contract."""
        return self.reasons.total()

    @property
    def received(self) -> int:
        """Return the number of records in the files."""
        return self.accepted + self.rejected

    def reject(self, reason: str, detail: str, place: str) -> None:
        """Count a rejection; the first ones of a reason are kept with their place."""
        self.reasons[reason] += 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < EXAMPLES:
            shown.append(f"{place}: {detail}")

    def change(self, changes: Changes) -> None:
        """Count what amendments did."""
        self.pending = len(changes.pending)
        self.resends = len(changes.resends)
        self.clashes.update(
            f"{clash.venue} {clash.symbol} {clash.new_id}" for clash in changes.clashes
        )

    def judge(
        self, conditions: Iterable[str], tape: str | None, profile: Profile, count: int
    ) -> None:
        """Count the codes of `count` trades that the profile does not have."""
        for code in profile.unknown_codes(conditions, tape):
            self.unknown[code] += count

    def lines(self, bars: int) -> Iterator[str]:
        """Yield the report, most important first."""
        received = f"{counted(self.files, 'file')}: {counted(self.received, 'record')} received"
        yield (
            f"{received} = {self.accepted:,} accepted + {self.rejected:,} rejected; "
            f"{counted(bars, 'bar')}"
        )
        later, later_trades = (
            f"{count:,} received later" if count else ""
            for count in (self.later, self.later_trades)
        )
        yield (
            f"  {counted(self.trades - self.later_trades, 'trade')}, "
            f"{counted(self.repeats, 'repeat')} among them"
            + (f", and {later_trades}" if later_trades else "")
            + f"; {counted(self.amendments, 'cancel or correction', 'cancels and corrections')}: "
            f"{self.amendments - self.pending - self.later:,} applied, {self.pending:,} without a "
            "trade" + (f", {later}" if later else "")
        )
        yield from (f"  {line}" for line in self.log.lines())
        yield from self._renamed_lines()
        for reason, count in sorted(self.reasons.items()):
            yield f"  rejected {reason}: {count:,}"
            yield from (f"    {example}" for example in self.examples[reason])
            if count > EXAMPLES:
                yield f"    and {count - EXAMPLES:,} more"
        for code, count in self.unknown.most_common():
            yield f"  unknown condition {code}: {counted(count, 'trade')}, which count for nothing"

    def _renamed_lines(self) -> Iterator[str]:
        """Yield what became of the ids that corrections gave."""
        if self.resends:
            resent = counted(self.resends, "trade")
            yield f"  {resent} sent again under an id that a correction gave; counted once"
        if self.clashes:
            shown = ", ".join(sorted(self.clashes)[:EXAMPLES])
            more = len(self.clashes) - EXAMPLES
            yield (
                f"  {counted(self.clashes.total(), 'correction')} gave an id that another trade of "
                "the day has; both trades count: "
                f"{shown}" + (f" and {more:,} more" if more > 0 else "")
            )


def place_of(source: str, line: int, index: int) -> str:
    """Return where a record is: file and line, and its number where a payload has several."""
    return f"{source}:{line}" + (f" record {index + 1}" if index else "")
