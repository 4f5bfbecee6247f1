"""Midnights: when the day of a time of day begins, for whole columns."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from truetape.kernel.columns import Array, Column
from truetape.market import wall_clock
from truetape.market.event_time import parse_day
from truetape.market.rejection import Refused
from truetape.market.resolution import SECOND_NS

_QUARTER_NS = 900 * SECOND_NS
"""Every zone's offset has been a multiple of a quarter of an hour since `_FIRST_NS`."""
_FIRST_NS = 315_532_800 * SECOND_NS
"""1980-01-01T00:00:00Z."""
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class MidnightSource:
    """A zone, and the CSV column and pattern of the dates; without a column they come beside the
    payload.
    """

    zone: str
    column: str | None
    pattern: str | None


def midnights(days: Column, received_ns: Column, zone: str) -> Array:
    """Return the instant of each row's midnight: of its day, else of its receipt date in the zone.

    Null where there is neither, before 1980, and where the clocks of the zone change that day.
    """
    dates = days.combine_chunks().cast(pa.int32())
    of_receipt = _receipt_days(received_ns.combine_chunks(), zone)
    return _of_days(pc.coalesce(dates, of_receipt), zone)


def midnights_of(texts: Array, source: MidnightSource) -> Array:
    """Return the midnights of dates as they are written; null also where they are no dates."""
    encoded = texts.dictionary_encode()
    days = [parse_day(str(text), source.pattern) for text in encoded.dictionary.to_pylist()]
    numbers = [None if isinstance(day, Refused) else (day - _EPOCH).days for day in days]
    return _of_days(pa.array(numbers, pa.int32()).take(encoded.indices), source.zone)


def _of_days(numbers: Array, zone: str) -> Array:
    encoded = numbers.dictionary_encode()
    starts = [_midnight_ns(number, zone) for number in encoded.dictionary.to_pylist()]
    return pa.array(starts, pa.int64()).take(encoded.indices)


def _receipt_days(received_ns: Array, zone: str) -> Array:
    quarters = pc.divide(received_ns, _QUARTER_NS).dictionary_encode()
    days = [_day_of(quarter * _QUARTER_NS, zone) for quarter in quarters.dictionary.to_pylist()]
    return pa.array(days, pa.int32()).take(quarters.indices)


def _day_of(instant_ns: int, zone: str) -> int | None:
    if instant_ns < _FIRST_NS:
        return None
    moment = datetime.fromtimestamp(instant_ns // SECOND_NS, UTC).astimezone(ZoneInfo(zone))
    return (moment.date() - _EPOCH).days


@lru_cache(maxsize=10_000)
def _midnight_ns(day: int, zone: str) -> int | None:
    """Return the first instant of a day on which every hour has the same offset, else None."""
    if day * 86_400 * SECOND_NS < _FIRST_NS:
        return None
    first_s = day * 86_400
    instants = [wall_clock.instant_s(first_s + hour * 3_600, zone) for hour in range(25)]
    offsets = {
        instant - hour * 3_600 if isinstance(instant, int) else None
        for hour, instant in enumerate(instants)
    }
    start = offsets.pop()
    return None if offsets or start is None else start * SECOND_NS
