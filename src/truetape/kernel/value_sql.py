"""Single values in SQL: from the text of a field to a number or a time, null where it is neither.

Accepts fewer texts than the reference, and each of those with the reference's value.
"""

from collections.abc import Iterator

from truetape.feeds.fields import NumberField, TimeField
from truetape.feeds.values import Sign
from truetape.host.sql import quoted
from truetape.market.event_time import DAY_NS, EPOCHS, TIMES_OF_DAY, Shape

_WHOLE_DIGITS, _DECIMALS = 10, 9
"""Digits of a number before and after the point: fewer than `market.trades` allows. A product of
two is then exact in 38 digits, and its notional needs no rounding; wider numbers are rare.
"""
_ISO = (
    r"(?:19|20)[0-9]{2}-[01][0-9]-[0-3][0-9][Tt ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(?:\.[0-9]{1,9})?(?:Z|\+00:00)"
)
_CLOCK = r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
_SECONDS = "(?:[1-3][0-9]{9}|40[0-9]{8})"
"""Whole seconds from 2001-09-09 to 2099: all are plausible and fit 64-bit nanoseconds."""
_DAY_DIGITS = 5
"""Digits of the last second of a day."""


class InexpressibleError(Exception):
    """SQL cannot express something of a contract; `trade_query` answers with no query."""


def number(name: str, field: NumberField) -> Iterator[tuple[str, str]]:
    """Yield a number with nine decimals, and whether its sign fits."""
    shift, written = field.shift, f"{name}_text"
    text = f"regexp_replace({written}, '^-', '')" if field.sign is Sign.ABSOLUTE else written
    decimals, whole = _DECIMALS - shift, _WHOLE_DIGITS + shift
    sign = "-?" if field.sign is Sign.ANY else ""
    grammar = sign + rf"[0-9]{{1,{whole}}}"
    if not shift:
        grammar += rf"(?:\.[0-9]{{1,{decimals}}})" + ("" if field.needs_point else "?")
    value = f"{text}::DECIMAL(19, 9)"
    if shift:
        of_text = f"{text}::DECIMAL({whole + decimals}, {decimals})"
        unit = f"{10**-shift:.{shift}f}::DECIMAL({shift + 1}, {shift})"
        value = f"({of_text} * {unit})::DECIMAL(19, 9)"
    is_number = f"regexp_full_match({text}, {quoted(grammar)})"
    if field.undefined:
        is_number += f" AND {written} NOT IN ({', '.join(map(quoted, field.undefined))})"
    yield name, f"CASE WHEN {is_number} THEN {value} END"
    is_positive = f"regexp_matches({text}, '[1-9]')"
    yield f"{name}_fits", is_positive if field.sign is Sign.POSITIVE else "true"


def time(text: str, field: TimeField) -> str:
    """Return the nanoseconds of a time that has its date. Raise InexpressibleError if its shape, or
    that of its whole numbers, has no SQL.
    """
    ways = [_of_shape(text, shape) for shape in (field.integer, field.shape) if shape]
    if field.integer is None:
        return ways[0]
    is_whole = f"regexp_full_match({text}, '-?[0-9]+')"
    return f"CASE WHEN {is_whole} THEN {ways[0]} ELSE {ways[1]} END"


def time_of_day(text: str, shape: Shape, midnight: str) -> str:
    """Return the nanoseconds of a time of day after a midnight, which may be null."""
    decimals = TIMES_OF_DAY[shape]
    of_day = f"{text}::BIGINT * {10**decimals}"
    digits = quoted(f"[0-9]{{1,{_DAY_DIGITS + 9 - decimals}}}")
    return (
        f"CASE WHEN regexp_full_match({text}, {digits}) AND {of_day} < {DAY_NS} "
        f"THEN {midnight} + {of_day} END"
    )


def clock(text: str, midnight: str) -> str:
    """Return the nanoseconds of a clock's reading after a midnight, which may be null."""
    hours, minutes, seconds = (f"split_part({text}, ':', {place})" for place in (1, 2, 3))
    whole = f"({hours}::BIGINT * 3600 + {minutes}::BIGINT * 60) * 1000000000"
    rest = f"({seconds}::DECIMAL(19, 9) * 1000000000::DECIMAL(10, 0))::BIGINT"
    is_clock = f"regexp_full_match({text}, {quoted(_CLOCK)})"
    return f"CASE WHEN {is_clock} THEN {midnight} + {whole} + {rest} END"


def _of_shape(text: str, shape: Shape) -> str:
    if shape in EPOCHS:
        return _epoch(text, EPOCHS[shape])
    if shape is not Shape.ISO8601:
        raise InexpressibleError
    is_iso = f"regexp_full_match({text}, {quoted(_ISO)})"
    bare = f"replace({text}, '+00:00', 'Z')"
    return f"CASE WHEN {is_iso} THEN epoch_ns(try_cast({bare} AS TIMESTAMP_NS)) END"


def _epoch(text: str, digits: int) -> str:
    seconds = f"{_SECONDS}[0-9]{{{9 - digits}}}"
    whole = f"{text}::BIGINT * {10**digits}"
    if not digits:
        return f"CASE WHEN regexp_full_match({text}, {quoted(seconds)}) THEN {whole} END"
    fraction = rf"{seconds}\.[0-9]{{1,{digits}}}"
    exact = f"({text}::DECIMAL(19, {digits}) * {10**digits}::DECIMAL({digits + 1}, 0))::BIGINT"
    return f"""CASE WHEN regexp_full_match({text}, {quoted(seconds)}) THEN {whole}
    WHEN regexp_full_match({text}, {quoted(fraction)}) THEN {exact} END"""
