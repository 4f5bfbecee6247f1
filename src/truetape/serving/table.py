"""Served bars as text: tables for people, CSV for spreadsheets, JSON lines for programs.

Prints nothing.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from truetape.market.resolution import SECOND_NS
from truetape.serving.store import BAR_NUMBERS, ServedBar

if TYPE_CHECKING:
    from rich.table import Table

PRICE_DECIMALS = 9
"""The most decimals of a price (`market.trades`)."""
NUMBERS = (*BAR_NUMBERS, "trades")
COLUMNS = ("symbol", "venue", "start", *NUMBERS, "layer", "final", "rev", "void")


def utc(time_ns: int) -> str:
    """Return an instant as UTC text, to the second, with its fraction if it has one."""
    seconds, fraction = divmod(time_ns, SECOND_NS)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    digits = f".{fraction:09}".rstrip("0") if fraction else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{digits}Z"


def csv_lines(bars: Sequence[ServedBar]) -> Iterator[str]:
    """Yield CSV with a header; floats as `repr`, so that reading returns the served value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for bar in bars:
        writer.writerow(_values(bar).values())
    yield from text.getvalue().splitlines()


def json_lines(bars: Sequence[ServedBar]) -> Iterator[str]:
    """Yield one JSON object a bar."""
    return (json.dumps(_values(bar), ensure_ascii=False) for bar in bars)


def table(bars: Sequence[ServedBar], title: str) -> "Table":
    """Return the table for a terminal: provisional bars dim, void bars struck out."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=Text(title), title_justify="left", header_style="bold")
    with_venue = len({bar.venue for bar in bars}) > 1
    columns = [name for name in COLUMNS[1:] if with_venue or name != "venue"]
    for name in columns:
        shown.add_column(name, justify="right" if name in (*NUMBERS, "rev") else "left")
    for bar in bars:
        cells = _cells(bar)
        style = "strike dim" if bar.void else "" if bar.final else "dim"
        shown.add_row(*(Text(cells[name]) for name in columns), style=style)
    return shown


def _values(bar: ServedBar) -> dict[str, object]:
    fields: dict[str, object] = asdict(bar) | {"start": utc(bar.start_ns)}
    return {name: fields[name] for name in COLUMNS}


def _cells(bar: ServedBar) -> dict[str, str]:
    """Return each value as text for people; text from outside is never markup."""
    values = _values(bar)
    texts = {name: str(value) for name, value in values.items()}
    for name in NUMBERS:
        texts[name] = _number(getattr(bar, name))
    texts["final"] = "final" if bar.final else "provisional"
    texts["void"] = "void" if bar.void else ""
    texts["start"] = texts["start"].replace("T", " ").removesuffix("Z")
    return texts


def _number(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    whole, _, decimals = f"{value:,.{PRICE_DECIMALS}f}".partition(".")
    decimals = decimals.rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole
