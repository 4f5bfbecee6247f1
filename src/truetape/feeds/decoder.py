"""The reference decoder: a payload and its contract to trades, amendments and rejections.

Pure, and in payload order. `batch.spark.decoder` must give the same events and the same reasons.
"""

import dataclasses
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from truetape.feeds import values
from truetape.feeds.contract import (
    Container,
    Contract,
    CsvPayload,
    JsonPayload,
    Kind,
    NumberField,
    Origin,
    Path,
    Records,
    Rule,
    TimeField,
)
from truetape.feeds.strict_json import JsonObject, container, parse, text_of
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.market import event_time
from truetape.market.event_time import TimeSpec
from truetape.market.rejection import Reason, Refused, Rejected
from truetape.market.resolution import SECOND_NS
from truetape.market.trades import (
    PRICE_DIGITS,
    PRICE_SCALE,
    SIZE_DIGITS,
    SIZE_SCALE,
    Cancel,
    Correction,
    Event,
    Position,
    Trade,
)

BLANK = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a payload may weigh, and how far an event time may lie after its receipt."""

    max_payload_bytes: int = 1_000_000
    future_slack_ns: int = SECOND_NS

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Return the limits that the settings ask for."""
        return cls(settings.max_payload_bytes, settings.future_slack_ms * 1_000_000)


@dataclass(frozen=True, slots=True)
class Context:
    """What is known beside the payload: its Kafka key and place, its receipt, the day of its file.

    `day` is the date that times of day belong to; without it, the receipt date in the feed's zone.
    """

    feed: str
    key: str | None
    day: date | None
    received_ns: int | None
    topic: str
    partition: int
    offset: int


def decode(
    payload: bytes, contract: Contract, context: Context, limits: Limits
) -> list[Event | Rejected]:
    """Return what a payload holds, in its order; a bad record rejects itself, not its neighbours.

    A payload that cannot be read, or holds no record, is one rejection with index 0: every payload
    gets an answer.
    """
    found = _records(payload, contract, limits)
    if isinstance(found, Refused):
        return [Rejected(found.reason, found.detail, payload)]
    rules = contract.rules_at(context.received_ns, context.day)
    outcomes: list[Event | Rejected] = []
    for index, record in enumerate(found):
        event = _event(record, rules, context, index, limits)
        if isinstance(event, Refused):
            outcomes.append(Rejected(event.reason, event.detail, payload, index))
        else:
            outcomes.append(event)
    return outcomes or [Rejected(Reason.NOT_A_TRADE, "the payload holds no record", payload)]


@dataclass(frozen=True, slots=True)
class _Record:
    """One record and what is around it; `value` is None where it is no such container."""

    value: object
    payload: object = None
    name: str | None = None

    def text(self, path: Path, key: str | None) -> str | None:
        """Return the text at a path; None where there is nothing, or JSON's null."""
        match path.origin:
            case Origin.KEY:
                text = key
            case Origin.NAME:
                text = self.name
            case Origin.PAYLOAD:
                text = text_of(_at(self.payload, path.steps))
            case Origin.RECORD:
                text = text_of(_at(self.value, path.steps))
        return self.text(path.otherwise, key) if text is None and path.otherwise else text


def _at(value: object, steps: tuple[str, ...]) -> object:
    for step in steps:
        match container(value):
            case dict() as names:
                value = None if step.isdigit() else names.get(step)
            case list() as places if step.isdigit() and int(step) < len(places):
                value = places[int(step)]
            case _:
                return None
    return value


def _records(payload: bytes, contract: Contract, limits: Limits) -> list[_Record] | Refused:
    if len(payload) > limits.max_payload_bytes:
        return Refused(Reason.TOO_LARGE, f"more than {limits.max_payload_bytes} bytes")
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        return Refused(Reason.NOT_TEXT, f"byte {error.start} is no UTF-8")
    if not text.strip(BLANK):
        return Refused(Reason.EMPTY, "nothing in it")
    match contract.layout:
        case CsvPayload() as layout:
            return _csv_records(text, layout)
        case JsonPayload() as layout:
            parsed = parse(text, keep_pairs=layout.records is Records.BY_NAME)
            return parsed if isinstance(parsed, Refused) else _json_records(parsed, layout)


def _csv_records(text: str, layout: CsvPayload) -> list[_Record] | Refused:
    if any(char < " " or char in '"\x7f' for char in text):
        return Refused(Reason.NOT_CSV, "has a quote or a control character")
    columns = text.split(layout.delimiter)
    if len(columns) != len(layout.columns):
        return Refused(
            Reason.NOT_CSV, f"{len(columns)} columns; the contract has {len(layout.columns)}"
        )
    if tuple(columns) == layout.columns:
        return Refused(Reason.NOT_A_TRADE, "a header line")
    return [_Record(dict(zip(layout.columns, (column or None for column in columns), strict=True)))]


def _json_records(parsed: object, layout: JsonPayload) -> list[_Record] | Refused:
    if not _is(parsed, layout.container):
        return Refused(Reason.NOT_A_TRADE, f"the payload is no {layout.container}")
    place = _at(parsed, layout.at)
    if place is None and layout.at_optional:
        place = parsed
    match layout.records:
        case Records.ONE:
            return [_record(place, layout, parsed)]
        case Records.EACH:
            listed = container(place)
            if not isinstance(listed, list):
                return Refused(Reason.NOT_A_TRADE, "no list of records where one should be")
            return [_record(value, layout, parsed) for value in listed]
        case Records.BY_NAME:
            return _named_records(place, layout, parsed)


def _named_records(place: object, layout: JsonPayload, parsed: object) -> list[_Record] | Refused:
    named = container(place, keep_pairs=True)
    if not isinstance(named, JsonObject):
        return Refused(Reason.NOT_A_TRADE, "no records by name where they should be")
    records: list[_Record] = []
    for name, value in named.pairs:
        if name not in layout.skip:
            listed = container(value)
            items = listed if isinstance(listed, list) else [None]
            records.extend(_record(item, layout, parsed, name) for item in items)
    return records


def _record(value: object, layout: JsonPayload, parsed: object, name: str | None = None) -> _Record:
    found = container(value)
    return _Record(found if _is(found, layout.record) else None, parsed, name)


def _is(value: object, kind: Container) -> bool:
    return isinstance(value, dict if kind is Container.OBJECT else list)


def _event(
    record: _Record, rules: tuple[Rule, ...], context: Context, index: int, limits: Limits
) -> Event | Refused:
    if record.value is not None:
        for rule in rules:
            if all(record.text(path, context.key) in allowed for path, allowed in rule.when):
                return _Reading(record, rule, context).event(index, limits)
    return Refused(Reason.NOT_A_TRADE, "no kind of the contract fits this record")


class _Reading:
    """Reads the fields of one record by the rule of its kind."""

    def __init__(self, record: _Record, rule: Rule, context: Context) -> None:
        self._record = record
        self._rule = rule
        self._context = context

    def event(self, index: int, limits: Limits) -> Event | Refused:
        """Return the event; where several fields are wrong, the first in this order tells."""
        read = {
            "symbol": self._symbol(),
            "venue": self._venue(),
            "id": self._id(),
            "sequence": self._sequence(),
            "event_ns": self._time(self._rule.event_time, "event time"),
            "received_ns": self._time(self._rule.received_time, "receipt time"),
            "price": self._number(self._rule.price, "price", PRICE_DIGITS, PRICE_SCALE),
            "size": self._number(self._rule.size, "size", SIZE_DIGITS, SIZE_SCALE),
            "conditions": self._conditions(),
            "tape": self._attribute("tape"),
            "exchange": self._attribute("exchange"),
        }
        for value in read.values():
            if isinstance(value, Refused):
                return value
        event_ns = read["event_ns"]
        received_ns = self._received(read["received_ns"], event_ns)
        if not isinstance(received_ns, int):
            return Refused(Reason.MISSING_FIELD, "no receipt time")
        if isinstance(event_ns, int) and event_ns > received_ns + limits.future_slack_ns:
            after = event_ns - received_ns
            return Refused(Reason.FUTURE_EVENT_TIME, f"event time is {after} ns after its receipt")
        context = self._context
        position = Position(context.topic, context.partition, context.offset, index)
        place = {"feed": context.feed, "position": position}
        fields = read | place | {"received_ns": received_ns}
        match self._rule.kind:
            case Kind.TRADE:
                return Trade(**fields)  # type: ignore[arg-type]  # every value was just checked
            case Kind.CANCEL:
                return Cancel(**_only(fields, Cancel))  # type: ignore[arg-type]  # as above
            case Kind.CORRECT:
                return Correction(**_only(fields, Correction))  # type: ignore[arg-type]  # as above

    def _received(self, told: object, event_ns: object) -> object:
        """Return the receipt time: what the payload tells, what was recorded, the event time."""
        field, recorded = self._rule.received_time, self._context.received_ns
        order = (recorded, told) if field and field.unrecorded_only else (told, recorded)
        return next((instant for instant in (*order, event_ns) if instant is not None), None)

    def _text(self, path: Path) -> str | None:
        return self._record.text(path, self._context.key)

    def _symbol(self) -> str | Refused:
        field = self._rule.symbol
        text = self._text(field.path)
        if text is None:
            return _missing("symbol")
        return values.symbol(text, field.strip_prefix, field.upper)

    def _venue(self) -> str | Refused:
        field = self._rule.venue
        if field.const is not None:
            return field.const
        text = self._text(field.path) if field.path else None
        if text is None:
            return field.default or _missing("venue")
        venue = values.translated(text, field.codes, "venue", Reason.UNKNOWN_VENUE)
        if isinstance(venue, str) and venue not in venues():
            return Refused(Reason.UNKNOWN_VENUE, f"venue is {values.shown(venue)}")
        return venue

    def _id(self) -> str | Refused | None:
        if self._rule.id is None:
            return None
        parts = []
        for part in self._rule.id.parts:
            text = self._text(part.path)
            if text is not None:
                parts.append(text)
            elif part.required:
                return _missing("id")
        return values.attribute(":".join(parts), "id", Reason.BAD_ID) if parts else None

    def _sequence(self) -> int | Refused | None:
        text = self._text(self._rule.sequence) if self._rule.sequence else None
        return None if text is None else values.sequence(text)

    def _time(self, field: TimeField | None, name: str) -> int | Refused | None:
        required = name == "event time" and self._rule.kind is Kind.TRADE
        text = self._text(field.path) if field else None
        if field is None or text is None:
            return _missing(name) if required else None
        spec = field.integer if field.integer and values.is_integer(text) else field.spec
        day = self._day(spec)
        if day is None and spec.needs_day:
            return _missing("date for the time of day")
        return event_time.parse(text, spec, day)

    def _day(self, spec: TimeSpec) -> date | None:
        received_ns = self._context.received_ns
        if self._context.day is not None or received_ns is None or spec.zone is None:
            return self._context.day
        moment = datetime.fromtimestamp(received_ns // SECOND_NS, UTC)
        return moment.astimezone(ZoneInfo(spec.zone)).date()

    def _number(
        self, field: NumberField | None, name: str, digits: int, scale: int
    ) -> Decimal | Refused | None:
        if field is None:
            return None
        text = self._text(field.path)
        return _missing(name) if text is None else values.number(text, name, field, digits, scale)

    def _conditions(self) -> tuple[str, ...] | Refused | None:
        field = self._rule.conditions
        none = () if self._rule.kind is Kind.TRADE else None
        if field is None:
            return none
        text = self._text(field.path)
        codes = none if text is None else values.conditions(text, field)
        for flag in field.flags:
            text = self._text(flag.path)
            if text is not None and codes is not None and not isinstance(codes, Refused):
                if text not in flag.codes:
                    return Refused(Reason.BAD_TEXT, f"{flag.path} is {values.shown(text)}")
                code = flag.codes[text]
                codes = codes if code is None else (*codes, code)
        return codes

    def _attribute(self, name: str) -> str | Refused | None:
        field = self._rule.tape if name == "tape" else self._rule.exchange
        text = self._text(field.path) if field else None
        if field is None or text is None:
            return None
        if field.codes is not None:
            return values.translated(text, field.codes, name)
        return values.attribute(text, name)


def _missing(name: str) -> Refused:
    return Refused(Reason.MISSING_FIELD, f"no {name}")


def _only(fields: dict[str, object], kind: type[Cancel] | type[Correction]) -> dict[str, object]:
    return {field.name: fields[field.name] for field in dataclasses.fields(kind)}
