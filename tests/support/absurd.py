"""Values that nobody means: the ends of calendars and of 64 bits, text that no parser expects."""

from collections.abc import Sequence
from typing import TypeVar

import pytest

BEYOND = ("0001-01-01", "9999-12-31", "1600-02-29", "2262-04-11", "2262-04-12", "1677-09-21")
"""Dates that Python knows, and that no calendar or no 64-bit instant reaches."""
NO_DATES = ("0000-00-00", "10000-01-01", "2026-02-29", "2026-W47-5", "20261120", "-0001-01-01")
"""Texts that look like dates, and that are none that truetape accepts."""
ODD_DATES = ("1900-02-28", "1970-01-01", "2000-02-29", "2024-02-29", "2099-12-31", "2100-01-01")
"""Dates that some venue may have, or not."""
INSTANTS = (
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "1677-09-21T00:12:43Z",
    "1677-09-21T00:12:44Z",
    "1969-12-31T23:59:59.999999999Z",
    "2024-02-29T23:59:60Z",
    "2262-04-11T23:47:16.854775807Z",
    "2262-04-11T23:47:17Z",
    "9999-12-31T23:59:59.999999999-12:00",
    "2026-11-20T14:31:00",
    "2026-11-20T25:00:00Z",
)
NUMBERS = (
    "0", "-0", "1", "-1", "0.5", "-0.5", "2147483647", "2147483648", "-2147483649",
    str(2**63 - 2), str(2**63 - 1), str(2**63), str(-(2**63)), str(-(2**63) - 1), str(2**64),
    "9" * 40, "-" + "9" * 400, "9" * 5_000, "1e308", "-1e308", "1e309", "1e-400", "0x10", "1_000",
    "nan", "NaN", "inf", "-inf", "Infinity",
)  # fmt: skip
TEXTS = (
    "", " ", "\t", "a\nb", "a\r\nb", "\x1b[31m", "'", '"', "\\", "%", "%s", "{}", "{0}", "$(x)",
    "; reboot", "../../no/such", "/", ".", "..", "-", "--", "--outcome=x", ",", ":", "0:5-3",
    "0:0-9223372036854775807", "999999999:0", "0:0-9223372036854775806",
    "\u0663", "\uff12\uff10\uff12\uff16-\uff11\uff11-\uff12\uff10", "\u0660:\u0661-\u0662",
    "\u00b2", "\u2163", "IBM\udcff", "\u0130BM", "\u00df", "\u202eMBI", "\ufeffIBM",
    "None", "null", "true", "NOSUCH", "xnys", "'; drop table bar; --", "x" * 5_000, "1d,1m",
    "all", "max", "started",
)  # fmt: skip
ABSURD = (*BEYOND, *NO_DATES, *ODD_DATES, *INSTANTS, *NUMBERS, *TEXTS)
"""Every value that a person or a program could send for any parameter."""

ENDS = (
    "0001-01-01", "9999-12-31", INSTANTS[6], "", "-1", str(2**63 - 1), str(2**63), "IBM\udcff",
)  # fmt: skip
"""The shorter list, for combinations of parameters."""

_LONG = (pytest.mark.real, pytest.mark.long)
QUARTERS = [pytest.param(number, marks=_LONG if number else ()) for number in range(4)]
"""The fast tier gives each parameter a quarter of the values, the long one the other three."""

Value = TypeVar("Value")


def quarter_of(values: Sequence[Value], quarter: int, place: int) -> Sequence[Value]:
    """Return every fourth value. The first depends on the parameter's place among the others, so
    that every value meets a quarter of the parameters.
    """
    return values[(quarter + place) % 4 :: 4]
