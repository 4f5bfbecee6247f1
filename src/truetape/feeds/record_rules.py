"""Rules of a contract: how kinds of records are recognised, where their fields are, since when.

Reads no record: the decoders do.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property
from typing import ClassVar

from pydantic import BaseModel, Field

from truetape.feeds.csv_layout import CsvPayload
from truetape.feeds.fields import (
    ConditionsField,
    DeclaredPath,
    IdField,
    Path,
    PriceField,
    SizeField,
    SymbolField,
    TextField,
    TimeField,
    VenueField,
)
from truetape.host.declared_yaml import Day, Declared, Flag, Location, Text


class RecordKind(StrEnum):
    """What a record reports; the words of the native feed."""

    TRADE = "trade"
    CANCEL = "cancel"
    CORRECT = "correct"


class RecordMatch(Declared):
    """A text that a record of a kind has at a path; with `or_absent`, nothing there will do too."""

    path: DeclaredPath
    texts: tuple[Text, ...] = Field(alias="is")
    or_absent: Flag = False

    def holds(self, text: str | None) -> bool:
        """True if a record with this text at the path may be of the kind."""
        return self.or_absent if text is None else text in self.texts


class RecordRule(Declared):
    """How one kind of record is recognised (every `when` holds) and where its fields are."""

    kind: ClassVar[RecordKind]

    when: tuple[RecordMatch, ...] = ()
    symbol: SymbolField
    venue: VenueField
    id: IdField | None = None
    event_time: TimeField | None = None
    received_time: TimeField | None = None

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """Return every path that the rule reads, each once."""
        return tuple(dict.fromkeys(path for _, path in located_paths(self, ())))


class TradeRule(RecordRule):
    """Where the fields of a trade are."""

    kind = RecordKind.TRADE

    event_time: TimeField
    price: PriceField
    size: SizeField
    sequence: DeclaredPath | None = None
    conditions: ConditionsField | None = None
    tape: TextField | None = None
    exchange: TextField | None = None


class CancelRule(RecordRule):
    """Where the fields of a cancel are."""

    kind = RecordKind.CANCEL

    id: IdField


class CorrectionRule(RecordRule):
    """Where the fields of a correction are. `new_id` is a further id that its trade gets."""

    kind = RecordKind.CORRECT

    id: IdField
    new_id: IdField | None = None
    price: PriceField
    size: SizeField
    conditions: ConditionsField | None = None


class EraClock(StrEnum):
    """What decides the era of a record: when it was received, or its own event time."""

    RECEIPT = "receipt"
    EVENT_TIME = "event-time"


class Era(Declared):
    """The rules in force on and after `since` (UTC date), and the layout if the feed is CSV."""

    since: Day
    csv: CsvPayload | None = None
    trade: TradeRule
    cancel: CancelRule | None = None
    correct: CorrectionRule | None = None

    @property
    def rules(self) -> tuple[TradeRule | CancelRule | CorrectionRule, ...]:
        """Return the rules of the kinds; the first whose `when` holds applies."""
        return tuple(rule for rule in (self.trade, self.cancel, self.correct) if rule)

    @property
    def since_ns(self) -> int:
        """Return the first instant of the era, epoch nanoseconds."""
        return (self.since - date(1970, 1, 1)) // timedelta(days=1) * 86_400_000_000_000


def located_paths(value: object, location: Location) -> Iterator[tuple[Location, Path]]:
    """Yield every path in a model, with its place in the file."""
    match value:
        case Path():
            yield location, value
        case BaseModel():
            for name, field in type(value).model_fields.items():
                below = (*location, field.alias or name)
                yield from located_paths(getattr(value, name), below)
        case tuple():
            for place, item in enumerate(value):
                yield from located_paths(item, (*location, place))
