"""Layouts of written times, as regular expressions with the same meaning in Python and Java.

Parses nothing. Both parsers of event times use these layouts, so they accept the same texts. The
expressions use only syntax that both dialects share: `[0-9]` (other classes match the digits of
other scripts), numbered groups, bounded repeats, lookahead. Each one matches the whole value.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise

MAX_NUMBER_DIGITS = 40
"""Most digits on either side of a decimal point; no feed writes more."""
MAX_PATTERN_CHARS = 64


class Field(StrEnum):
    """The meaning of one group of a layout, as the letter of a declared pattern."""

    YEAR = "Y"
    MONTH = "m"
    MONTH_NAME = "b"
    DAY = "d"
    HOUR = "H"
    HOUR_OF_HALF = "I"
    HALF = "p"
    MINUTE = "M"
    SECOND = "S"
    FRACTION = "f"
    OFFSET = "z"


@dataclass(frozen=True, slots=True)
class Layout:
    """How a date and time are written. `fields[i]` is the meaning of group i + 1 of `regex`."""

    regex: str
    fields: tuple[Field, ...]


MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_HOUR = "([01][0-9]|2[0-3])"
_SIXTY = "([0-5][0-9])"
_OFFSET = "([Zz]|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"

_EXTENDED_OR_BASIC = (
    r"(?=[0-9]{4}-[0-9]{2}-[0-9]{2}.[0-9]{2}:[0-9]{2}(?![0-9])|[0-9]{8}.[0-9]{4}(?!:))"
)
_ISO_LOCAL = (
    rf"{_EXTENDED_OR_BASIC}([0-9]{{4}})-?([0-9]{{2}})-?([0-9]{{2}})[Tt ]{_HOUR}:?{_SIXTY}"
    rf"(?::?{_SIXTY}(?:[.,]([0-9]{{1,9}}))?)?"
)
_FIX = (
    rf"([0-9]{{4}})([0-9]{{2}})([0-9]{{2}})-{_HOUR}:{_SIXTY}:{_SIXTY}"
    r"(?:\.([0-9]{3}|[0-9]{6}|[0-9]{9}))?"
)
_DATE_TO_FRACTION = (
    Field.YEAR,
    Field.MONTH,
    Field.DAY,
    Field.HOUR,
    Field.MINUTE,
    Field.SECOND,
    Field.FRACTION,
)

ISO = Layout(_ISO_LOCAL + _OFFSET, (*_DATE_TO_FRACTION, Field.OFFSET))
"""ISO 8601 with an offset: extended or basic, never mixed; the offset in any of its three forms."""
ISO_LOCAL = Layout(_ISO_LOCAL, _DATE_TO_FRACTION)
FIX = Layout(_FIX, _DATE_TO_FRACTION)
"""UTCTimestamp of FIX 4.2 and later, with 0, 3, 6 or 9 decimals and without leap seconds."""

CLOCK = r"([01]?[0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:[.,]([0-9]{1,9}))?"
"""A clock's reading: hours without a zero before them too, and up to nine decimals."""

ISO_EXTENDED_UTC = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?Z"
)
"""The form of `ISO` that nearly every feed writes. All but the fraction has a fixed place."""


def number(fraction_digits: int) -> str:
    """Return the expression for decimals with at most `fraction_digits` decimals, then zeros.

    It has no exponent: a time in scientific notation came from a float and may have lost digits.
    """
    zeros = MAX_NUMBER_DIGITS - fraction_digits
    fraction = (
        f"[0-9]{{1,{fraction_digits}}}0{{0,{zeros}}}" if fraction_digits else f"0{{1,{zeros}}}"
    )
    return rf"-?[0-9]{{1,{MAX_NUMBER_DIGITS}}}(?:\.{fraction})?"


@lru_cache(maxsize=64)
def declared(pattern: str) -> Layout:
    """Compile a declared pattern such as "%d-%b-%Y %H:%M:%S.%f". Raise ValueError if it is invalid.

    %Y is four digits; %m %d %H %I %M %S are two digits each; %b is an English month of three
    letters and %p AM or PM, in any case; %f is one to nine digits; %z is an offset as in ISO 8601;
    %% is a percent sign. Other printable ASCII characters stand for themselves. Year, month, day,
    hour and minute are required.
    """
    if not 1 <= len(pattern) <= MAX_PATTERN_CHARS:
        raise ValueError(f"a pattern has 1 to {MAX_PATTERN_CHARS} characters, not {len(pattern)}")
    parts = re.findall("%.|.", pattern, re.DOTALL)
    regex, fields = "", []
    for part in parts:
        if part == "%%" or len(part) == 1:
            regex += _literal(part, pattern)
        else:
            fields.append(_field(part, pattern))
            regex += _DIRECTIVES[fields[-1]]
    _check_fields(fields, pattern)
    _check_variable_widths(parts, pattern)
    return Layout(regex, tuple(fields))


_TWO_DIGITS = "([0-9]{2})"
_DIRECTIVES = {
    Field.YEAR: "([0-9]{4})",
    Field.MONTH: _TWO_DIGITS,
    Field.MONTH_NAME: "("
    + "|".join("".join(f"[{c.upper()}{c}]" for c in month) for month in MONTHS)
    + ")",
    Field.DAY: _TWO_DIGITS,
    Field.HOUR: _HOUR,
    Field.HOUR_OF_HALF: "(0[1-9]|1[0-2])",
    Field.HALF: "([AaPp][Mm])",
    Field.MINUTE: _SIXTY,
    Field.SECOND: _SIXTY,
    Field.FRACTION: "([0-9]{1,9})",
    Field.OFFSET: _OFFSET,
}


def _literal(part: str, pattern: str) -> str:
    if part == "%":
        raise ValueError(f"pattern {pattern!r} ends in a single %; write %% for a percent sign")
    if not " " <= part[0] <= "~":
        raise ValueError(f"pattern {pattern!r} contains {part!r}; use printable ASCII only")
    return re.escape(part[0])


def _field(part: str, pattern: str) -> Field:
    try:
        return Field(part[1])
    except ValueError:
        directives = " ".join(f"%{field}" for field in Field)
        raise ValueError(
            f"pattern {pattern!r} contains {part!r}; the directives are {directives} %%"
        ) from None


def _check_fields(fields: list[Field], pattern: str) -> None:
    for field in Field:
        if fields.count(field) > 1:
            raise ValueError(f"pattern {pattern!r} has %{field} more than once")
    present = set(fields)
    rules = (
        ("%Y", Field.YEAR in present),
        ("either %m or %b", (Field.MONTH in present) != (Field.MONTH_NAME in present)),
        ("%d", Field.DAY in present),
        ("either %H or %I", (Field.HOUR in present) != (Field.HOUR_OF_HALF in present)),
        ("%p exactly where it has %I", (Field.HALF in present) == (Field.HOUR_OF_HALF in present)),
        ("%M", Field.MINUTE in present),
        ("%S where it has %f", Field.SECOND in present or Field.FRACTION not in present),
    )
    for requirement, is_met in rules:
        if not is_met:
            raise ValueError(f"pattern {pattern!r} must have {requirement}")


def _check_variable_widths(parts: list[str], pattern: str) -> None:
    for part, following in pairwise(parts):
        is_digit = following.isdecimal() or following[1:] in _DIGIT_DIRECTIVES
        if part in ("%f", "%z") and (is_digit or (part == "%z" and following == ":")):
            raise ValueError(
                f"pattern {pattern!r}: {part} has no fixed width; {following!r} cannot follow it"
            )


_DIGIT_DIRECTIVES = {
    Field.YEAR,
    Field.MONTH,
    Field.DAY,
    Field.HOUR,
    Field.HOUR_OF_HALF,
    Field.MINUTE,
    Field.SECOND,
    Field.FRACTION,
}
