"""The reference decoder: a payload and its contract to trades, amendments and rejections.

Does no I/O. `kernel.decode` must give the same events and the same reasons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TypeVar
from zoneinfo import ZoneInfo

from truetape.feeds import readings, values
from truetape.feeds.contract import Contract
from truetape.feeds.fields import (
    ConditionsField,
    DateField,
    IdField,
    NumberField,
    Path,
    TextField,
    TimeField,
)
from truetape.feeds.native import iso
from truetape.feeds.payload_records import PayloadRecord, records_in, text_in
from truetape.feeds.record_rules import CancelRule, CorrectionRule, RecordRule, TradeRule
from truetape.host.settings import Settings
from truetape.market import event_time
from truetape.market.event_time import TimeSpec
from truetape.market.rejection import Reason, Refused, Rejected
from truetape.market.resolution import MS_NS, SECOND_NS
from truetape.market.trades import (
    WHOLE_DIGITS,
    Cancel,
    Correction,
    Event,
    Position,
    Trade,
    notional_fits,
)

UNBOUNDED_MS = 2**63 // MS_NS
"""A stamp that bounds no time."""
ARRIVAL = "the arrival of the record"
"""The stamp in texts, which say no time of it: equal files give equal texts whenever they are read.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a payload may be, and how far its times may lie beyond their bounds: an event time
    beyond the receipt, and every time beyond the stamp.
    """

    max_payload_bytes: int = 1_000_000
    future_slack_ns: int = SECOND_NS

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Return the limits of the settings."""
        return cls(settings.max_payload_bytes, settings.future_slack_ms * 1_000_000)


@dataclass(frozen=True, slots=True)
class Context:
    """What comes beside the payload: its Kafka key and position, its receipt, the day of its file.

    `day` is the date of times of day; without it, they are of the receipt date in the feed's zone.
    `record_ms` bounds every time of the payload: the stamp that Kafka's broker gave the record, for
    a file the clock when it is read. No feed can set it.
    """

    feed: str
    key: str | None
    day: date | None
    received_ns: int | None
    topic: str
    partition: int
    offset: int
    record_ms: int

    @property
    def stamp_end_ns(self) -> int:
        """Return the last nanosecond of the stamp: a stamp is cut to its millisecond."""
        return self.record_ms * MS_NS + MS_NS - 1


def decode(
    payload: bytes, contract: Contract, context: Context, limits: Limits
) -> list[Event | Rejected]:
    """Return the events and rejections of a payload, in its order.

    A bad record is rejected alone; the records beside it are not. A payload that cannot be read, or
    has no record, is one rejection with index 0: every payload gets an answer.
    """
    text = text_in(payload, limits.max_payload_bytes)
    if isinstance(text, Refused):
        return [Rejected(text.reason, text.detail, payload)]
    ways = _ways(text, contract, context)
    lists = [way.records for way in ways if not isinstance(way.records, Refused)]
    if not lists and isinstance(refused := ways[-1].records, Refused):
        return [Rejected(refused.reason, refused.detail, payload)]
    outcomes: list[Event | Rejected] = []
    for index in range(max(map(len, lists))):
        match _outcome(ways, _Place(contract, context, index), limits):
            case Refused(reason, detail):
                outcomes.append(Rejected(reason, detail, payload, index))
            case event:
                outcomes.append(event)
    return outcomes or [Rejected(Reason.NOT_A_TRADE, "the payload has no record", payload)]


@dataclass(frozen=True, slots=True)
class _Way:
    """A way to read a payload: its records and rules in an era, which event times must lie in."""

    records: "Sequence[PayloadRecord | Refused] | Refused"
    rules: Sequence[RecordRule]
    bounds_ns: tuple[int, int]

    def record(self, index: int) -> "PayloadRecord | Refused":
        """Return a record, or why there is none in this era."""
        if isinstance(self.records, Refused):
            return self.records
        if index < len(self.records):
            return self.records[index]
        return Refused(Reason.NOT_A_TRADE, "there is no such record in this era")


def _ways(text: str, contract: Contract, context: Context) -> list[_Way]:
    """Return the ways of the eras that a payload may be of, in the order of the eras."""
    ways: list[_Way] = []
    records: Sequence[PayloadRecord | Refused] | Refused = []
    layout = None
    for place in contract.eras_at(context.received_ns, context.day):
        era = contract.eras[place]
        if contract.layout_of(era) != layout:
            layout = contract.layout_of(era)
            records = records_in(text, layout, contract.header_rule)
        ways.append(_Way(records, era.rules, contract.era_bounds_ns(place)))
    return ways


def _outcome(ways: Sequence[_Way], place: "_Place", limits: Limits) -> Event | Refused:
    """Return the event of a record by the first era that its own time lies in.

    If none does, the last era gives the reason.
    """
    refused = Refused(Reason.NOT_A_TRADE, "")
    for way in ways:
        record = way.record(place.index)
        if isinstance(record, Refused):
            refused = record
            continue
        try:
            return _event(record, way, place, limits)
        except _FieldError as error:
            refused = error.refused
            if error.is_in_era:
                break
    return refused


class _FieldError(Exception):
    """Ends the decoding of a record at its first bad field; never leaves this module.

    `is_in_era`: the event time was read before, and lies in the era of the rule.
    """

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.detail)
        self.refused = refused
        self.is_in_era = False


T = TypeVar("T")


def _accepted(value: T | Refused) -> T:
    if isinstance(value, Refused):
        raise _FieldError(value)
    return value


def _required(value: T | None, name: str) -> T:
    if value is None:
        raise _FieldError(readings.absent(name))
    return value


def _event(record: PayloadRecord, way: _Way, place: "_Place", limits: Limits) -> Event:
    """Return the event of a record, by the first rule whose conditions all hold."""
    if record.value is not None:
        for rule in way.rules:
            key = place.context.key
            if all(match.holds(record.text(match.path, key)) for match in rule.when):
                return _Reading(record, rule, way.bounds_ns, place, limits).event()
    raise _FieldError(Refused(Reason.NOT_A_TRADE, "the record matches no kind of the contract"))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a record is: its contract, what came beside its payload, and its number in it."""

    contract: Contract
    context: Context
    index: int


class _Reading:
    """Reads the fields of one record by the rule of its kind.

    All kinds read their fields in the same order: the first bad field gives the reason.
    """

    def __init__(
        self,
        record: PayloadRecord,
        rule: RecordRule,
        bounds_ns: tuple[int, int],
        place: "_Place",
        limits: Limits,
    ) -> None:
        self._record = record
        self._rule = rule
        self._bounds_ns = bounds_ns
        self._is_in_era = False
        self._ids_are_ordered = place.contract.ids_are_ordered
        self._context = context = place.context
        self._position = Position(context.topic, context.partition, context.offset, place.index)
        self._future_slack_ns = limits.future_slack_ns

    def event(self) -> Event:
        """Return the event. Raise _FieldError at the first bad field."""
        try:
            match self._rule:
                case TradeRule() as rule:
                    return self._trade(rule)
                case CancelRule():
                    return self._cancel()
                case CorrectionRule() as rule:
                    return self._correction(rule)
        except _FieldError as error:
            error.is_in_era = self._is_in_era
            raise
        raise AssertionError(f"no reader for {self._rule.kind}")

    def _trade(self, rule: TradeRule) -> Trade:
        symbol, venue, trade_id = self._symbol(), self._venue(), self._id(self._rule.id)
        sequence = self._sequence(rule, trade_id)
        event_ns = _required(self._event_ns(), "event time")
        received_ns = self._time(rule.received_time)
        price, size = self._price_and_size(rule)
        conditions = self._conditions(rule.conditions, ()) or ()
        tape = self._attribute(rule.tape, "tape")
        exchange = self._attribute(rule.exchange, "exchange")
        return Trade(
            feed=self._context.feed,
            venue=venue,
            symbol=symbol,
            id=trade_id,
            sequence=sequence,
            event_ns=event_ns,
            received_ns=self._received_ns(received_ns, event_ns),
            price=price,
            size=size,
            conditions=conditions,
            tape=tape,
            exchange=exchange,
            position=self._position,
        )

    def _cancel(self) -> Cancel:
        symbol, venue = self._symbol(), self._venue()
        trade_id = _required(self._id(self._rule.id), "id")
        event_ns = self._event_ns()
        received_ns = self._time(self._rule.received_time)
        return Cancel(
            feed=self._context.feed,
            venue=venue,
            symbol=symbol,
            id=trade_id,
            event_ns=event_ns,
            received_ns=self._received_ns(received_ns, event_ns),
            position=self._position,
        )

    def _correction(self, rule: CorrectionRule) -> Correction:
        symbol, venue = self._symbol(), self._venue()
        trade_id = _required(self._id(self._rule.id), "id")
        event_ns, received_ns = self._event_ns(), self._time(rule.received_time)
        price, size = self._price_and_size(rule)
        conditions = self._conditions(rule.conditions, None)
        new_id = self._id(rule.new_id)
        return Correction(
            feed=self._context.feed,
            venue=venue,
            symbol=symbol,
            id=trade_id,
            event_ns=event_ns,
            received_ns=self._received_ns(received_ns, event_ns),
            price=price,
            size=size,
            conditions=conditions,
            new_id=new_id,
            position=self._position,
        )

    def _received_ns(self, in_payload: int | None, event_ns: int | None) -> int:
        """Return the receipt time: that of the payload, else the recorded one, else the event time.

        A time that is `unrecorded_only` comes after the recorded one. No receipt time may lie
        beyond the stamp by more than the slack, and no event time beyond the receipt or the stamp.
        """
        field, recorded = self._rule.received_time, self._context.received_ns
        stamp_ns = self._context.stamp_end_ns
        for receipt_ns in (in_payload, recorded):
            if receipt_ns is not None and receipt_ns > stamp_ns + self._future_slack_ns:
                detail = f"receipt time {iso(receipt_ns)} is later than {ARRIVAL}"
                raise _FieldError(Refused(Reason.FUTURE_RECEIPT_TIME, detail))
        first, second = in_payload, recorded
        if field and field.unrecorded_only:
            first, second = recorded, in_payload
        instants = (instant for instant in (first, second, event_ns) if instant is not None)
        received_ns = _required(next(instants, None), "receipt time")
        for name, bound_ns in (("its receipt", received_ns), (ARRIVAL, stamp_ns)):
            if event_ns is not None and event_ns > bound_ns + self._future_slack_ns:
                detail = f"event time {iso(event_ns)} is later than {name}"
                raise _FieldError(Refused(Reason.FUTURE_EVENT_TIME, detail))
        return received_ns

    def _text(self, path: Path) -> str | None:
        return self._record.text(path, self._context.key)

    def _symbol(self) -> str:
        field = self._rule.symbol
        text = self._text(field.path)
        suffix = self._text(field.suffix.path) if field.suffix else None
        if text is not None and field.suffix and suffix is not None:
            text = f"{text}{field.suffix.after}{suffix}"
        return _accepted(readings.symbol(field, text))

    def _venue(self) -> str:
        field = self._rule.venue
        text = self._text(field.path) if field.path else None
        return _accepted(readings.venue(field, text))

    def _id(self, field: IdField | None) -> str | None:
        if field is None:
            return None
        parts = []
        for part in field.parts:
            text = self._text(part.path)
            if text is not None:
                parts.append(text)
            elif part.required:
                _required(text, "id")
        return _accepted(values.attribute(":".join(parts), "id", Reason.BAD_ID)) if parts else None

    def _sequence(self, rule: TradeRule, trade_id: str | None) -> int | None:
        if self._ids_are_ordered:
            return values.sequence_of_id(trade_id)
        text = self._text(rule.sequence) if rule.sequence else None
        return None if text is None else _accepted(values.sequence(text))

    def _event_ns(self) -> int | None:
        event_ns = self._time(self._rule.event_time)
        first_ns, end_ns = self._bounds_ns
        if event_ns is not None and not first_ns <= event_ns < end_ns:
            detail = "the time is not in the era of the contract that reads it so"
            raise _FieldError(Refused(Reason.IMPLAUSIBLE_EVENT_TIME, detail))
        self._is_in_era = event_ns is not None
        return event_ns

    def _time(self, field: TimeField | None) -> int | None:
        text = self._text(field.path) if field else None
        if field is None or text is None:
            return None
        integer = field.integer_spec if values.is_integer(text) else None
        spec = integer or field.spec
        day = self._day_in(field.date) if field.date else self._day(spec)
        if spec.needs_day:
            _required(day, "date for the time of day")
        return _accepted(event_time.parse(text, spec, day))

    def _day_in(self, field: DateField) -> date:
        text = _required(self._text(field.path), "date")
        return _accepted(event_time.parse_day(text, field.pattern))

    def _day(self, spec: TimeSpec) -> date | None:
        received_ns = self._context.received_ns
        if self._context.day is not None or received_ns is None or spec.zone is None:
            return self._context.day
        moment = datetime.fromtimestamp(received_ns // SECOND_NS, UTC)
        return moment.astimezone(ZoneInfo(spec.zone)).date()

    def _price_and_size(self, rule: TradeRule | CorrectionRule) -> tuple[Decimal, Decimal]:
        price, size = self._number(rule.price, "price"), self._number(rule.size, "size")
        if not notional_fits(price, size):
            detail = f"price x size is {price:f} x {size:f}; it must fit {WHOLE_DIGITS} digits"
            raise _FieldError(Refused(Reason.OUT_OF_RANGE, detail))
        return price, size

    def _number(self, field: NumberField, name: str) -> Decimal:
        text = self._text(field.path)
        text = _required(None if text in field.undefined else text, name)
        return _accepted(values.number(text, name, field.sign, field.shift, field.needs_point))

    def _conditions(
        self, field: ConditionsField | None, missing: tuple[str, ...] | None
    ) -> tuple[str, ...] | None:
        if field is None:
            return missing
        flags = [self._text(flag.path) for flag in field.flags]
        return _accepted(readings.conditions(field, self._text(field.path), flags, missing))

    def _attribute(self, field: TextField | None, name: str) -> str | None:
        if field is None:
            return None
        return _accepted(readings.attribute(field, self._text(field.path), name))
