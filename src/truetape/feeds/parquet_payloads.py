"""Parquet payloads: each row of a file as the CSV row or the JSON object that its contract reads.

Changes no value: every column becomes text as exact as it is.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any

from truetape.feeds import csv_text
from truetape.feeds.contract import Contract
from truetape.feeds.csv_layout import CsvPayload
from truetape.feeds.fields import Origin, Path, TimeField
from truetape.feeds.json_layout import Container, JsonPayload, Records
from truetape.feeds.native import iso
from truetape.host.errors import ConfigError
from truetape.market.event_time import Shape
from truetape.market.resolution import SECOND_NS

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 10_000
"""Rows that are in memory at a time."""

_UNIT_NS = {"s": SECOND_NS, "ms": 1_000_000, "us": 1_000, "ns": 1}

Row = tuple[int, bytes]


def payloads(file: IO[bytes], name: str, contract: Contract) -> Iterator[Row]:
    """Yield the payload of each row and its number, from 1. Raise ConfigError if the contract reads
    neither columns nor objects, or a column of times in another shape.

    CSV has the file's columns as its header. Times become ISO 8601, without Z where they have no
    zone; numbers the shortest text that means them; lists of texts are joined by commas in CSV.
    """
    import pyarrow.parquet as pq

    layout = contract.layout
    if isinstance(layout, JsonPayload) and not _is_flat(layout):
        raise ConfigError(
            f"{name}: feed {contract.feed} reads JSON that no Parquet row is; write a contract "
            "with the columns of the file as csv columns"
        )
    number = 0
    table = pq.ParquetFile(file)
    _require_readable_times(table.schema_arrow, name, contract)
    for batch in table.iter_batches(batch_size=ROWS):
        columns = [_values(batch.column(place)) for place in range(batch.num_columns)]
        names = batch.schema.names
        for row in zip(*columns, strict=True):
            number += 1
            yield number, _payload(names, row, layout)


def _require_readable_times(schema: "pa.Schema", name: str, contract: Contract) -> None:
    """Raise ConfigError if the contract reads a column of timestamps in a shape that it is not."""
    import pyarrow.types as kinds

    for field in schema:
        if not kinds.is_timestamp(field.type):
            continue
        shape = Shape.ISO8601_LOCAL if field.type.tz is None else Shape.ISO8601
        column = contract.header_rule.column(field.name) or field.name
        declared = {time.shape for time in _times(contract) if _reads(time.path, column)}
        if declared and not declared & {shape, Shape.PATTERN}:
            raise ConfigError(
                f"{name}: the column {field.name} has the type {field.type}, which the shape "
                f"{shape} reads, but feed {contract.feed} reads it as {' or '.join(declared)}; "
                f"write shape: {shape} in a contract of your own"
            )


def _times(contract: Contract) -> Iterator[TimeField]:
    rules = [rule for era in contract.eras for rule in era.rules]
    yield from (rule.event_time for rule in rules if rule.event_time)
    yield from (rule.received_time for rule in rules if rule.received_time)


def _reads(path: Path, column: str) -> bool:
    return any(way.origin is Origin.RECORD and way.steps == (column,) for way in path.ways)


def _is_flat(layout: JsonPayload) -> bool:
    is_whole = not layout.at or layout.at_optional
    return layout.container is Container.OBJECT and layout.records is Records.ONE and is_whole


def _payload(names: list[str], row: tuple[object, ...], layout: JsonPayload | CsvPayload) -> bytes:
    if isinstance(layout, CsvPayload):
        cells = [_cell(value) for value in row]
        rows = (csv_text.joined(names, layout.delimiter), csv_text.joined(cells, layout.delimiter))
        return "\n".join(rows).encode()
    return json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False).encode()


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case list():
            return ",".join(map(_cell, value))
        case _:
            return json.dumps(value, ensure_ascii=False)


def _values(column: "pa.Array[Any]") -> list[object]:
    """Return a column as texts, flags, and lists and objects of them; None where it is null."""
    import pyarrow as pa
    import pyarrow.types as kinds

    kind = column.type
    if kinds.is_dictionary(kind):
        return _values(column.cast(kind.value_type))
    if kinds.is_timestamp(kind):
        end, unit_ns = "" if kind.tz is None else "Z", _UNIT_NS[kind.unit]
        instants = column.cast(pa.int64()).to_pylist()
        return [
            None if one is None else iso(one * unit_ns).removesuffix("Z") + end for one in instants
        ]
    if kinds.is_time(kind):
        unit_ns = _UNIT_NS[kind.unit]
        units = column.cast(pa.int32() if kinds.is_time32(kind) else pa.int64()).to_pylist()
        return [None if one is None else _clock(one * unit_ns) for one in units]
    if kinds.is_float32(kind) or kinds.is_float16(kind):
        numbers = column.to_numpy(zero_copy_only=False)
        return [
            None if is_null else str(number)
            for number, is_null in zip(numbers, column.is_null().to_pylist(), strict=True)
        ]
    return [_text(value) for value in column.to_pylist()]


def _clock(of_day_ns: int) -> str:
    """Return a time of day as text, by the instant of 1970-01-01 that has it."""
    return iso(of_day_ns).partition("T")[2].removesuffix("Z")


def _text(value: object) -> object:
    match value:
        case None | str() | bool():
            return value
        case bytes():
            return value.decode(errors="replace")
        case list():
            return [_text(item) for item in value]
        case dict():
            return {name: _text(item) for name, item in value.items()}
        case _:
            return format(value, "f") if isinstance(value, Decimal) else str(value)
