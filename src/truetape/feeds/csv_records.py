"""Records of a CSV payload: each row's values by the names of its columns."""

from collections.abc import Mapping, Sequence

from truetape.feeds import csv_text
from truetape.feeds.csv_layout import CsvPayload, Header
from truetape.feeds.csv_text import HeaderRule
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
            found.append(Refused(Reason.NOT_CSV, f"{len(cells)} columns in place of {width}"))
        else:
            found.append({name: cells[place] or None for name, place in places.items()})
    return found or Refused(Reason.NOT_A_TRADE, "a header without rows")


def bare_places(layout: CsvPayload) -> tuple[Mapping[str, int], int]:
    """Return the columns and the width of rows without a header; no width if a header must be."""
    if layout.header is Header.REQUIRED:
        return {}, 0
    return {name: place for place, name in enumerate(layout.columns)}, len(layout.columns)
