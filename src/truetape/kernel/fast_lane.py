"""The fast lane: reads the payloads that DuckDB certainly reads as the reference does.

Accepts a payload as a whole or not at all; the careful lane reads the others.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.feeds import readings
from truetape.feeds.decoder import Limits
from truetape.feeds.strict_json import parse, text_of
from truetape.feeds.values import ConditionsForm
from truetape.kernel import csv_batch, engine, guard
from truetape.kernel.columns import EVENTS, Array, Column
from truetape.kernel.csv_batch import CsvPlan
from truetape.kernel.midnights import midnights, midnights_of
from truetape.kernel.trade_query import NO_TEXT, SEPARATOR, TradeQuery
from truetape.market.rejection import Refused

_STRING_OR_NUMBER = r'("[^"]*")|(-?[0-9][0-9.eE+-]*)'
"""Matches JSON without backslashes, string by string and number by number."""
_FRACTION = re.compile(r"-?[0-9]+\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Accepted:
    """The events of the accepted payloads, and which rows of the batch these are."""

    events: pa.Table
    rows: Array


def read(records: pa.Table, query: TradeQuery, limits: Limits) -> Accepted:
    """Read a batch with the columns of `RECORDS`, all of one feed and one era of its contract."""
    candidates = _candidates(records, query, limits)
    if candidates.num_rows == 0:
        return Accepted(EVENTS.empty_table(), _none_of(records))
    rows = engine.query_prepared(query.sql, {"batch": candidates})
    rows = _with_readings(rows, query)
    rejected = pc.unique(rows["record"].filter(pc.invert(rows["accepted"])))
    kept = rows.filter(rows["accepted"])
    if len(rejected):
        kept = kept.filter(pc.invert(pc.is_in(kept["record"], rejected)))
    mask = np.zeros(records.num_rows, dtype=bool)
    mask[kept["record"].to_numpy()] = True
    return Accepted(_events(kept), pa.array(mask))


def _candidates(records: pa.Table, query: TradeQuery, limits: Limits) -> pa.Table:
    """Return the batch of the query: the payloads that it may read, and their rows."""
    values = records["value"].combine_chunks()
    readable = pc.less_equal(
        pc.binary_length(values), min(limits.max_payload_bytes, guard.MAX_BYTES)
    )
    rows = pc.indices_nonzero(readable).cast(pa.int64())
    rows, texts = _decoded(rows, values)
    beside: dict[str, Array] = {}
    if query.csv is not None:
        rows, texts, beside = _cut(rows, texts, query.csv)
    sound, texts = _guarded(texts, query)
    if sound is not None:
        rows = rows.filter(sound)
        beside = {name: column.filter(sound) for name, column in beside.items()}
    taken = records.select(["key", "received_ns", "record_ms", "day"])
    if len(rows) < records.num_rows:
        taken = taken.take(rows)
    columns = {"record": rows, "text": texts} | {
        name: taken[name].combine_chunks() for name in ("key", "received_ns", "record_ms")
    }
    columns |= beside
    for place, source in enumerate(query.days):
        name = f"midnight_{place}"
        if source.column is None or query.csv is None:
            columns[name] = midnights(taken["day"], taken["received_ns"], source.zone)
        else:
            at = columns[f"at_{query.csv.columns.index(source.column)}"]
            cells = csv_batch.plain_cells(texts, at, query.csv.layout.delimiter)
            columns[name] = midnights_of(cells, source)
    return pa.table(columns)


def _cut(rows: Array, texts: Array, plan: CsvPlan) -> tuple[Array, Array, dict[str, Array]]:
    """Cut the headers off CSV; return what the query reads beside the texts."""
    batch = csv_batch.cut(rows, texts, plan)
    places = {f"at_{number}": places for number, places in enumerate(batch.places)}
    return batch.rows, batch.texts, {"width": batch.width} | places


def _guarded(texts: Array, query: TradeQuery) -> tuple[Array | None, Array]:
    """Drop the texts that the query must not read, and quote the numbers of those that it may.

    Returns which texts stay, None if all do.
    """
    unreadable_texts = query.unreadable
    if query.inexact is not None and _longest(texts) > guard.MAX_STRING:
        unreadable_texts = f"{query.unreadable}|{guard.LONG_STRING}"
    guards = [unreadable_texts, *([query.inexact] if query.inexact else [])]
    suspect = pc.match_substring_regex(texts, "|".join(guards))
    if not pc.any(suspect).as_py():
        return None, texts
    suspect_texts = texts.filter(suspect)
    unreadable = pc.match_substring_regex(suspect_texts, unreadable_texts)
    if query.inexact is not None:
        quoted, is_json = _with_quoted_numbers(suspect_texts)
        texts = pc.replace_with_mask(texts, suspect, quoted)
        unreadable = pc.or_(unreadable, pc.invert(is_json))
    sound = pc.replace_with_mask(pc.invert(suspect), suspect, pc.invert(unreadable))
    return sound, texts.filter(sound)


def _longest(texts: Array) -> int:
    longest: int | None = pc.max(pc.binary_length(texts)).as_py()
    return longest or 0


def _decoded(rows: Array, values: Array) -> tuple[Array, Array]:
    """Return the payloads that are UTF-8, as texts, and their rows."""
    payloads = values if len(rows) == len(values) else values.take(rows)
    try:
        return rows, payloads.cast(pa.string())
    except pa.ArrowInvalid:
        sound = pa.array([_is_utf8(payload.as_buffer()) for payload in payloads])
        return rows.filter(sound), payloads.filter(sound).cast(pa.string())


def _is_utf8(payload: pa.Buffer) -> bool:
    try:
        str(payload, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _with_quoted_numbers(texts: Array) -> tuple[Array, Array]:
    """Return JSON with every number as a string, and which of the texts are JSON at all."""
    sql = "SELECT json_valid(text) AS valid FROM batch"
    answers = engine.query_prepared(sql, {"batch": pa.table({"text": texts})})
    valid = answers["valid"].combine_chunks()
    marked = pc.replace_substring_regex(texts, _STRING_OR_NUMBER, "\\1\x1c\\2\x1d")
    opened = pc.replace_substring(pc.replace_substring(marked, "\x1c\x1d", ""), "\x1c", '"')
    return pc.replace_substring(opened, "\x1d", '"'), valid


def _with_readings(rows: pa.Table, query: TradeQuery) -> pa.Table:
    """Replace the texts of the lookups by their readings; a refused text rejects its row."""
    rule = query.rule
    accepted = rows["accepted"]
    found: dict[str, Array] = {}
    for name, reader in (
        ("symbol", lambda text: readings.symbol(rule.symbol, text)),
        ("venue", lambda text: readings.venue(rule.venue, text)),
        ("tape", lambda text: rule.tape and readings.attribute(rule.tape, text, "tape")),
        (
            "exchange",
            lambda text: rule.exchange and readings.attribute(rule.exchange, text, "exchange"),
        ),
        ("conditions", lambda text: _conditions(query, text)),
    ):
        kind = EVENTS.field(name).type
        found[name], refused = _looked_up(rows[name], reader, kind)
        if refused is not None:
            accepted = pc.and_(accepted, pc.invert(refused))
    for name, values in found.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    return rows.set_column(rows.schema.get_field_index("accepted"), "accepted", accepted)


def _looked_up(
    texts: Column, reader: Callable[[str | None], object], kind: pa.DataType
) -> tuple[Array, Array | None]:
    """Return the readings of texts, read once a distinct text, and which rows are refused."""
    encoded = texts.combine_chunks().dictionary_encode(null_encoding="encode")
    distinct = encoded.dictionary.to_pylist()
    results = [reader(text) if _is_exact(text) else Refused for text in distinct]
    refused = [result is Refused or isinstance(result, Refused) for result in results]
    values = pa.array(
        [None if bad else result for bad, result in zip(refused, results, strict=True)], kind
    )
    indices = encoded.indices
    mask = pa.array(refused).take(indices) if any(refused) else None
    return values.take(indices), mask


def _is_exact(text: str | None) -> bool:
    """False if a text may have been a JSON number whose trailing zeros are lost."""
    return text is None or _FRACTION.fullmatch(text) is None


def _conditions(query: TradeQuery, text: str | None) -> object:
    field = query.rule.conditions
    if field is None or text is None:
        return ()
    first, *flags = (None if part == NO_TEXT else part for part in text.split(SEPARATOR))
    if first is not None and field.form is ConditionsForm.LIST:
        value = parse(first)
        first = first if isinstance(value, Refused) else text_of(value)
    if not all(map(_is_exact, (first, *flags))):
        return Refused
    return readings.conditions(field, first, flags, ())


def _events(rows: pa.Table) -> pa.Table:
    kinds = pa.array(["trade"]).take(pa.array(np.zeros(rows.num_rows, dtype=np.int32)))
    fixed = {"kind": kinds, "new_id": pa.nulls(rows.num_rows, pa.string())}
    columns = {
        field.name: fixed[field.name] if field.name in fixed else rows[field.name].cast(field.type)
        for field in EVENTS
    }
    return pa.table(columns, schema=EVENTS)


def _none_of(records: pa.Table) -> Array:
    return pa.array(np.zeros(records.num_rows, dtype=bool))
