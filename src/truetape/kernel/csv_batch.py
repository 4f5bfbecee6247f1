"""CSV payloads in columns: a header is cut off and becomes the places of columns, read once each.

Leaves to the careful lane what is not one row, alone or below one header.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.feeds import csv_text
from truetape.feeds.csv_layout import CsvPayload
from truetape.feeds.csv_records import bare_places
from truetape.feeds.csv_text import HeaderRule
from truetape.host.sql import quoted
from truetape.kernel import guard
from truetape.kernel.columns import Array
from truetape.market.rejection import Refused


@dataclass(frozen=True, slots=True)
class CsvPlan:
    """Which columns of which layout a query reads."""

    layout: CsvPayload
    header_rule: HeaderRule
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CsvBatch:
    """The rows that the fast lane may read, without headers, and where they were in the batch.

    `width` is the number of columns of each, `places` where each asked column is, from 1; 0 if a
    row does not have it.
    """

    rows: Array
    texts: Array
    width: Array
    places: Sequence[Array]


def cut(rows: Array, texts: Array, plan: CsvPlan) -> CsvBatch:
    """Return the rows of payloads; those with an odd header are left out."""
    headers, bodies = _split(texts)
    encoded = headers.dictionary_encode(null_encoding="encode")
    shapes = [_shape(header, plan) for header in encoded.dictionary.to_pylist()]
    table = np.array(shapes, dtype=np.int32).reshape(len(shapes), len(plan.columns) + 1)
    table = table[encoded.indices.to_numpy()]
    if not (known := table[:, 0] > 0).all():
        table, mask = table[known], pa.array(known)
        rows, bodies = rows.filter(mask), bodies.filter(mask)
    width, *places = (pa.array(np.ascontiguousarray(column)) for column in table.T)
    return CsvBatch(rows, bodies, width, places)


def records_sql(layout: CsvPayload) -> str:
    """Return the SQL of the records: rows without line ends, as lists of cells.

    A delimiter inside of quotes becomes `guard.IN_QUOTES`, which no cell has.
    """
    mark = quoted(layout.delimiter)
    inside = f"replace(part, {mark}, chr({ord(guard.IN_QUOTES)}))"
    parts = f"""list_transform(string_split(text, '"'),
    lambda part, place: CASE WHEN place % 2 = 0 THEN {inside} ELSE part END)"""
    is_sound = f"regexp_full_match(text, {quoted(guard.quoted_row(layout.delimiter))})"
    return f"""unquoted AS (SELECT * EXCLUDE (text),
  CASE WHEN NOT contains(text, '"') THEN text
    WHEN {is_sound} THEN array_to_string({parts}, '') END AS text FROM batch),
split AS MATERIALIZED (SELECT *, string_split(text, {mark}) AS fields FROM unquoted),
records AS (SELECT *, 0 AS "index", coalesce(len(fields) = width, false) AS fits FROM split)"""


def plain_cells(texts: Array, places: Array, delimiter: str) -> Array:
    """Return the cell at a place, from 1, of each row; null where a quote is at or before it."""
    mark = guard.escaped(delimiter)
    cells = pa.nulls(len(texts), pa.string())
    for place in pc.unique(places).to_pylist():
        if place:
            cell = rf'[^"{mark}]*'
            pattern = rf"^(?:{cell}{mark}){{{place - 1}}}(?P<cell>{cell})(?:{mark}|$)"
            found = pc.struct_field(pc.extract_regex(texts, pattern), "cell")
            cells = pc.if_else(pc.equal(places, place), found, cells)
    return cells


def _split(texts: Array) -> tuple[Array, Array]:
    """Return the first line of each text that has more than one, else null, and what follows."""
    breaks = pc.find_substring(texts, "\n")
    if len(texts) == 0 or pc.max(breaks).as_py() < 0:
        return pa.nulls(len(texts), pa.string()), texts
    parts = pc.split_pattern(texts, "\n", max_splits=1)
    lines, offsets = parts.flatten(), parts.offsets.to_numpy()
    has_header = pc.greater_equal(breaks, 0)
    first = lines.take(pa.array(offsets[:-1]))
    return pc.if_else(has_header, first, None), lines.take(pa.array(offsets[1:] - 1))


def _shape(header: str | None, plan: CsvPlan) -> list[int]:
    """Return the width of the rows below a header, and the place of each column from 1."""
    places, width = bare_places(plan.layout)
    if header is not None:
        places, width = _read(header.removesuffix("\r"), plan)
    return [width, *(places.get(name, -1) + 1 for name in plan.columns)]


def _read(header: str, plan: CsvPlan) -> tuple[Mapping[str, int], int]:
    """Return the columns of a header and their number; no number if it is no sound header."""
    rows = csv_text.rows(header, plan.layout.delimiter)
    if isinstance(rows, Refused) or len(rows) != 1:
        return {}, 0
    places = plan.header_rule.places(rows[0])
    return ({}, 0) if places is None or isinstance(places, Refused) else (places, len(rows[0]))
