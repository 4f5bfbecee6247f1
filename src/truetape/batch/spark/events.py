"""One record's texts to its outcome in Spark: the columns of an event, and its first fault.

The order of the fields is the order of the faults; `decoder` keeps the same one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from truetape.batch.spark import values as read
from truetape.batch.spark.records import Texts
from truetape.batch.spark.scope import Columns, Scope
from truetape.batch.spark.time import ns_of, outcome, reason_of, usual
from truetape.batch.spark.values import Reading
from truetape.feeds.contract import RecordKind, RecordRule
from truetape.feeds.decoder import Limits
from truetape.feeds.fields import (
    ConditionsField,
    IdField,
    NumberField,
    Origin,
    Path,
    SymbolField,
    TextField,
    TimeField,
    VenueField,
)
from truetape.feeds.values import INTEGER_PATTERN, MAX_TIME_TEXT
from truetape.host.venues import venues
from truetape.market.event_time import REACH_NS, TimeSpec
from truetape.market.rejection import Reason
from truetape.market.trades import PRICE_DIGITS, PRICE_SCALE, SIZE_DIGITS, SIZE_SCALE

Field = (
    SymbolField
    | VenueField
    | IdField
    | TimeField
    | NumberField
    | ConditionsField
    | TextField
    | Path
)

_ATTRIBUTES = (
    "symbol",
    "venue",
    "id",
    "sequence",
    "event_time",
    "received_time",
    "price",
    "size",
    "conditions",
    "tape",
    "exchange",
)
_NUMBERS = {"price": (PRICE_DIGITS, PRICE_SCALE), "size": (SIZE_DIGITS, SIZE_SCALE)}
_ANYWHERE = Path(Origin.RECORD)


@dataclass(frozen=True, slots=True)
class _Group:
    """The kinds that read a field alike, wherever they find it, and the text found."""

    field: Field
    kinds: tuple[RecordKind, ...]
    text: Column


@dataclass(frozen=True, slots=True)
class Bounds:
    """The end of a record's stamp, and the slack by which times may lie beyond their bounds."""

    stamp_end_ns: Column
    limits: Limits

    def is_beyond(self, instant_ns: Column, bound_ns: Column) -> Column:
        """True if an instant, which may be null, lies beyond a bound by more than the slack."""
        least_ns = F.try_subtract(instant_ns, F.lit(self.limits.future_slack_ns))
        return F.coalesce(least_ns > bound_ns, F.lit(False))


class Fields:
    """The fields of one record whose kind is known."""

    def __init__(
        self,
        scope: Scope,
        *,
        rules: Sequence[RecordRule],
        texts: Texts,
        kind: Column,
        day: Column,
        bounds: Bounds,
    ) -> None:
        self._scope = scope
        self._rules = rules
        self._texts = texts
        self._kind = kind
        self._day = day
        self._bounds = bounds
        self._groups = {name: self._grouped(name) for name in _ATTRIBUTES}

    def outcome(self, index: Column) -> Column:
        """Return a struct of `event` and `fault`, which is null or "reason field"."""
        parsed = {"kind": self._kind}
        for name, groups in self._groups.items():
            for number, group in enumerate(groups):
                key = f"{name}{number}"
                match group.field:
                    case TimeField() as field:
                        parsed[key] = self._time(group.text, field)
                    case NumberField() as field:
                        parsed[key] = read.number(group.text, field, *_NUMBERS[name])
                    case ConditionsField() as field:
                        parsed[key] = read.conditions(group.text, field)
        return self._scope.let(parsed, lambda bound: self._outcome(bound, index))

    def _grouped(self, name: str) -> list[_Group]:
        fields: list[tuple[RecordKind, Field]] = [
            (rule.kind, field)
            for rule in self._rules
            if (field := getattr(rule, name, None)) is not None
        ]
        readers: list[Field] = []
        for _, field in fields:
            if _reader(field) not in readers:
                readers.append(_reader(field))
        groups = []
        for reader in readers:
            members = [(kind, field) for kind, field in fields if _reader(field) == reader]
            kinds = tuple(kind for kind, _ in members)
            groups.append(_Group(reader, kinds, self._text(members)))
        return groups

    def _text(self, members: list[tuple[RecordKind, Field]]) -> Column:
        """Return the text of a group's field; it means nothing for the kinds outside."""
        first = members[0][1]
        if all(field == first for _, field in members):
            return self._text_of(first)
        text = F.lit(None).cast("string")
        for kind, field in members:
            text = F.when(self._kind == str(kind), self._text_of(field)).otherwise(text)
        return text

    def _text_of(self, field: Field) -> Column:
        match field:
            case Path():
                return self._texts[field]
            case IdField(parts=parts):
                return _joined([(self._texts[part.path], part.required) for part in parts])
            case VenueField(path=None, const=const):
                return F.lit(const)
            case _ if field.path is not None:
                return self._texts[field.path]
        raise AssertionError(f"{field} has no path")

    def _outcome(self, parsed: Columns, index: Column) -> Column:
        self._kind = parsed["kind"]
        readings = {}
        for name, groups in self._groups.items():
            found = [
                self._within(
                    group, self._reading(name, group, parsed.get(f"{name}{number}", group.text))
                )
                for number, group in enumerate(groups)
            ]
            readings[name] = _either(found, name)
        event_ns = readings["event_time"].value
        stated_ns = readings["received_time"].value
        received_ns = self._received(stated_ns, event_ns)
        is_beyond, stamp_end_ns = self._bounds.is_beyond, self._bounds.stamp_end_ns
        receipt_is_ahead = is_beyond(F.greatest(stated_ns, "received_ns"), stamp_end_ns)
        event_is_ahead = is_beyond(event_ns, F.least(received_ns, stamp_end_ns))
        fault = F.coalesce(
            F.when(self._kind.isNull(), read.fault(Reason.NOT_A_TRADE, "record")),
            *(reading.fault for reading in readings.values()),
            F.when(received_ns.isNull(), read.fault(Reason.MISSING_FIELD, "received_time")),
            F.when(receipt_is_ahead, read.fault(Reason.FUTURE_RECEIPT_TIME, "received_time")),
            F.when(event_is_ahead, read.fault(Reason.FUTURE_EVENT_TIME, "event_time")),
        )
        values = {name: reading.value for name, reading in readings.items()}
        columns = {
            "index": index.cast("int"),
            "kind": self._kind,
            "symbol": values["symbol"],
            "venue": values["venue"],
            "id": values["id"],
            "sequence": values["sequence"],
            "event_ns": event_ns,
            "received_ns": received_ns,
            "price": values["price"],
            "size": values["size"],
            "conditions": F.coalesce(values["conditions"], self._no_conditions()),
            "tape": values["tape"],
            "exchange": values["exchange"],
        }
        event = F.struct(*(column.alias(name) for name, column in columns.items()))
        return F.struct(event.alias("event"), fault.alias("fault"))

    def _received(self, told: Column, event_ns: Column) -> Column:
        """Return the receipt time: what the payload tells, what was recorded, the event time."""
        recorded = F.col("received_ns")
        received = F.coalesce(told, recorded, event_ns)
        last = [
            str(r.kind) for r in self._rules if r.received_time and r.received_time.unrecorded_only
        ]
        if not last:
            return received
        return F.when(self._kind.isin(last), F.coalesce(recorded, received)).otherwise(received)

    def _reading(  # noqa: PLR0911 - one return for each type of field
        self, name: str, group: _Group, parsed: Column
    ) -> Reading:
        text = group.text
        match group.field:
            case SymbolField() as field:
                return read.symbol(text, field)
            case VenueField() as field:
                return _venue(text, field)
            case IdField() as field:
                return _id(text, field)
            case Path():
                return read.sequence(text)
            case TimeField() as field:
                return self._time_reading(name, text, parsed, field)
            case NumberField() as field:
                return Reading(parsed, read.number_fault(text, parsed, field, name))
            case ConditionsField() as field:
                return self._conditions(text, parsed, field)
            case TextField(codes=None):
                return read.attribute(text, name)
            case TextField(codes=codes):
                return read.translated(text, codes or {}, name, Reason.BAD_TEXT)

    def _within(self, group: _Group, reading: Reading) -> Reading:
        if len(group.kinds) == len(self._rules):
            return reading
        mine = self._kind.isin([str(kind) for kind in group.kinds])
        return Reading(F.when(mine, reading.value), F.when(mine, reading.fault))

    def _time(self, text: Column, field: TimeField) -> Column:
        """Return the outcome of a time, to be named: value and fault are both taken from it."""
        parsed = outcome(text, field.spec, self._day_for(field.spec))
        if field.integer_spec is None:
            return parsed
        is_integer = read.matches(text, INTEGER_PATTERN, MAX_TIME_TEXT)
        integer = outcome(text, field.integer_spec, self._day_for(field.integer_spec))
        either = F.when(is_integer, integer).otherwise(parsed)
        return F.coalesce(usual(text, field.spec), either)

    def _time_reading(self, name: str, text: Column, parsed: Column, field: TimeField) -> Reading:
        absent = F.lit(None).cast("string")
        if name == "event_time":
            needed = self._kind == str(RecordKind.TRADE)
            absent = F.when(needed, read.fault(Reason.MISSING_FIELD, name))
        fault = F.when(text.isNull(), absent)
        if field.spec.needs_day:
            dateless = self._day_for(field.spec).isNull()
            fault = fault.when(dateless, read.fault(Reason.MISSING_FIELD, "date"))
        told = F.concat(reason_of(parsed), F.lit(f" {name}"))
        return Reading(ns_of(parsed), fault.when(parsed < REACH_NS[0], told))

    def _day_for(self, spec: TimeSpec) -> Column:
        """Return the day of a time of day: as given, else the receipt date on the wall clock."""
        if not spec.needs_day or spec.zone is None:
            return F.lit(None).cast("date")
        received = F.col("received_ns")
        # not `/`, which goes through a double and loses the last of an instant's 61 bits
        micros = F.call_function("div", received - F.pmod(received, F.lit(1_000)), F.lit(1_000))
        local = F.from_utc_timestamp(F.timestamp_micros(micros), spec.zone)
        return F.coalesce(self._day, F.to_date(local))

    def _no_conditions(self) -> Column:
        """Return no codes for a trade; null for an amendment, which then keeps the old ones."""
        return F.when(self._kind == str(RecordKind.TRADE), F.array().cast(read.TEXTS))

    def _conditions(self, text: Column, codes: Column, field: ConditionsField) -> Reading:
        value = F.when(text.isNull(), self._no_conditions()).otherwise(codes)
        fault = F.when(text.isNotNull() & codes.isNull(), read.fault(Reason.BAD_TEXT, "conditions"))
        for flag in field.flags:
            flagged = self._texts[flag.path]
            odd = flagged.isNotNull() & ~flagged.isin(list(flag.codes))
            for word, code in flag.codes.items():
                if code is not None:
                    more = F.array_append(value, F.lit(code))
                    value = F.when(flagged == word, more).otherwise(value)
            fault = F.coalesce(
                fault, F.when(odd & value.isNotNull(), read.fault(Reason.BAD_TEXT, "flag"))
            )
        return Reading(value, fault)


def _reader(field: Field) -> Field:
    """Return a field without its place, so that fields read alike are equal."""
    match field:
        case Path():
            return _ANYWHERE
        case IdField(parts=parts):
            required = any(part.required for part in parts)
            anywhere = [part.model_copy(update={"path": _ANYWHERE}) for part in parts[:1]]
            return IdField(join=tuple(anywhere if required else ()))
        case VenueField(path=Path()):
            return field.model_copy(update={"path": _ANYWHERE})
        case VenueField():
            return field
        case _:
            return field.model_copy(update={"path": _ANYWHERE})


def _joined(parts: list[tuple[Column, bool]]) -> Column:
    """Return the parts that are there, joined; null where a required one, or every one, is not."""
    texts = [text for text, _ in parts]
    needed = [text.isNotNull() for text, required in parts if required]
    joined = texts[0] if len(texts) == 1 else F.concat_ws(":", *texts)
    if len(texts) == 1:
        return joined
    there = F.coalesce(*texts).isNotNull()
    for good in needed:
        there = there & good
    return F.when(there, joined)


def _id(text: Column, field: IdField) -> Reading:
    reading = read.attribute(text, "id", Reason.BAD_ID)
    if not field.parts:
        return reading
    missing = F.when(text.isNull(), read.fault(Reason.MISSING_FIELD, "id"))
    return Reading(reading.value, missing.otherwise(reading.fault))


def _venue(text: Column, field: VenueField) -> Reading:
    if field.const is not None:
        return Reading(text, read.no_fault())
    if field.codes is not None:
        reading = read.translated(text, field.codes, "venue", Reason.UNKNOWN_VENUE)
    else:
        known = text.isin(sorted(venues()))
        unknown = read.fault(Reason.UNKNOWN_VENUE, "venue")
        reading = Reading(text, F.when(text.isNotNull() & ~known, unknown))
    if field.default is not None:
        value = F.when(text.isNull(), F.lit(field.default)).otherwise(reading.value)
        return Reading(value, reading.fault)
    missing = F.when(text.isNull(), read.fault(Reason.MISSING_FIELD, "venue"))
    return Reading(reading.value, missing.otherwise(reading.fault))


def _either(readings: list[Reading], name: str) -> Reading:
    """Return the reading of the group that the record's kind is in."""
    if not readings:
        kind = {"conditions": read.TEXTS, "sequence": "bigint"}.get(name, "string")
        kind = {"event_time": "bigint", "received_time": "bigint"}.get(name, kind)
        kind = f"decimal{_NUMBERS[name]}" if name in _NUMBERS else kind
        return Reading(F.lit(None).cast(kind), read.no_fault())
    if len(readings) == 1:
        return readings[0]
    return Reading(
        F.coalesce(*(reading.value for reading in readings)),
        F.coalesce(*(reading.fault for reading in readings)),
    )
