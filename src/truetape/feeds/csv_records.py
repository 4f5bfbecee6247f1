"""Records of a CSV payload: each row's values by the names of its columns."""

from collections.abc import Mapping, Sequence

from truetape.feeds import csv_text
from truetape.feeds.csv_layout import OTHER_DELIMITERS, CsvPayload, Header
from truetape.feeds.csv_text import HeaderRule
from truetape.host.words import counted
from truetape.market.rejection import Reason, Refused

Values = Mapping[str, str | None]


def records(
    text: str, layout: CsvPayload, header_rule: HeaderRule
) -> Sequence[Values | Refused] | Refused:
    """Return the values of each row, None for an empty cell.

    A header is no record: it names the columns of the rows after it. Rows before any header have
    the contract's own columns, if it allows that.
    """
    rows = csv_text.rows(text, layout.delimiter)
    if isinstance(rows, Refused):
        return rows
    places, width = bare_places(layout)
    found: list[Values | Refused] = []
    for cells in rows:
        header = header_rule.places(cells)
        if isinstance(header, Refused):
            return header
        if header is not None:
            places, width = header, len(cells)
        elif not width:
            found.append(Refused(Reason.NOT_CSV, "no header names the columns of this row"))
        elif len(cells) != width:
            found.append(Refused(Reason.NOT_CSV, _other_width(cells, width, layout.delimiter)))
        else:
            found.append({name: cells[place] or None for name, place in places.items()})
    return found or Refused(Reason.NOT_A_TRADE, "a header without rows")


def _other_width(cells: list[str], width: int, delimiter: str) -> str:
    """Return why a row of another width is refused, with the delimiter that gives the right one."""
    detail = f"{counted(len(cells), 'column')} in place of {width}"
    text = csv_text.joined(cells, delimiter)
    for mark in OTHER_DELIMITERS[delimiter]:
        rows = csv_text.rows(text, mark)
        if not isinstance(rows, Refused) and [len(row) for row in rows] == [width]:
            return f"{detail}; the delimiter seems to be {mark!r}, in place of {delimiter!r}"
    return detail


def bare_places(layout: CsvPayload) -> tuple[Mapping[str, int], int]:
    """Return the columns and the width of rows without a header; no width if a header must be."""
    if layout.header is Header.REQUIRED:
        return {}, 0
    return {name: place for place, name in enumerate(layout.columns)}, len(layout.columns)
