"""Feed contracts: what a feed's payloads look like, as data. `docs/FEEDS.md` is the language.

Decodes nothing: `decoder` (the reference) and `batch.spark.decoder` read a `Contract` and agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from truetape.market.event_time import TimeSpec


class Kind(StrEnum):
    """What a record says happened; the words of the native feed."""

    TRADE = "trade"
    CANCEL = "cancel"
    CORRECT = "correct"


class Origin(StrEnum):
    """Where a path starts: in the record, in the payload around it, or beside the payload."""

    RECORD = "record"
    PAYLOAD = "payload"
    KEY = "key"
    NAME = "name"


class Container(StrEnum):
    """The JSON containers: fields by name, or values by position."""

    OBJECT = "object"
    ARRAY = "array"


class Records(StrEnum):
    """How many records a payload holds: it is one, it lists them, or it lists them by symbol."""

    ONE = "one"
    EACH = "each"
    BY_NAME = "by-name"


class Form(StrEnum):
    """How condition codes are written."""

    LIST = "list"
    COMMA = "comma"
    LETTERS = "letters"
    HEX_BITS = "hex-bits"


class Sign(StrEnum):
    """Which side of zero a number may lie on."""

    POSITIVE = "positive"
    NOT_NEGATIVE = "not-negative"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Path:
    """The way to one value: a step of digits is a position in an array, any other is a name.

    `otherwise` is where to look when nothing is there.
    """

    origin: Origin
    steps: tuple[str, ...] = ()
    otherwise: "Path | None" = None

    @property
    def ways(self) -> "tuple[Path, ...]":
        """Return the alternatives in order, each alone."""
        rest = self.otherwise.ways if self.otherwise else ()
        return (replace(self, otherwise=None), *rest)

    def __str__(self) -> str:
        match self.origin:
            case Origin.RECORD:
                text = ".".join(self.steps)
            case Origin.PAYLOAD:
                text = ".".join(("$", *self.steps))
            case _:
                text = f"${self.origin}"
        return f"{text}|{self.otherwise}" if self.otherwise else text


@dataclass(frozen=True, slots=True)
class SymbolField:
    """The symbol: a prefix to take away (a channel name), and whether to write it in capitals."""

    path: Path
    strip_prefix: str = ""
    upper: bool = False


@dataclass(frozen=True, slots=True)
class VenueField:
    """The bar's market: one for the feed, or read and translated; `default` where it is absent."""

    path: Path | None = None
    const: str | None = None
    codes: Mapping[str, str] | None = None
    default: str | None = None


@dataclass(frozen=True, slots=True)
class IdPart:
    """One part of an id; one that is not required is left out where it is absent."""

    path: Path
    required: bool = True


@dataclass(frozen=True, slots=True)
class IdField:
    """The trade id, joined by ":" where a feed's ids are unique only together with other fields."""

    parts: tuple[IdPart, ...]


@dataclass(frozen=True, slots=True)
class TimeField:
    """A time and its shape; `integer` is the shape of values that are all digits.

    A receipt time that is `unrecorded_only` counts where none was recorded beside the payload.
    """

    path: Path
    spec: TimeSpec
    integer: TimeSpec | None = None
    unrecorded_only: bool = False


@dataclass(frozen=True, slots=True)
class NumberField:
    """A price or size. The value is the text times 10 to the power of minus `shift`."""

    path: Path
    sign: Sign
    shift: int = 0


@dataclass(frozen=True, slots=True)
class Flag:
    """A value that adds a condition code; `codes` lists all values that may come."""

    path: Path
    codes: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class ConditionsField:
    """Condition codes. `codes` translates, to none where a code means no condition; a code that it
    lacks gets the prefix `others`, so that no profile takes it for one of its own.
    """

    path: Path
    form: Form
    codes: Mapping[str, str | None] | None = None
    others: str = ""
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True, slots=True)
class TextField:
    """A short text kept as an attribute; `codes` translates and then lists all that may come."""

    path: Path
    codes: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """How one kind of record is recognised (every `when` holds) and where its fields are."""

    kind: Kind
    symbol: SymbolField
    venue: VenueField
    when: tuple[tuple[Path, tuple[str, ...]], ...] = ()
    id: IdField | None = None
    sequence: Path | None = None
    event_time: TimeField | None = None
    received_time: TimeField | None = None
    price: NumberField | None = None
    size: NumberField | None = None
    conditions: ConditionsField | None = None
    tape: TextField | None = None
    exchange: TextField | None = None


@dataclass(frozen=True, slots=True)
class Era:
    """The rules in force for payloads received on or after `since` (UTC date)."""

    since: date
    rules: tuple[Rule, ...]

    @property
    def since_ns(self) -> int:
        """Return the first instant of the era, epoch nanoseconds."""
        return (self.since - date(1970, 1, 1)) // timedelta(days=1) * 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class JsonPayload:
    """Where the records are inside a JSON payload.

    `at` leads to them; with `at_optional` a payload without it is itself the place. `skip` are the
    names that `Records.BY_NAME` passes over. `record` is what one record is.
    """

    container: Container
    record: Container
    records: Records
    at: tuple[str, ...] = ()
    at_optional: bool = False
    skip: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CsvPayload:
    """One record a payload: columns without quoting. A line of the column names is a header."""

    columns: tuple[str, ...]
    delimiter: str = ","


@dataclass(frozen=True, slots=True)
class Sample:
    """A payload and the native lines it must give; part of the contract, and tested."""

    payload: str
    native: tuple[str, ...]
    key: str | None = None
    day: date | None = None
    received_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """One feed. `eras` are ordered by date; the first also covers the time before."""

    feed: str
    version: int
    about: str
    source: str
    layout: JsonPayload | CsvPayload
    has_ids: bool
    duplicates_expected: bool
    eras: tuple[Era, ...]
    samples: tuple[Sample, ...]

    @property
    def valid_from(self) -> date:
        """Return the date from which the source describes payloads like these."""
        return self.eras[0].since

    def rules_at(self, received_ns: int | None, day: date | None) -> tuple[Rule, ...]:
        """Return the rules in force at the receipt date, else at `day`, else the newest ones."""
        if received_ns is None and day is None:
            return self.eras[-1].rules
        on = day if received_ns is None else _date_of(received_ns)
        past = [era for era in self.eras if on is not None and era.since <= on]
        return (past[-1] if past else self.eras[0]).rules


def _date_of(received_ns: int) -> date:
    return datetime.fromtimestamp(received_ns // 1_000_000_000, UTC).date()
