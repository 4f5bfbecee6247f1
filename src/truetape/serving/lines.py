"""Line protocol: encodes a row as one typed line, or returns the reason why it cannot.

Sends nothing. Refuses each row that InfluxDB would store wrongly, or that would fail a whole batch.
Syntax: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from truetape.serving.schema import BAR, INDICATOR, PIPELINE, Measurement
from truetape.serving.store import DeadLine, FieldValue, IndicatorRow, Point, ServedBar

MAX_TAG_BYTES = 1_024
"""InfluxDB accepts 65,535 bytes for a series key; no symbol has nearly as many."""
MAX_TEXT_BYTES = 65_536
INT64 = range(-(2**63), 2**63)
TIMES = range(-(2**63) + 2, 2**63 - 1)
"""The nanoseconds that InfluxDB can store: it reserves the two lowest and the highest."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPED = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})
_QUOTED = str.maketrans({'"': '\\"', "\\": "\\\\"})
_float = float.__repr__


@dataclass(frozen=True, slots=True)
class _Refusal:
    reason: str


def bar(row: ServedBar) -> str | DeadLine:
    """Encode a bar, its floats by `repr`: reading returns the same bits."""
    numbers = row.numbers
    counts = (row.trades, row.rev, row.seq)
    head = _series(BAR.name, (("symbol", row.symbol), ("venue", row.venue)))
    is_plain = (
        isinstance(head, str)
        and all(type(value) is float and value - value == 0.0 for value in numbers)
        and all(type(value) is int and value in INT64 for value in counts)
        and row.layer in ("speed", "batch")
        and type(row.final) is bool
        and type(row.void) is bool
        and type(row.start_ns) is int
        and row.start_ns in TIMES
    )
    if not is_plain:
        return _encode_checked(row)
    opened, high, low, close, volume, vwap = numbers
    return (
        f"{head} open={opened!r},high={high!r},low={low!r},close={close!r},volume={volume!r},"
        f"vwap={vwap!r},trades={row.trades}i,rev={row.rev}i,seq={row.seq}i,"
        f'layer="{row.layer}",final={"true" if row.final else "false"},'
        f"void={'true' if row.void else 'false'} {row.start_ns}"
    )


def indicator(row: IndicatorRow) -> str | DeadLine:
    """Encode an indicator row; absent values are not written."""
    fields: dict[str, FieldValue] = {"rev": row.rev, "void": row.void, **row.values}
    tags = {"symbol": row.symbol, "venue": row.venue}
    return _encode(INDICATOR, tags, fields, row.start_ns, row)


def series(measurement: str, symbol: str, venue: str) -> str | None:
    """Return measurement and tags of a bar or of its indicators; None if a tag cannot be
    written.
    """
    head = _series(measurement, (("symbol", symbol), ("venue", venue)))
    return head if isinstance(head, str) else None


def point(row: Point) -> str | DeadLine:
    """Encode a point of the pipeline bucket; its measurement must be in `schema.PIPELINE`."""
    measurement = PIPELINE.get(row.measurement)
    if measurement is None:
        names = ", ".join(sorted(PIPELINE))
        return DeadLine(repr(row), f"unknown measurement {row.measurement!r}; known: {names}")
    return _encode(measurement, row.tags, row.fields, row.time_ns, row)


def _encode_checked(row: ServedBar) -> str | DeadLine:
    if row.layer not in ("speed", "batch"):
        return DeadLine(repr(row), f'layer is {row.layer!r}, not "speed" or "batch"')
    fields: dict[str, FieldValue] = {name: getattr(row, name) for name in BAR.fields}
    return _encode(BAR, {"symbol": row.symbol, "venue": row.venue}, fields, row.start_ns, row)


def _encode(
    measurement: Measurement,
    tags: Mapping[str, str],
    fields: Mapping[str, FieldValue],
    time_ns: int,
    row: object,
) -> str | DeadLine:
    if tuple(sorted(tags)) != measurement.tags:
        wanted = ", ".join(measurement.tags)
        return DeadLine(repr(row), f"tags of {measurement.name} are {wanted}, not {sorted(tags)}")
    head = _series(measurement.name, tuple(sorted(tags.items())))
    if isinstance(head, _Refusal):
        return DeadLine(repr(row), head.reason)
    missing = [name for name in measurement.fields if name not in fields]
    if missing:
        return DeadLine(repr(row), f"field {missing[0]} is missing")
    parts = []
    for name, value in fields.items():
        text = _field(measurement, name, value)
        if isinstance(text, _Refusal):
            return DeadLine(repr(row), text.reason)
        parts.append(text)
    if type(time_ns) is not int or time_ns not in TIMES:
        return DeadLine(repr(row), f"time is {time_ns!r}, not nanoseconds that InfluxDB can store")
    return f"{head} {','.join(parts)} {time_ns}"


@lru_cache(maxsize=65_536)
def _series(name: str, tags: tuple[tuple[str, str], ...]) -> str | _Refusal:
    """Return measurement and tags, escaped; `tags` are sorted by name."""
    parts = [name]
    for tag, value in tags:
        reason = _tag_refused(tag, value)
        if reason:
            return _Refusal(reason)
        parts.append(f"{tag}={value.translate(_ESCAPED)}")
    return ",".join(parts)


def _tag_refused(tag: str, value: str) -> str | None:
    if not isinstance(value, str):
        return f"tag {tag} is {value!r}, not text"
    if not value:
        return f"tag {tag} is empty"
    if _CONTROL.search(value):
        return f"tag {tag} is {value!r} and contains a line break or another control character"
    if "|" in value and tag != "symbol":
        return f"tag {tag} is {value!r}; InfluxQL joins tags by | to group them: symbols only"
    if value.endswith("\\"):
        return f"tag {tag} is {value!r} and ends in a backslash, which line protocol cannot express"
    return _too_long(f"tag {tag}", value, MAX_TAG_BYTES)


def _too_long(what: str, value: str, limit: int) -> str | None:
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        return f"{what} is {value!r}, which is not valid Unicode"
    return f"{what} has {length} bytes, more than the limit of {limit}" if length > limit else None


def _field(measurement: Measurement, name: str, value: FieldValue) -> str | _Refusal:
    kind = measurement.kind_of(name)
    if kind is None:
        names = ", ".join((*measurement.fields, *measurement.optional))
        return _Refusal(f"{measurement.name} has no field {name!r}; known: {names}")
    text = _ENCODERS[kind](value)
    if text is None:
        return _Refusal(f"field {name} is {value!r}, not a {kind} that can be stored")
    return f"{name}={text}"


def _float_text(value: object) -> str | None:
    """Encode any finite float, and an int that a float represents exactly."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and abs(value) > 2**53:
        return None
    number = float(value)
    return _float(number) if number - number == 0.0 else None


def _int_text(value: object) -> str | None:
    return f"{value}i" if type(value) is int and value in INT64 else None


def _bool_text(value: object) -> str | None:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else None


def _string_text(value: object) -> str | None:
    if not isinstance(value, str) or _CONTROL.search(value):
        return None
    if _too_long("", value, MAX_TEXT_BYTES):
        return None
    return f'"{value.translate(_QUOTED)}"'


_ENCODERS: Mapping[str, Callable[[object], str | None]] = {
    "float": _float_text,
    "int": _int_text,
    "bool": _bool_text,
    "text": _string_text,
}
