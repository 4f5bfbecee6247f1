"""Event times: a raw value and its declared shape in, epoch nanoseconds or a reason out.

Guesses nothing: no unit by magnitude, no default zone, no date of today. Never raises on data.
`docs/EVENT_TIME.md` has the table; `kernel.value_sql` gives the same answers in SQL.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cache

from truetape.market import time_layout, wall_clock
from truetape.market.rejection import Reason, Refused
from truetape.market.resolution import SECOND_NS
from truetape.market.time_layout import Field, Layout


class Shape(StrEnum):
    """How a feed writes its times."""

    EPOCH_S = "epoch-s"
    EPOCH_MS = "epoch-ms"
    EPOCH_US = "epoch-us"
    EPOCH_NS = "epoch-ns"
    ISO8601 = "iso8601"
    ISO8601_LOCAL = "iso8601-local"
    FIX = "fix"
    TIME_OF_DAY_S = "time-of-day-s"
    TIME_OF_DAY_MS = "time-of-day-ms"
    TIME_OF_DAY_US = "time-of-day-us"
    TIME_OF_DAY_NS = "time-of-day-ns"
    CLOCK = "clock"
    PATTERN = "pattern"
    EXCEL_SERIAL = "excel-serial"


EPOCHS = {Shape.EPOCH_S: 9, Shape.EPOCH_MS: 6, Shape.EPOCH_US: 3, Shape.EPOCH_NS: 0}
"""Decimals that one unit of an `epoch-*` shape has down to the nanosecond."""
TIMES_OF_DAY = {
    Shape.TIME_OF_DAY_S: 9,
    Shape.TIME_OF_DAY_MS: 6,
    Shape.TIME_OF_DAY_US: 3,
    Shape.TIME_OF_DAY_NS: 0,
}
"""The same for the `time-of-day-*` shapes."""
_LOCAL = (Shape.CLOCK, Shape.ISO8601_LOCAL, Shape.EXCEL_SERIAL)
PLAUSIBLE_NS = (978_307_200 * SECOND_NS, 4_102_444_800 * SECOND_NS)
"""2001-01-01 to 2100-01-01, the last one excluded. `epoch-*` in a wrong unit falls outside."""
YEARS = (1677, 2262)
"""The years that fit 64-bit nanoseconds, for the shapes that spell the date."""
REACH_NS = (-(1 << 63) // SECOND_NS * SECOND_NS + SECOND_NS, 1 << 63)
"""The instants that fit 64 bits, from the first whole second to the last nanosecond."""
DAY_NS = 86_400 * SECOND_NS
EXCEL_FRACTION_DIGITS = 20
EXCEL_LAST_DAY = 2_958_465
"""Serial number of 9999-12-31, the last day of Excel."""
EXCEL_LEAP_DAY = 60
"""Serial number of 1900-02-29, which never existed: Excel repeats an error of Lotus 1-2-3."""
EXCEL_EPOCH_DAY = 25_569
"""Serial number of 1970-01-01."""


@dataclass(frozen=True, slots=True)
class TimeSpec:
    """A declared shape, with a zone for local times and a pattern for `pattern`.

    Raise ValueError if the zone or the pattern is missing, or has no use: a zone beside a shape
    that has an offset of its own would look as if it were applied.
    """

    shape: Shape
    zone: str | None = None
    pattern: str | None = None

    def __post_init__(self) -> None:
        if (self.pattern is not None) != (self.shape is Shape.PATTERN):
            raise ValueError(f"shape {self.shape} {_need(self.pattern is None)} a pattern")
        if (self.zone is not None) != is_local(self.shape, self.pattern):
            raise ValueError(f"shape {self._name} {_need(self.zone is None)} a zone")
        if self.zone is not None:
            wall_clock.zone(self.zone)

    @property
    def needs_day(self) -> bool:
        """True if values have no date, so that the caller must give the day."""
        return self.shape in TIMES_OF_DAY or self.shape is Shape.CLOCK

    @property
    def layout(self) -> Layout | None:
        """Return how the value is written, None if it is a number."""
        match self.shape:
            case Shape.ISO8601:
                return time_layout.ISO
            case Shape.ISO8601_LOCAL:
                return time_layout.ISO_LOCAL
            case Shape.FIX:
                return time_layout.FIX
            case Shape.PATTERN:
                return time_layout.declared(self.pattern or "")
            case _:
                return None

    @property
    def _name(self) -> str:
        return f"{self.shape} {self.pattern!r}" if self.pattern else str(self.shape)


def is_local(shape: Shape, pattern: str | None = None) -> bool:
    """True if values are wall-clock times, which need a zone. Raise ValueError if the pattern is
    invalid.
    """
    if pattern is not None:
        return Field.OFFSET not in time_layout.declared(pattern).fields
    return shape in TIMES_OF_DAY or shape in _LOCAL


def parse(raw: str, spec: TimeSpec, day: date | None = None) -> int | Refused:
    """Return the epoch nanoseconds of `raw` under `spec`, or why it has none.

    `day` is the session's date on the zone's wall clock; only the shapes without a date use it.
    Accepts every string and never raises. `docs/EVENT_TIME.md` has the rules.
    """
    if not raw:
        return Refused(Reason.EMPTY, "")
    if spec.shape in EPOCHS:
        return _epoch(raw, EPOCHS[spec.shape])
    if spec.needs_day:
        return _time_of_day(raw, spec, day)
    if spec.shape is Shape.EXCEL_SERIAL:
        return _excel_serial(raw, spec.zone)
    return _written(raw, spec)


def _need(missing: bool) -> str:
    return "needs" if missing else "does not use"


def _bad(detail: str) -> Refused:
    return Refused(Reason.BAD_EVENT_TIME, detail)


def _implausible(detail: str) -> Refused:
    return Refused(Reason.IMPLAUSIBLE_EVENT_TIME, detail)


def _epoch(raw: str, digits: int) -> int | Refused:
    value = _whole_ns(raw, digits)
    if isinstance(value, Refused) or PLAUSIBLE_NS[0] <= value < PLAUSIBLE_NS[1]:
        return value
    return _implausible("outside 2001 to 2099 in the declared unit")


def parse_day(raw: str, pattern: str | None = None) -> date | Refused:
    """Return a date that is written as 2026-11-20, as 20261120, or as a pattern declares."""
    if pattern is None:
        pattern = "%Y-%m-%d" if "-" in raw else "%Y%m%d"
    midnight_ns = parse(f"{raw} 00:00", TimeSpec(Shape.PATTERN, "UTC", pattern + _MIDNIGHT))
    if isinstance(midnight_ns, Refused):
        return _bad("no date as declared")
    return date.fromordinal(_EPOCH_ORDINAL + midnight_ns // DAY_NS)


def require_date_pattern(pattern: str) -> None:
    """Raise ValueError if a pattern does not declare just a date."""
    if any(f"%{field}" in pattern for field in _CLOCK_FIELDS):
        raise ValueError("has more than a date")
    time_layout.declared(pattern + _MIDNIGHT)


_MIDNIGHT = " %H:%M"
_CLOCK_FIELDS = "HIpMSfz"


def _time_of_day(raw: str, spec: TimeSpec, day: date | None) -> int | Refused:
    if day is None:
        return Refused(Reason.MISSING_FIELD, "a time of day needs the session's date")
    is_clock = spec.shape is Shape.CLOCK
    value = _clock_ns(raw) if is_clock else _whole_ns(raw, TIMES_OF_DAY[spec.shape])
    if isinstance(value, Refused):
        return value
    if raw.startswith("-") or value >= DAY_NS:
        return _bad("not between 00:00 and 24:00")
    if not YEARS[0] <= day.year <= YEARS[1]:
        return _beyond_64_bits()
    return _resolved(_days(day) * 86_400 + value // SECOND_NS, value % SECOND_NS, spec.zone)


def _clock_ns(raw: str) -> int | Refused:
    match = _regex(time_layout.CLOCK).fullmatch(raw)
    if match is None:
        return _bad(_mistake(raw.rpartition(":")[2]) or "not written as 9:30:00.123")
    hour, minute, second, fraction = match.groups()
    whole = (int(hour) * 60 + int(minute)) * 60 + int(second)
    return whole * SECOND_NS + int((fraction or "").ljust(9, "0"))


def _whole_ns(raw: str, digits: int) -> int | Refused:
    if not _regex(time_layout.number(digits)).fullmatch(raw):
        return _bad(_why_no_number(raw))
    whole, _, fraction = raw.partition(".")
    return int(whole + fraction[:digits].ljust(digits, "0"))


def _excel_serial(raw: str, zone: str | None) -> int | Refused:
    if raw.startswith("-") or not _regex(time_layout.number(EXCEL_FRACTION_DIGITS)).fullmatch(raw):
        return _bad(_why_no_number(raw))
    whole, _, fraction = raw.partition(".")
    serial = int(whole)
    if serial == 0:
        return _bad("a time without a date")
    if serial == EXCEL_LEAP_DAY:
        return _bad("1900-02-29, a day that exists only in Excel")
    if serial > EXCEL_LAST_DAY:
        return _implausible("after 9999-12-31, the last day of Excel")
    of_day = int(fraction[:EXCEL_FRACTION_DIGITS].ljust(EXCEL_FRACTION_DIGITS, "0"))
    scale = 10**EXCEL_FRACTION_DIGITS
    rounded_ms = (2 * of_day * 86_400_000 + scale) // (2 * scale)
    days = serial - EXCEL_EPOCH_DAY + (serial < EXCEL_LEAP_DAY)
    local_ms = days * 86_400_000 + rounded_ms
    if local_ms // 86_400_000 > _days(date(YEARS[1], 12, 31)):
        return _beyond_64_bits()
    return _resolved(local_ms // 1_000, local_ms % 1_000 * 1_000_000, zone)


def _written(raw: str, spec: TimeSpec) -> int | Refused:
    layout = spec.layout
    match = _regex(layout.regex).fullmatch(raw) if layout else None
    if layout is None or match is None:
        return _bad(_why_not(raw, spec))
    text = {field: value or "" for field, value in zip(layout.fields, match.groups(), strict=True)}
    if not YEARS[0] <= int(text[Field.YEAR]) <= YEARS[1]:
        return _beyond_64_bits()
    try:
        day = date(int(text[Field.YEAR]), _month(text), int(text[Field.DAY]))
    except ValueError:
        return _bad("no such day in the calendar")
    of_day = _hour(text) * 3_600 + int(text[Field.MINUTE]) * 60 + int(text.get(Field.SECOND) or 0)
    local_s = _days(day) * 86_400 + of_day - _offset_s(text.get(Field.OFFSET, "Z"))
    return _resolved(local_s, int(text.get(Field.FRACTION, "").ljust(9, "0")), spec.zone)


def _month(text: dict[Field, str]) -> int:
    if Field.MONTH in text:
        return int(text[Field.MONTH])
    return time_layout.MONTHS.index(text[Field.MONTH_NAME].lower()) + 1


def _hour(text: dict[Field, str]) -> int:
    if Field.HOUR in text:
        return int(text[Field.HOUR])
    return int(text[Field.HOUR_OF_HALF]) % 12 + 12 * (text[Field.HALF].lower() == "pm")


def _offset_s(text: str) -> int:
    if text in ("Z", "z"):
        return 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    seconds = int(digits[:2]) * 3_600 + int(digits[2:]) * 60
    return -seconds if text[0] == "-" else seconds


def _resolved(local_s: int, nanos: int, zone: str | None) -> int | Refused:
    second = local_s if zone is None else wall_clock.instant_s(local_s, zone)
    if isinstance(second, Refused):
        return second
    value = second * SECOND_NS + nanos
    return value if REACH_NS[0] <= value < REACH_NS[1] else _beyond_64_bits()


def _beyond_64_bits() -> Refused:
    return _implausible("outside 1677-09-21 to 2262-04-11, the range of 64-bit nanoseconds")


def _days(day: date) -> int:
    return day.toordinal() - _EPOCH_ORDINAL


_EPOCH_ORDINAL = datetime.fromtimestamp(0, UTC).toordinal()


@cache
def _regex(text: str) -> re.Pattern[str]:
    return re.compile(text)


_MAX_EXPLAINED_CHARS = 100
_ANY_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
_MISTAKES = (
    (r"\A\s|\s\Z", "white space around the value"),
    (r"[^ -~]", "a character that is not printable ASCII"),
    (r"\A[0-9]{4}-?[0-9]{2}-?[0-9]{2}\Z", "a date without a time"),
    (r"\A[0-9]{4}\Z", "a year only"),
    (r"\AT?[0-9]{2}:[0-9]{2}", "a time without a date"),
    (r"\A[0-9]{1,4}/[0-9]", "a slashed date"),
    (r"[Tt -]24:?00", "hour 24; midnight is 00:00 of the next day"),
    (r":60(?![0-9])|[Tt ][0-9]{4}60(?![0-9])", "second 60; leap seconds are not accepted"),
    (r"[.,][0-9]{10}", "more than 9 fraction digits"),
)


def _why_not(raw: str, spec: TimeSpec) -> str:
    if spec.shape is Shape.ISO8601 and _regex(time_layout.ISO_LOCAL.regex).fullmatch(raw):
        return "no UTC offset (shape iso8601-local has a zone instead)"
    if spec.shape is Shape.ISO8601_LOCAL and _regex(time_layout.ISO.regex).fullmatch(raw):
        return "a UTC offset in a local time (shape iso8601 accepts one)"
    return _mistake(raw) or f"not written as {spec._name}"


def _why_no_number(raw: str) -> str:
    if len(raw) <= _MAX_EXPLAINED_CHARS:
        if re.fullmatch(_ANY_NUMBER, raw):
            return "more digits than the declared unit has"
        if re.fullmatch(_ANY_NUMBER + r"[eE][+-]?[0-9]+", raw):
            return "scientific notation, which may have lost digits"
    return _mistake(raw) or "not a plain decimal number"


def _mistake(raw: str) -> str | None:
    if len(raw) > _MAX_EXPLAINED_CHARS:
        return f"{len(raw)} characters, too long for a time"
    return next((text for regex, text in _MISTAKES if re.search(regex, raw)), None)
