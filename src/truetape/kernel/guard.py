"""Guards: which payloads the fast lane may read at all. The careful lane reads all others.

DuckDB's JSON differs from the reference's: it accepts trailing commas and NaN, takes the first of
two equal names, and passes fractions through doubles. Each guard finds one such payload or more,
with false alarms, by a regular expression that RE2 runs in one pass. Without a backslash in the
text, a quote always opens or closes a string, which the expressions depend on.
"""

import re
from collections.abc import Iterable

MAX_BYTES = 200_000
"""The careful lane reads a larger payload, one at a time: its memory is bounded by one payload."""
MAX_OPENINGS = 28
"""Most brackets that one record may open, so that none is nested deeper than the reference reads,
whatever surrounds the record. An envelope may open `MAX_ENVELOPE_OPENINGS`."""
MAX_ENVELOPE_OPENINGS = 4

_BLANK = r"[ \t\r\n]*"
_TRAILING_COMMA = rf",{_BLANK}[\]}}]"
_NO_NUMBER = rf"[:,\[]{_BLANK}-?(?:[Nn][Aa][Nn]|[Ii][Nn][Ff])"
_JSON_IN_A_STRING = rf'"{_BLANK}[\[{{]'
UNREADABLE = "|".join((r"\\", _TRAILING_COMMA, _NO_NUMBER, _JSON_IN_A_STRING))
"""Matches JSON that DuckDB and the reference may read differently, except for numbers, names and
`LONG_STRING`.
"""
MAX_STRING = 1_000
LONG_STRING = rf'"[^"]{{{MAX_STRING}}}'
"""Matches JSON with a longer string, or between two strings so much that is none. It takes
milliseconds to compile, so it is not asked about short payloads.
"""

_DOUBLE_DIGITS = 15
"""Every decimal number of so many digits has a double of its own."""
_LONG_FRACTIONS = "|".join(
    rf"[0-9]{{{whole}}}\.[0-9]{{{_DOUBLE_DIGITS + 1 - whole},}}"
    for whole in range(1, _DOUBLE_DIGITS + 1)
)
INEXACT = (
    rf"[:,\[]{_BLANK}-?(?:{_LONG_FRACTIONS}|[0-9]{{16,}}\.|[0-9]{{20,}}|0\.0000|[0-9.]+[eE])"
    rf"|[:,\[]{_BLANK}-(?:[0-9]{{19,}}|0[^.0-9])"
)
"""Matches a number that DuckDB would not return as it was written, trailing zeros apart."""

IN_QUOTES = "\x1f"
"""Stands for a delimiter inside of quotes."""
_ODD_IN_CSV = r"[\x00-\x08\x0a-\x1f\x7f]|^\x{FEFF}"
"""Matches a row that the reference rejects, or that is more than one."""


def csv_unreadable(delimiter: str, names: Iterable[str], ignore_case: bool) -> str:
    """Return an expression that matches odd rows, and those with a name of a header in a cell."""
    edge = f'["{escaped(delimiter)}]'
    known = "|".join(escaped(name) for name in sorted(names))
    flags = "i" if ignore_case else ""
    return rf"{_ODD_IN_CSV}|(?{flags}:(?:^|{edge})[ \t]*(?:{known})[ \t]*(?:$|{edge}))"


def quoted_row(delimiter: str) -> str:
    """Return an expression for whole rows in which quotes surround cells and are not doubled."""
    cell = rf'(?:"[^"]*"|[^"{escaped(delimiter)}]*)'
    return f"{cell}(?:{escaped(delimiter)}{cell})*"


def escaped(text: str) -> str:
    """Return an expression for a text itself."""
    return re.sub(r"[^A-Za-z0-9 _]", lambda match: rf"\x{{{ord(match.group()):x}}}", text)


def repeated(names: Iterable[str]) -> str:
    """Return an expression that matches JSON with one of the names twice, at any depth."""
    keys = (rf'"{name}"{_BLANK}:' for name in sorted(names))
    return "|".join(rf"(?s:{key}.*{key})" for key in keys)


def opening(count: int) -> str:
    """Return an expression that matches JSON that opens `count` brackets, in strings too."""
    return rf"(?:[\[{{][^\[{{]*){{{count}}}"
