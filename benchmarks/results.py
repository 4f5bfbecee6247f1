"""The results of a benchmark: tables for a reader, and the same figures as JSON for a program.

A benchmark gives its parser to `add_json`, and its tables to `show`. Measures nothing.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PACKAGES = (
    "truetape", "crc32c", "deltalake", "duckdb", "great-expectations", "influxdb-client",
    "kafka-python", "numpy", "pyarrow", "pyspark",
)  # fmt: skip
"""The packages whose versions the figures depend on."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number and how a table prints it. `at_least`: it would have grown further."""

    value: float
    pattern: str = "{:,}"
    at_least: bool = False

    def __str__(self) -> str:
        return f"{'>' if self.at_least else ''}{self.pattern.format(self.value)}"


Cell = str | Figure


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below a head of different names; the title comes before them, the note after them."""

    head: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    title: str = ""
    note: str = ""

    def __str__(self) -> str:
        cells = [self.head, *(tuple(map(str, row)) for row in self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.head))]
        head, *lines = [_line(row, widths) for row in cells]
        text = "\n".join([head, "  ".join("-" * width for width in widths), *lines])
        return "\n\n".join(part for part in (self.title, text, self.note) if part)


def whole(value: float) -> Figure:
    """Return a figure without decimals."""
    return Figure(value, "{:,.0f}")


def seconds(value: float) -> Figure:
    """Return a duration with one decimal."""
    return Figure(value, "{:.1f} s")


def ratio(value: float) -> Figure:
    """Return a multiple of something else."""
    return Figure(value, "{:.1f} x")


def share(value: float) -> Figure:
    """Return a share of 1 in percent."""
    return Figure(value, "{:.1%}")


def cores() -> str:
    """Return the number of the machine's cores for a title."""
    return f"{os.cpu_count()} cores"


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option `--json FILE`, which `show` obeys."""
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures to this file as well"
    )


def show(tables: Sequence[Table], arguments: argparse.Namespace) -> None:
    """Print the tables, and write the same figures to the file of `--json`."""
    print("\n" + "\n\n".join(map(str, tables)), flush=True)
    if arguments.json is not None:
        text = json.dumps(as_json(tables, arguments), indent=2, ensure_ascii=False)
        arguments.json.write_text(text + "\n", "utf-8")


def as_json(tables: Sequence[Table], arguments: argparse.Namespace) -> dict[str, object]:
    """Return the figures with what they depend on; no path, and nothing that names the machine.

    A figure that would have grown further is `{"at_least": value}`.
    """
    return {
        "benchmark": Path(sys.argv[0]).name,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "arguments": {
            name: value for name, value in vars(arguments).items() if _is_plain(value)
        },
        "cores": os.cpu_count(),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "tables": [
            {
                "title": table.title,
                "rows": [
                    dict(zip(table.head, map(_json_value, row), strict=True)) for row in table.rows
                ],
                "note": table.note,
            }
            for table in tables
        ],
    }  # fmt: skip


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return "  ".join(cells).rstrip()


def _json_value(cell: Cell) -> object:
    if isinstance(cell, str):
        return cell
    return {"at_least": cell.value} if cell.at_least else cell.value


def _is_plain(value: object) -> bool:
    """True for what may be published: None would be an option not given, and paths stay private."""
    values = value if isinstance(value, list) else [value]
    return all(isinstance(each, bool | int | float | str) for each in values)
