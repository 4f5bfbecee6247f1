"""Drift as text: a line for each cause of each field, and sums by cause. Reads no ledger."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from truetape.drift.attribution import Cause, Part
from truetape.drift.attribution_inputs import FIELDS
from truetape.drift.ledger import BarDrift
from truetape.market.resolution import SECOND_NS
from truetape.serving.table import utc

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = (
    "session", "venue", "rev", "symbol", "resolution", "start", "change", "field", "before",
    "after", "cause", "delta", "lateness_s", "trades",
)  # fmt: skip
SUMS = ("volume", "trades")
"""The fields whose deltas may be summed over bars."""
_LISTED = 4
_RIGHT = ("rev", "before", "after", "delta", "lateness_s")


@dataclass(frozen=True, slots=True)
class CauseLine:
    """The effect of one cause on one field of one bar."""

    entry: BarDrift
    field: str
    before: Decimal
    after: Decimal
    part: Part

    def cells(self) -> dict[str, str]:
        """Return the columns as text, with every trade."""
        entry, part = self.entry, self.part
        values = (
            entry.session.isoformat(), entry.venue, entry.rev, entry.symbol,
            entry.resolution.value, utc(entry.start_ns), entry.change, self.field,
            plain(self.before), plain(self.after), part.cause, plain(part.delta, "+"),
            f"{part.lateness_ns / SECOND_NS:.3f}" if part.trades else "", " ".join(part.trades),
        )  # fmt: skip
        return dict(zip(COLUMNS, map(str, values), strict=True))


def lines_of(entries: Iterable[BarDrift], cause: Cause | None = None) -> list[CauseLine]:
    """Return a line for each cause of each field, or only for the given cause."""
    return [
        CauseLine(entry, drift.field, drift.before, drift.after, part)
        for entry in entries
        for drift in sorted(entry.fields, key=lambda item: FIELDS.index(item.field))
        for part in drift.parts
        if cause in (None, part.cause)
    ]


def csv_lines(lines: Sequence[CauseLine]) -> Iterator[str]:
    """Yield CSV with a header; numbers are exact decimal text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(list(line.cells().values()) for line in lines)
    yield from text.getvalue().splitlines()


def json_lines(lines: Sequence[CauseLine]) -> Iterator[str]:
    """Yield one JSON object a line, with the trades as a list."""
    for line in lines:
        fields: dict[str, object] = {**line.cells(), "trades": list(line.part.trades)}
        yield json.dumps(fields, ensure_ascii=False)


def table(lines: Sequence[CauseLine], title: str) -> "Table":
    """Build the table for a terminal; unexplained lines are red."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=Text(title), title_justify="left", header_style="bold")
    cells = [line.cells() for line in lines]
    names = [
        name
        for name in COLUMNS
        if name not in ("session", "venue", "rev") or len({row[name] for row in cells}) > 1
    ]
    for name in names:
        shown.add_column(name, justify="right" if name in _RIGHT else "left")
    for line, row in zip(lines, cells, strict=True):
        row["start"] = row["start"].replace("T", " ").removesuffix("Z")
        row["trades"] = _first_trades(line.part.trades)
        style = "bold red" if line.part.cause is Cause.UNEXPLAINED else ""
        shown.add_row(*(Text(row[name]) for name in names), style=style)
    return shown


def sums(entries: Sequence[BarDrift]) -> Iterator[str]:
    """Yield the number of changed bars by cause, and each sum of deltas with its parts."""
    bars = ", ".join(f"{count:,} {cause}" for cause, count in _count(entries).items())
    yield f"{len(entries):,} bars changed" + (f": {bars}" if bars else "")
    for name in SUMS:
        parts: dict[Cause, Decimal] = defaultdict(Decimal)
        for line in lines_of(entries):
            if line.field == name:
                parts[line.part.cause] += line.part.delta
        if parts:
            by_cause = ", ".join(
                f"{cause} {plain(parts[cause], '+')}" for cause in Cause if cause in parts
            )
            total = sum(parts.values(), Decimal(0))
            yield f"{name}: {plain(total, '+')} = {by_cause}"


def plain(value: Decimal, sign: str = "") -> str:
    """Format an exact decimal without exponent and trailing zeros."""
    text = f"{value:{sign}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _count(entries: Iterable[BarDrift]) -> dict[Cause, int]:
    causes = [cause for entry in entries for cause in entry.causes]
    return {cause: causes.count(cause) for cause in Cause if cause in causes}


def _first_trades(trades: Sequence[str]) -> str:
    more = len(trades) - _LISTED
    return " ".join(trades[:_LISTED]) + (f" and {more:,} more" if more > 0 else "")
