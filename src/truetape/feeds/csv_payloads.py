"""CSV payloads of a text: one for each row, below its header where the contract needs one.

Decodes no payload. A row's bytes stay as they are.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator

from truetape.feeds import csv_text
from truetape.feeds.contract import Contract
from truetape.feeds.csv_layout import OTHER_DELIMITERS, CsvPayload, Header
from truetape.feeds.csv_text import MARKS
from truetape.host.errors import ConfigError
from truetape.market.rejection import Refused

_DIGIT = re.compile(rb"[0-9]")
_SHOWN = 100
MAX_ROW_LINES = 64
"""Most lines of a row: a quote that is never closed takes no more lines with it."""

Line = tuple[int, bytes]
"""A line's number, from 1, and its bytes without its end."""


def payloads(lines: Iterable[Line], contract: Contract, layout: CsvPayload) -> Iterator[Line]:
    """Yield the payload of each row, and the number of its first line.

    A header is none: it is put before each row after it, up to the next header. A header that has
    just the contract's own columns is left out, so that these payloads are the rows themselves.
    Raise ConfigError at a header that nothing can be read below: its names or its delimiter are
    unknown, so that its rows might have their columns in another order, or it is not UTF-8; and for
    a text whose lines end with CR alone.
    """
    headers = _Headers(contract, layout)
    header = b""
    for number, row in _rows(lines, layout.delimiter):
        found = headers.prefix(number, row)
        if found is None:
            yield number, header + row
        else:
            header = found


class _Headers:
    """Recognises headers, quickly where a row is none."""

    def __init__(self, contract: Contract, layout: CsvPayload) -> None:
        rule = contract.header_rule
        names = [name for name, column in rule.column_of.items() if column in rule.marks]
        flags = re.IGNORECASE if rule.ignore_case else 0
        self._names = re.compile("|".join(map(re.escape, names)).encode(), flags)
        self._rule = rule
        self._layout = layout
        is_one_layout = all(era.csv == layout for era in contract.eras)
        self._is_needless = is_one_layout and layout.header is Header.OPTIONAL

    def prefix(self, number: int, row: bytes) -> bytes | None:
        """Return what a header puts before its rows, None if a row is no header. Raise ConfigError
        if nothing can be read below it.
        """
        if b"\r" in row:
            self._require_line_ends(number, row)
        if not self._names.search(row):
            self._require_known(number, row)
            return None
        cells = _cells(row, self._layout.delimiter)
        places = self._rule.places(cells) if cells else None
        if places is None:
            self._require_delimiter(number, row)
            self._require_known(number, row)
            return None
        _require_utf8(number, row)
        is_own = not isinstance(places, Refused) and list(places) == list(self._layout.columns)
        is_bare = is_own and len(cells) == len(self._layout.columns) and self._is_needless
        return b"" if is_bare else row + b"\n"

    def _require_known(self, number: int, row: bytes) -> None:
        """Raise ConfigError if a row that is no header has as many cells as a header, all of them
        words.
        """
        if _DIGIT.search(row) or row.count(self._layout.delimiter.encode()) < MARKS:
            return
        cells = _cells(row, self._layout.delimiter)
        if cells and all(cell.strip() for cell in cells):
            raise ConfigError(
                f"line {number} looks like a header ({_shown(row)}), but has not two of the names "
                f"{', '.join(sorted(self._rule.marks))}; add its names to the 'aliases' of the "
                "contract"
            )

    def _require_delimiter(self, number: int, row: bytes) -> None:
        """Raise ConfigError if a row would be a header with another delimiter."""
        for mark in OTHER_DELIMITERS[self._layout.delimiter]:
            cells = _cells(row, mark)
            if cells and self._rule.places(cells) is not None:
                raise ConfigError(
                    f"line {number} is a header ({_shown(row)}) whose delimiter seems to be "
                    f"{mark!r}, in place of the contract's {self._layout.delimiter!r}"
                )

    def _require_line_ends(self, number: int, row: bytes) -> None:
        """Raise ConfigError if the first line has another one after a CR."""
        counts = [part.count(self._layout.delimiter.encode()) for part in row.split(b"\r", 2)[:2]]
        if number == 1 and counts[0] and counts[0] == counts[1]:
            raise ConfigError(
                f"line 1 ({_shown(row)}) has CR without LF: lines seem to end with CR alone; save "
                "the file with LF or CRLF"
            )


def _require_utf8(number: int, header: bytes) -> None:
    try:
        header.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"line {number}, a header, is not UTF-8 at byte {error.start + 1} ({_shown(header)}); "
            "save the file as UTF-8"
        ) from None


def _cells(row: bytes, delimiter: str) -> list[str]:
    """Return the cells of one row; none if it is not CSV."""
    rows = csv_text.rows(row.decode(errors="replace"), delimiter)
    return [] if isinstance(rows, Refused) or len(rows) != 1 else rows[0]


def _shown(row: bytes) -> str:
    return row[:_SHOWN].decode(errors="replace").replace("\r", "␍")


def _rows(lines: Iterable[Line], delimiter: str) -> Iterator[Line]:
    """Join the lines of rows that have line ends inside of quotes."""
    source, waiting = iter(lines), deque[Line]()
    while line := waiting.popleft() if waiting else next(source, None):
        if not _goes_on(line[1], delimiter):
            yield line
            continue
        parts = [line]
        while len(parts) < MAX_ROW_LINES and _goes_on(_joined(parts), delimiter):
            following = waiting.popleft() if waiting else next(source, None)
            if following is None:
                break
            parts.append(following)
        whole = _joined(parts)
        if _goes_on(whole, delimiter):
            waiting.extendleft(reversed(parts[1:]))
            yield line
        else:
            yield line[0], whole


def _joined(parts: list[Line]) -> bytes:
    return b"\n".join(text for _, text in parts)


def _goes_on(row: bytes, delimiter: str) -> bool:
    if row.count(b'"') % 2 == 0:
        return False
    return csv_text.ends_inside_quotes(row.decode(errors="replace"), delimiter)
