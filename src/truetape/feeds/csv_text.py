"""CSV texts: their rows by RFC 4180, and the names that a header gives to their columns.

Knows no field's meaning.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from truetape.market.rejection import Reason, Refused

BYTE_ORDER_MARK = "\ufeff"
BLANK = " \t"
"""What may surround a name in a header."""
MARKS = 2
"""A row with the names of so many of the columns that make a trade is a header."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")


@dataclass(frozen=True)
class HeaderRule:
    """How the cells of a header name columns. `marks`: the columns of times, prices and sizes.

    `aliases` are further names of a column. A header without a `required` column is refused, since
    its rows would silently lack what the column says.
    """

    columns: tuple[str, ...]
    aliases: Mapping[str, str]
    ignore_case: bool
    marks: frozenset[str]
    required: frozenset[str] = frozenset()

    @cached_property
    def column_of(self) -> Mapping[str, str]:
        """Return the column of every name that a header may have, in small letters if their case
        does not matter.
        """
        names = {name: name for name in self.columns} | dict(self.aliases)
        return {self._key(name): column for name, column in names.items()}

    def places(self, cells: list[str]) -> Mapping[str, int] | Refused | None:
        """Return the place of each known column in a header, None if the row is no header.

        Columns that the contract does not have are left out.
        """
        columns = [self.column(cell) for cell in cells]
        if len(self.marks.intersection(columns)) < MARKS:
            return None
        places: dict[str, int] = {}
        for place, column in enumerate(columns):
            if column in places:
                return Refused(Reason.NOT_CSV, f"the header has the column {column} twice")
            if column is not None:
                places[column] = place
        lacking = ", ".join(sorted(self.required - places.keys()))
        if lacking:
            return Refused(Reason.NOT_CSV, f"the header lacks {lacking}, which is not optional")
        return places

    def column(self, cell: str) -> str | None:
        """Return the column that a cell of a header names, None if it is unknown."""
        return self.column_of.get(self._key(cell.strip(BLANK)))

    def _key(self, name: str) -> str:
        return name.lower() if self.ignore_case else name


def rows(text: str, delimiter: str) -> list[list[str]] | Refused:
    """Return the cells of each row; blank lines are no rows.

    A quoted cell may have delimiters, line ends and doubled quotes. Refused are control characters,
    and quotes anywhere else.
    """
    text = text.removeprefix(BYTE_ORDER_MARK)
    control = _CONTROL.search(text)
    if control is not None:
        what = "CR without LF" if control[0] == "\r" else f"the control character {control[0]!r}"
        return Refused(Reason.NOT_CSV, f"has {what}")
    if '"' not in text:
        lines = text.replace("\r\n", "\n").split("\n")
        return [line.split(delimiter) for line in lines if line]
    return _quoted_rows(text, delimiter)


def ends_inside_quotes(text: str, delimiter: str) -> bool:
    """True if a text ends inside a quoted cell, so that its row goes on in the next line."""
    return _open_quote(delimiter).search(text) is not None


def joined(cells: list[str], delimiter: str) -> str:
    """Return cells as a row, quoted where they need it."""
    special = f'{delimiter}"\r\n'
    return delimiter.join(
        '"' + cell.replace('"', '""') + '"' if any(char in cell for char in special) else cell
        for cell in cells
    )


def _quoted_rows(text: str, delimiter: str) -> list[list[str]] | Refused:
    cell, at = _cell(delimiter), 0
    found: list[list[str]] = [[]]
    while True:
        match = cell.match(text, at)
        if match is None:
            return Refused(Reason.NOT_CSV, f"the cell at character {at + 1} has a stray quote")
        quoted, plain, end = match.groups()
        found[-1].append(plain if quoted is None else quoted.replace('""', '"'))
        at = match.end()
        if end == delimiter:
            continue
        if at == len(text):
            return [row for row in found if row != [""]]
        found.append([])


@cache
def _cell(delimiter: str) -> re.Pattern[str]:
    mark = re.escape(delimiter)
    return re.compile(rf'(?:"((?:[^"]|"")*+)"|([^"{mark}\r\n]*+))({mark}|\r?\n|\Z)')


@cache
def _open_quote(delimiter: str) -> re.Pattern[str]:
    mark = re.escape(delimiter)
    cell = rf'(?:"(?:[^"]|"")*+"|[^"{mark}\r\n]*+)'
    return re.compile(rf'\A(?:{cell}{mark})*+"(?:[^"]|"")*+\Z')
