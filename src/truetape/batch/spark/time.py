"""Event times as a Spark expression: the same answers as `market.event_time.parse`, value by value.

Built-in functions only, and of those only the ones that give null where others would raise, since
the session has ANSI arithmetic. Casts see nothing that a grammar has not passed first.
"""

import datetime as dt
from collections.abc import Callable

from pyspark.sql import Column
from pyspark.sql import functions as F

from truetape.market import time_layout
from truetape.market.event_time import (
    DAY_NS,
    EPOCHS,
    EXCEL_EPOCH_DAY,
    EXCEL_FRACTION_DIGITS,
    EXCEL_LAST_DAY,
    EXCEL_LEAP_DAY,
    PLAUSIBLE_NS,
    REACH_NS,
    TIMES_OF_DAY,
    YEARS,
    Shape,
    TimeSpec,
)
from truetape.market.rejection import Reason
from truetape.market.resolution import SECOND_NS
from truetape.market.time_layout import Field, Layout


def event_time(raw: Column, spec: TimeSpec, day: Column | None = None) -> Column:
    """Return `struct<ns: bigint, reason: string>`, exactly one of them null, equal to `parse`.

    `raw` is text, `day` the session's date for the `time-of-day-*` shapes. A null `raw` is refused
    as `missing-field`. No input raises.

    `raw` is named often: give a column, not a formula. In a projection Spark computes the repeated
    parts once; inside a lambda (`transform`) it does not, and the same value costs several times
    more.
    """
    found = outcome(raw, spec, day)
    return F.struct(ns_of(found).alias("ns"), reason_of(found).alias("reason"))


def outcome(raw: Column, spec: TimeSpec, day: Column | None = None) -> Column:
    """Return the answer as one bigint, for `ns_of` and `reason_of`; see `event_time`.

    Name it before you ask it for both: behind a condition Spark computes it anew for each use.
    """
    day = F.lit(None).cast("date") if day is None else day
    if spec.shape in EPOCHS:
        return _epoch(raw, EPOCHS[spec.shape])
    if spec.shape in TIMES_OF_DAY:
        return _time_of_day(raw, TIMES_OF_DAY[spec.shape], spec.zone, day)
    if spec.shape is Shape.EXCEL_SERIAL:
        return _excel_serial(raw, spec.zone)
    return _written(raw, spec)


def usual(raw: Column, spec: TimeSpec) -> Column:
    """Return the outcome of the form that nearly every value of a shape has; null for all others.

    `outcome` begins with it; asking for it before anything else saves what else would come first.
    """
    if spec.shape in EPOCHS:
        return _epoch_of_usual_length(raw, EPOCHS[spec.shape])
    if spec.shape is Shape.ISO8601:
        return _iso_extended_utc(raw)
    return F.lit(None).cast("bigint")


def ns_of(outcome: Column) -> Column:
    """Return an outcome's nanoseconds, null where the value was refused."""
    return F.when(outcome >= REACH_NS[0], outcome)


def reason_of(outcome: Column) -> Column:
    """Return the reason of an outcome, null where there is an instant."""
    number = outcome.bitwiseXOR(F.lit(_LEAST_CODE))
    place = F.greatest(F.least(number, F.lit(len(_REASONS))), F.lit(-1)).cast("int")
    return F.get(F.array([F.lit(reason.value) for reason in _REASONS]), place)


# An outcome is one bigint: the nanoseconds, or a code below all of them that stands for a reason.
# Columns are trees, and Spark plans twice what a formula names twice: with a struct of two parts
# plans passed 30,000 nodes and generated methods 8,000 bytes, above which the JVM compiles none.
# A try_ function that fails throws and catches, 5 µs: for a usual value none may fail.
_REASONS = (
    Reason.MISSING_FIELD,
    Reason.EMPTY,
    Reason.BAD_EVENT_TIME,
    Reason.IMPLAUSIBLE_EVENT_TIME,
    Reason.AMBIGUOUS_LOCAL_TIME,
    Reason.NONEXISTENT_LOCAL_TIME,
)
_LEAST_CODE = -(1 << 63)


def _refused(reason: Reason) -> Column:
    return F.lit(_LEAST_CODE + _REASONS.index(reason))


def _absent(raw: Column) -> Column:
    return F.when(raw.isNull(), _refused(Reason.MISSING_FIELD)).when(
        raw == "", _refused(Reason.EMPTY)
    )


def _epoch(raw: Column, digits: int) -> Column:
    least, end = PLAUSIBLE_NS
    value = _whole_ns(raw, digits)
    well_formed = _matches(raw, time_layout.number(digits))
    return F.coalesce(
        _epoch_of_usual_length(raw, digits),
        F.when(well_formed & (value >= least) & (value < end), value),
        _absent(raw)
        .when(well_formed, _refused(Reason.IMPLAUSIBLE_EVENT_TIME))
        .otherwise(_refused(Reason.BAD_EVENT_TIME)),
    )


def _epoch_of_usual_length(raw: Column, digits: int) -> Column:
    """Read the whole numbers of nearly every feed without an expression; null for all others.

    A value from 10**k on needs k + 1 digits, so text of that length has no room for anything else.
    """
    unit = 10**digits
    length = len(str(PLAUSIBLE_NS[1] // unit))
    value = raw.try_cast("bigint")
    in_bounds = value.between(10 ** (length - 1), PLAUSIBLE_NS[1] // unit - 1)
    return F.when(F.octet_length(raw) == length, F.when(in_bounds, value * unit))


def _time_of_day(raw: Column, digits: int, zone: str | None, day: Column) -> Column:
    value = _whole_ns(raw, digits)
    of_day = F.when(_matches(raw, time_layout.number(digits)) & (value < DAY_NS), value)
    not_negative = F.when(~raw.startswith("-"), of_day)
    midnight_s = F.when(F.year(day).between(*YEARS), _days(day) * _DAY_S)
    local_s = midnight_s + _div(not_negative, SECOND_NS)
    refused = (
        _absent(raw)
        .when(day.isNull(), _refused(Reason.MISSING_FIELD))
        .when(not_negative.isNull(), _refused(Reason.BAD_EVENT_TIME))
        .otherwise(_refused(Reason.IMPLAUSIBLE_EVENT_TIME))
    )
    return F.coalesce(*_resolved(local_s, of_day % SECOND_NS, zone), refused)


def _whole_ns(raw: Column, digits: int) -> Column:
    """Return the decimal as whole nanoseconds; null where they need more than 64 bits."""
    whole = F.substring_index(raw, ".", 1)
    if not digits:
        return whole.try_cast("bigint")
    fraction = F.substring(raw, F.length(whole) + 2, F.lit(digits))
    return F.concat(whole, F.rpad(fraction, digits, "0")).try_cast("bigint")


def _excel_serial(raw: Column, zone: str | None) -> Column:
    whole = F.substring_index(raw, ".", 1)
    number = whole.try_cast("bigint")
    well_formed = (
        _matches(raw, time_layout.number(EXCEL_FRACTION_DIGITS))
        & ~raw.startswith("-")
        & ~F.coalesce(number.isin(0, EXCEL_LEAP_DAY), F.lit(False))
    )
    serial = F.when(well_formed & number.between(1, EXCEL_LAST_DAY), number)
    days = serial - EXCEL_EPOCH_DAY + F.when(serial < EXCEL_LEAP_DAY, 1).otherwise(0)
    fraction = F.substring(raw, F.length(whole) + 2, F.lit(EXCEL_FRACTION_DIGITS))
    of_day = F.concat(F.lit("0."), F.rpad(fraction, EXCEL_FRACTION_DIGITS, "0")).try_cast(
        f"decimal({EXCEL_FRACTION_DIGITS},{EXCEL_FRACTION_DIGITS})"
    )
    half = F.lit("0.5").cast("decimal(1,1)")
    rounded_ms = F.floor(of_day * F.lit(_DAY_S * 1_000) + half).cast("bigint")
    local_ms = days * _DAY_S * 1_000 + rounded_ms
    in_reach = F.when(local_ms < _REACH_END_S * 1_000, local_ms)
    of_second = F.pmod(in_reach, F.lit(1_000))
    local_s = _div(in_reach - of_second, 1_000)
    refused = (
        _absent(raw)
        .when(well_formed, _refused(Reason.IMPLAUSIBLE_EVENT_TIME))
        .otherwise(_refused(Reason.BAD_EVENT_TIME))
    )
    return F.coalesce(*_resolved(local_s, of_second * 1_000_000, zone), refused)


def _written(raw: Column, spec: TimeSpec) -> Column:
    layout = spec.layout
    if layout is None:
        raise ValueError(f"{spec.shape} is a number, not a written time")
    outcome = _with(_normal(raw, layout), lambda text: _from_normal(raw, text, layout, spec.zone))
    if spec.shape is Shape.ISO8601:
        return F.coalesce(_iso_extended_utc(raw), outcome)
    return outcome


def _iso_extended_utc(raw: Column) -> Column:
    """Read the form of nearly every feed by one cast; null for all others.

    The cast knows microseconds and cuts off what is finer; text that is longer than they need ends
    in the rest. It goes without the "Z", which would be looked up each time; the session is in UTC.
    """
    well_formed = _matches(raw, time_layout.ISO_EXTENDED_UTC)
    length = F.octet_length(raw)
    local = F.when(well_formed, F.substring(raw, F.lit(1), length - 1))
    micros = F.unix_micros(local.try_cast("timestamp"))
    in_reach = F.when(micros.between(*_REACH_US), micros) * 1_000
    finer = F.rpad(F.substring(raw, F.lit(27), length - 27), 3, "0").try_cast("int")
    return F.when(length > 27, in_reach + finer).otherwise(in_reach)


def _from_normal(raw: Column, text: Column, layout: Layout, zone: str | None) -> Column:
    well_formed = text != raw
    in_years = _int(text, 2, 4).between(*YEARS)
    days = _days(_date(text, layout))
    offset_s = _offset_s(_after_commas(text, 2)) if Field.OFFSET in layout.fields else F.lit(0)
    of_day = _second_of_day(text, layout)
    local_s = F.when(well_formed & in_years, days * _DAY_S + of_day - offset_s)
    nanos = F.rpad(_after_commas(text, 1), 9, "0").try_cast("bigint")
    refused = (
        _absent(raw)
        .when(~well_formed, _refused(Reason.BAD_EVENT_TIME))
        .when(in_years & days.isNull(), _refused(Reason.BAD_EVENT_TIME))
        .otherwise(_refused(Reason.IMPLAUSIBLE_EVENT_TIME))
    )
    return F.coalesce(*_resolved(local_s, nanos, zone), refused)


def _normal(raw: Column, layout: Layout) -> Column:
    """Rewrite a time to "|2026-11-20T14:31:10,fraction,offset"; what does not fit stays as it is.

    One match both checks and cuts up. The first character is a line end, which no layout takes, so
    that a change tells a fit. A month's name and AM or PM are the fourth and fifth part; the month
    is then 00.
    """
    group = {field: f"${n}" for n, field in enumerate(layout.fields, start=1)}
    year, month, day = group[Field.YEAR], group.get(Field.MONTH, "00"), group[Field.DAY]
    hour = group.get(Field.HOUR) or group[Field.HOUR_OF_HALF]
    rest = (Field.SECOND, Field.FRACTION, Field.OFFSET, Field.MONTH_NAME, Field.HALF)
    tail = ",".join(group.get(field, "") for field in rest)
    target = f"\n{year}-{month}-{day}T{hour}:{group[Field.MINUTE]}:{tail}"
    return F.regexp_replace(raw, _whole(layout.regex), target)


def _date(text: Column, layout: Layout) -> Column:
    if Field.MONTH in layout.fields:
        return F.substring(text, 2, 10).try_cast("date")
    name = F.lower(_after_commas(text, 3))
    month = _div(F.instr(F.lit("".join(time_layout.MONTHS)), name) + 2, 3)
    parts = (F.substring(text, 2, 4), month.cast("string"), F.substring(text, 10, 2))
    return F.concat_ws("-", *parts).try_cast("date")


def _second_of_day(text: Column, layout: Layout) -> Column:
    hour = _int(text, 13)
    if Field.HALF in layout.fields:
        afternoon = F.lower(_after_commas(text, 4)) == "pm"
        hour = hour % 12 + F.when(afternoon, 12).otherwise(0)
    second = F.rpad(F.translate(F.substring(text, 19, 2), ",", ""), 2, "0").try_cast("int")
    return hour * 3_600 + _int(text, 16) * 60 + second


def _offset_s(text: Column) -> Column:
    """Return a UTC offset in seconds, 0 for "Z" and for none."""
    digits = F.rpad(F.translate(text, "Zz+-:", ""), 4, "0")
    size = _int(digits, 1) * 3_600 + _int(digits, 3) * 60
    return F.when(text.startswith("-"), -size).otherwise(size)


def _resolved(local_s: Column, nanos: Column, zone: str | None) -> list[Column]:
    """Go from a wall clock's reading to the instant, by the offsets a day before and a day after.

    Where they differ, a change of clocks is near: the reading is right under each offset that is in
    force at the instant it gives. Both: shown twice. Neither: never shown.
    """
    if zone is None:
        return [_ns(local_s, nanos)]
    name = zone

    def instant_s(local: Column) -> Column:
        before, after = _offset_at(local - _DAY_S, name), _offset_at(local + _DAY_S, name)
        under_before = _offset_at(local - before, name) == before
        under_after = _offset_at(local - after, name) == after
        return (
            F.when(before == after, local - before)
            .when(under_before & ~under_after, local - before)
            .when(under_after & ~under_before, local - after)
        )

    def refused(local: Column) -> Column:
        before, after = _offset_at(local - _DAY_S, name), _offset_at(local + _DAY_S, name)
        under_before = _offset_at(local - before, name) == before
        return F.when(
            before != after,
            F.when(under_before, _refused(Reason.AMBIGUOUS_LOCAL_TIME)).otherwise(
                _refused(Reason.NONEXISTENT_LOCAL_TIME)
            ),
        )

    return [_ns(_with(local_s, instant_s), nanos), _with(local_s, refused)]


def _with(value: Column, formula: Callable[[Column], Column]) -> Column:
    """Apply a formula that names its value often, and plan the value once."""
    return F.get(F.transform(F.array(value), formula), F.lit(0))


def _offset_at(instant_s: Column, zone: str) -> Column:
    local = F.from_utc_timestamp(F.timestamp_seconds(instant_s), zone)
    return F.unix_seconds(local) - instant_s


def _ns(instant_s: Column, nanos: Column) -> Column:
    return F.try_add(F.try_multiply(instant_s, F.lit(SECOND_NS)), nanos)


def _after_commas(text: Column, commas: int) -> Column:
    return F.split_part(text, F.lit(","), F.lit(commas + 1))


def _days(date: Column) -> Column:
    return F.unix_date(date).cast("bigint")


def _div(value: Column, divisor: int) -> Column:
    return F.call_function("div", value, F.lit(divisor))


def _int(text: Column, place: int, digits: int = 2) -> Column:
    return F.substring(text, place, digits).try_cast("int")


def _matches(raw: Column, regex: str) -> Column:
    return raw.rlike(_whole(regex))


def _whole(regex: str) -> str:
    return rf"\A(?:{regex})\z"


_DAY_S = 86_400
_REACH_US = (-(-REACH_NS[0] // 1_000), REACH_NS[1] // 1_000 - 1)
"""Microseconds that are whole within what nanoseconds can hold, in 64 bits."""
_REACH_END_S = (dt.date(YEARS[1] + 1, 1, 1) - dt.date(1970, 1, 1)).days * _DAY_S
