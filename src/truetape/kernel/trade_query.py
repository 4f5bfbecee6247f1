"""The trade query: one SQL query that reads the trades of a contract's rule from a batch of texts.

Sound, not complete: a row is `accepted` only if the reference accepts the record with these values.
A rule that the query cannot express has no query; the careful lane reads its records.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from truetape.feeds.contract import ANY_TIME_NS, Contract
from truetape.feeds.csv_layout import CsvPayload
from truetape.feeds.decoder import Limits
from truetape.feeds.fields import EACH, DateField, Origin, Path, TimeField
from truetape.feeds.json_layout import JsonPayload, Records
from truetape.feeds.record_rules import RecordMatch, TradeRule
from truetape.feeds.values import MAX_TEXT, ORDERED_ID, TEXT_PATTERN
from truetape.host.sql import quoted
from truetape.kernel import csv_batch, guard, value_sql
from truetape.kernel.csv_batch import CsvPlan
from truetape.kernel.midnights import MidnightSource
from truetape.kernel.value_sql import InexpressibleError
from truetape.market.event_time import Shape
from truetape.market.resolution import MS_NS

LOOKUPS = ("symbol", "venue", "tape", "exchange")
"""Columns of texts that the reference reads once a distinct text, besides `conditions`."""
SEPARATOR, NO_TEXT = "\x1d", "\x1e"
"""Join the texts of conditions and of their flags; no text that the fast lane reads has them."""

_PLAIN_WHEN = re.compile(r"[A-Za-z_][A-Za-z0-9_ .:/-]*|[0-9]{1,15}")
"""Texts that JSON writes in one way only."""
_PLAIN_NAME = r"[A-Za-z0-9_./-]+"
"""Names that a quoted JSON path means literally."""
_FRACTION = r"-?[0-9]+\.[0-9]+"
"""A text that may have been a JSON number, whose trailing zeros DuckDB does not keep."""


@dataclass(frozen=True, slots=True)
class TradeQuery:
    """`sql` reads the table `batch`: record, text, key, received_ns, record_ms; of CSV also `width`
    and the place of each column of `csv`, as `at_0` and so on, 0 for none.

    Each row is one record: `record`, `index`, `accepted`, the texts of `LOOKUPS`, `conditions`, and
    `id`, `sequence`, `event_ns`, `received_ns`, `price`, `size`, `notional`. The query must not
    read a text that `unreadable` matches; numbers that `inexact` matches must be quoted first, None
    for CSV. The batch also brings the midnights of `days`, as `midnight_0` and so on.
    """

    rule: TradeRule
    sql: str
    unreadable: str
    inexact: str | None
    days: tuple[MidnightSource, ...]
    csv: CsvPlan | None


def trade_query(contract: Contract, era: int, limits: Limits) -> TradeQuery | None:
    """Return the query of the trades of an era, None if SQL cannot express their rule."""
    try:
        return _Compiler(contract, era, limits).query()
    except InexpressibleError:
        return None


class _Compiler:
    """Writes the query of one rule: records, then the texts at its paths, then their values."""

    def __init__(self, contract: Contract, era: int, limits: Limits) -> None:
        self._layout = contract.layout_of(contract.eras[era])
        self._header_rule = contract.header_rule
        self._ids_are_ordered = contract.ids_are_ordered
        self._rule = contract.eras[era].trade
        self._bounds_ns = contract.era_bounds_ns(era)
        self._limits = limits
        self._days: list[MidnightSource] = []

    def query(self) -> TradeQuery:
        records = self._records()
        columns = ",\n  ".join(f"{sql} AS {name}" for name, sql in self._texts())
        values = ",\n  ".join(f"{sql} AS {name}" for name, sql in self._values())
        midnights = "".join(f"midnight_{place}, " for place in range(len(self._days)))
        received = self._received()
        slack, stamp = self._limits.future_slack_ns, f"record_ms::HUGEINT * {MS_NS} + {MS_NS - 1}"
        is_json = isinstance(self._layout, JsonPayload)
        is_list = isinstance(self._layout, JsonPayload) and self._layout.records is not Records.ONE
        order = '\nORDER BY record, "index"' if is_list else ""
        kept = ", ".join(("record", '"index"', *LOOKUPS, "conditions", "id"))
        sql = f"""
WITH {records},
texts AS (SELECT record, "index", fits, received_ns AS recorded_ns,
  {stamp} AS stamp_ns, {midnights}
  {columns}
FROM records),
readings AS (SELECT {kept}, recorded_ns, stamp_ns,
  {values}
FROM texts),
receipts AS (SELECT *, {received} AS received_ns FROM readings)
SELECT {kept}, "sequence", event_ns, received_ns, price::DECIMAL(38, 18) AS price,
  size::DECIMAL(38, 18) AS size, (price * size)::DECIMAL(38, 18) AS notional,
  coalesce(fits AND (id_is_absent OR id IS NOT NULL)
    AND (sequence_is_absent OR "sequence" IS NOT NULL)
    AND price_fits AND size_fits AND price IS NOT NULL AND size IS NOT NULL
    AND (receipt_is_absent OR receipt_ns IS NOT NULL)
    AND coalesce(receipt_ns <= stamp_ns + {slack}, true)
    AND coalesce(recorded_ns <= stamp_ns + {slack}, true)
    AND {self._is_in_era()} AND event_ns <= received_ns::HUGEINT + {slack}
    AND event_ns <= stamp_ns + {slack}, false) AS accepted
FROM receipts{order}
"""
        return TradeQuery(
            self._rule,
            sql,
            self._unreadable(),
            guard.INEXACT if is_json else None,
            tuple(self._days),
            self._csv_plan(),
        )

    def _records(self) -> str:
        match self._layout:
            case CsvPayload() as layout:
                return csv_batch.records_sql(layout)
            case JsonPayload(records=Records.ONE) as layout:
                return self._single_records(layout)
            case JsonPayload(records=Records.EACH) as layout:
                return self._listed_records(layout)
            case JsonPayload() as layout:
                return self._named_records(layout)

    @property
    def _columns(self) -> tuple[str, ...]:
        """Return the columns of CSV that the query reads."""
        return tuple(dict.fromkeys(path.steps[0] for path in self._paths(Origin.RECORD)))

    def _csv_plan(self) -> CsvPlan | None:
        if not isinstance(self._layout, CsvPayload):
            return None
        return CsvPlan(self._layout, self._header_rule, self._columns)

    def _is_in_era(self) -> str:
        first_ns, end_ns = self._bounds_ns
        if self._bounds_ns == ANY_TIME_NS:
            return "true"
        return f"event_ns >= {first_ns}::HUGEINT AND event_ns < {end_ns}::HUGEINT"

    def _single_records(self, layout: JsonPayload) -> str:
        fits = "true"
        if layout.at and not layout.at_optional:
            place = f"json_extract(text, {quoted(_json_path(layout.at))})"
            fits = f"json_type({place}) = {quoted(layout.record.upper())}"
        return f"""records AS MATERIALIZED (SELECT *, 0 AS "index", {fits} AS fits,
  {self._document()} AS document
  FROM {self._payloads(layout)})"""

    def _listed_records(self, layout: JsonPayload) -> str:
        place = f"json_extract(text, {quoted(_json_path(layout.at))})" if layout.at else "text"
        single = " AND ".join(
            f"json_array_length(text, {quoted(_json_path(layout.at[:end]))}) = 1"
            for end, step in enumerate(layout.at)
            if step == EACH
        )
        return f"""payloads AS MATERIALIZED (SELECT *, {self._document()} AS document,
  {_list(place, single or "true")} AS places
  FROM {self._payloads(layout)}),
listed AS (SELECT * EXCLUDE (places), unnest(places) AS item,
  generate_subscripts(places, 1) - 1 AS "index" FROM payloads),
{self._item_records(layout)}"""

    def _named_records(self, layout: JsonPayload) -> str:
        place = f"json_extract(text, {quoted(_json_path(layout.at))})" if layout.at else "text"
        skip = ", ".join(quoted(name) for name in layout.skip)
        listed = f"WHERE name NOT IN ({skip})" if skip else ""
        is_plain = f"regexp_full_match(name, {quoted(_PLAIN_NAME)})"
        member = """json_extract(place, '$."' || name || '"')"""
        return f"""payloads AS MATERIALIZED (SELECT *, {self._document()} AS document,
  {place}::JSON AS place FROM {self._payloads(layout)}),
keyed AS (SELECT *, CASE WHEN json_type(place) = 'OBJECT' THEN json_keys(place) END AS names
  FROM payloads),
named AS (SELECT * EXCLUDE (names), unnest(names) AS name,
  generate_subscripts(names, 1) AS name_place FROM keyed
  WHERE list_unique(names) = len(names)),
lists AS MATERIALIZED (SELECT * EXCLUDE (place),
  {_list(member, is_plain)} AS places FROM named {listed}),
flat AS (SELECT * EXCLUDE (places), unnest(places) AS item,
  generate_subscripts(places, 1) AS item_place FROM lists),
listed AS (SELECT *,
  row_number() OVER (PARTITION BY record ORDER BY name_place, item_place) - 1 AS "index"
  FROM flat),
{self._item_records(layout)}"""

    def _payloads(self, layout: JsonPayload) -> str:
        """Return the payloads that are the declared container."""
        kind = quoted(layout.container.upper())
        return f"batch WHERE json_valid(text) AND json_type(text) = {kind}"

    def _item_records(self, layout: JsonPayload) -> str:
        names = self._names(Origin.RECORD)
        deep = guard.opening(guard.MAX_OPENINGS)
        unreadable = "|".join([deep, *([guard.repeated(names)] if names else [])])
        paths = self._paths_in(Origin.RECORD)
        inside = f"sum({_openings('item')}) OVER (PARTITION BY record)"
        return f"""records AS MATERIALIZED (SELECT *,
  json_type(item) = {quoted(layout.record.upper())}
    AND NOT regexp_matches(item, {quoted(unreadable)})
    AND {_openings("text")} - {inside} <= {guard.MAX_ENVELOPE_OPENINGS} AS fits,
  json_extract_string(item, {paths}) AS fields FROM listed)"""

    def _document(self) -> str:
        return f"json_extract_string(text, {self._paths_in(Origin.PAYLOAD)})"

    def _paths_in(self, origin: Origin) -> str:
        """Return the JSON paths of a document, as a list in SQL; `_member` finds one."""
        return f"[{', '.join(quoted(path) for path in self._ways(origin))}]"

    def _ways(self, origin: Origin) -> list[str]:
        layout = self._layout
        ways = [path.steps for path in self._paths(origin)]
        is_single = isinstance(layout, JsonPayload) and layout.records is Records.ONE
        if origin is Origin.PAYLOAD and isinstance(layout, JsonPayload) and is_single:
            inside = [path.steps for path in self._paths(Origin.RECORD)]
            ways += [(*layout.at, *steps) for steps in inside]
            ways += [layout.at, *inside] if layout.at_optional else []
        return list(dict.fromkeys(_json_path(steps) for steps in ways)) or ["$"]

    def _unreadable(self) -> str:
        match self._layout:
            case CsvPayload():
                rule = self._header_rule
                marks = [name for name, column in rule.column_of.items() if column in rule.marks]
                return guard.csv_unreadable(self._layout.delimiter, marks, rule.ignore_case)
            case JsonPayload(records=Records.ONE) as layout:
                names = self._names(Origin.RECORD) | self._names(Origin.PAYLOAD)
                deep = [guard.opening(guard.MAX_OPENINGS)]
            case JsonPayload() as layout:
                names, deep = self._names(Origin.PAYLOAD), []
        names |= {step for step in layout.at if not step.isdigit() and step != EACH}
        return "|".join([guard.UNREADABLE, *deep, *([guard.repeated(names)] if names else [])])

    def _texts(self) -> Iterator[tuple[str, str]]:
        rule = self._rule
        kinds = [self._matches(match) for match in rule.when]
        yield "is_trade", " AND ".join(kinds) or "true"
        yield "symbol", self._symbol()
        yield "venue", self._text(rule.venue.path) if rule.venue.path else "NULL::VARCHAR"
        for name, field in (("tape", rule.tape), ("exchange", rule.exchange)):
            yield name, self._text(field.path) if field else "NULL::VARCHAR"
        yield "conditions", self._conditions()
        yield from self._id()
        yield "sequence_text", self._text(rule.sequence) if rule.sequence else "NULL::VARCHAR"
        yield "event_text", self._text(rule.event_time.path)
        receipt = rule.received_time
        yield "receipt_text", self._text(receipt.path) if receipt else "NULL::VARCHAR"
        yield "price_text", self._text(rule.price.path)
        yield "size_text", self._text(rule.size.path)

    def _symbol(self) -> str:
        field = self._rule.symbol
        text = self._text(field.path)
        if field.suffix is None:
            return text
        if not isinstance(self._layout, CsvPayload):
            raise InexpressibleError  # a suffix may have been a number that lost its last zeros
        suffix = f"{quoted(field.suffix.after)} || {self._text(field.suffix.path)}"
        return f"{text} || coalesce({suffix}, '')"

    def _matches(self, match: RecordMatch) -> str:
        if_absent = "true" if match.or_absent else "false"
        return f"coalesce({self._text(match.path)} IN ({_plain(match.texts)}), {if_absent})"

    def _conditions(self) -> str:
        field = self._rule.conditions
        if field is None:
            return "NULL::VARCHAR"
        paths = (field.path, *(flag.path for flag in field.flags))
        if any(way.origin is Origin.KEY for path in paths for way in path.ways):
            raise InexpressibleError  # a key may have any character, the separators too
        texts = [self._text(path) for path in paths]
        if isinstance(self._layout, CsvPayload):
            mark = quoted(self._layout.delimiter)
            texts = [f"replace({text}, chr({ord(guard.IN_QUOTES)}), {mark})" for text in texts]
        parts = (f"coalesce({text}, chr({ord(NO_TEXT)}))" for text in texts)
        return f" || chr({ord(SEPARATOR)}) || ".join(parts)

    def _id(self) -> Iterator[tuple[str, str]]:
        parts = self._rule.id.parts if self._rule.id else ()
        texts = [self._text(part.path) for part in parts]
        if not texts:
            yield "id", "NULL::VARCHAR"
            yield "id_is_absent", "true"
            return
        # a part may have been a JSON number whose trailing zeros DuckDB does not keep
        sound = [
            f"coalesce(NOT regexp_full_match({text}, {quoted(_FRACTION)}), true)" for text in texts
        ]
        sound += [
            f"{text} IS NOT NULL" for text, part in zip(texts, parts, strict=True) if part.required
        ]
        whole = f"concat_ws(':', {', '.join(texts)})" if len(texts) > 1 else texts[0]
        grammar = (
            f"regexp_full_match({whole}, {quoted(TEXT_PATTERN)}) AND length({whole}) <= {MAX_TEXT}"
        )
        yield "id", f"CASE WHEN {' AND '.join(sound)} AND {grammar} THEN {whole} END"
        is_optional = not any(part.required for part in parts)
        yield (
            "id_is_absent",
            " AND ".join(f"{text} IS NULL" for text in texts) if is_optional else "false",
        )

    def _text(self, path: Path) -> str:
        ways = [self._way(way) for way in path.ways]
        return ways[0] if len(ways) == 1 else f"coalesce({', '.join(ways)})"

    def _way(self, path: Path) -> str:
        layout = self._layout
        match path.origin:
            case Origin.KEY:
                return "key"
            case Origin.NAME:
                has_names = isinstance(layout, JsonPayload) and layout.records is Records.BY_NAME
                return "name" if has_names else "NULL::VARCHAR"
            case Origin.PAYLOAD:
                return self._member(path.origin, path.steps)
            case Origin.RECORD:
                return self._in_record(path.steps)

    def _in_record(self, steps: tuple[str, ...]) -> str:
        match self._layout:
            case CsvPayload():
                return f"nullif(fields[at_{self._columns.index(steps[0])}], '')"
            case JsonPayload(records=Records.ONE) as layout:
                inside = self._member(Origin.PAYLOAD, (*layout.at, *steps))
                if not layout.at_optional:
                    return inside
                is_inside = f"{self._member(Origin.PAYLOAD, layout.at)} IS NOT NULL"
                whole = self._member(Origin.PAYLOAD, steps)
                return f"CASE WHEN {is_inside} THEN {inside} ELSE {whole} END"
            case _:
                return self._member(Origin.RECORD, steps)

    def _member(self, origin: Origin, steps: tuple[str, ...]) -> str:
        column = "fields" if origin is Origin.RECORD else "document"
        return f"{column}[{self._ways(origin).index(_json_path(steps)) + 1}]"

    def _paths(self, origin: Origin) -> list[Path]:
        return [way for path in self._rule.paths for way in path.ways if way.origin is origin]

    def _names(self, origin: Origin) -> set[str]:
        """Return the names of the steps of every path from an origin."""
        return {step for path in self._paths(origin) for step in path.steps if not step.isdigit()}

    def _values(self) -> Iterator[tuple[str, str]]:
        rule = self._rule
        source = "id" if self._ids_are_ordered else "sequence_text"
        digits = f"regexp_full_match({source}, {quoted(ORDERED_ID)})"
        yield '"sequence"', f"CASE WHEN {digits} THEN {source}::BIGINT END"
        yield "sequence_is_absent", "sequence_text IS NULL"
        yield "id_is_absent", "id_is_absent"
        yield "event_ns", self._time("event_text", rule.event_time)
        receipt = rule.received_time
        yield "receipt_ns", self._time("receipt_text", receipt) if receipt else "NULL::BIGINT"
        yield "receipt_is_absent", "receipt_text IS NULL"
        yield from value_sql.number("price", rule.price)
        yield from value_sql.number("size", rule.size)
        yield "fits", "fits AND is_trade"

    def _time(self, text: str, field: TimeField) -> str:
        if not field.spec.needs_day or field.zone is None:
            return value_sql.time(text, field)
        if field.integer:
            raise InexpressibleError
        source = MidnightSource(field.zone, *self._date_column(field.date))
        if source not in self._days:
            self._days.append(source)
        midnight = f"midnight_{self._days.index(source)}"
        if field.shape is Shape.CLOCK:
            return value_sql.clock(text, midnight)
        return value_sql.time_of_day(text, field.shape, midnight)

    def _date_column(self, field: DateField | None) -> tuple[str | None, str | None]:
        """Return the column of a date and its pattern. The batch can only find columns of CSV."""
        if field is None:
            return None, None
        if len(field.path.ways) > 1 or field.path.steps[0] not in self._columns:
            raise InexpressibleError
        return field.path.steps[0], field.pattern

    def _received(self) -> str:
        field = self._rule.received_time
        order = ("receipt_ns", "recorded_ns", "event_ns")
        if field and field.unrecorded_only:
            order = ("recorded_ns", "receipt_ns", "event_ns")
        return f"coalesce({', '.join(order)})"


def _json_path(steps: Sequence[str]) -> str:
    """Return the path in JSON; of a list on the way the first item, which must be the only one."""
    places = ("0" if step == EACH else step for step in steps)
    return "$" + "".join(f"[{step}]" if step.isdigit() else f'."{step}"' for step in places)


def _list(place: str, condition: str = "true") -> str:
    """Return the items of a list in JSON; a place that has none gets one that is no record."""
    return f"""CASE WHEN {condition} AND json_type({place}) = 'ARRAY'
    THEN json_transform({place}, '["JSON"]') ELSE ['null'::JSON] END"""


def _plain(texts: Iterable[str]) -> str:
    if not all(_PLAIN_WHEN.fullmatch(text) for text in texts):
        raise InexpressibleError
    return ", ".join(quoted(text) for text in texts)


def _openings(text: str) -> str:
    return f"(length({text}) - length(translate({text}, '[{{', '')))"
