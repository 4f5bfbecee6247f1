"""Feed contracts: what a feed's payloads look like, as data. `docs/FEEDS.md` is the language.

Decodes nothing: `decoder` (the reference) and Spark's decoder read a `Contract` and must agree.
"""

import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path as FilePath
from typing import Annotated, Literal, Self, cast

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from truetape.feeds.csv_layout import CsvPayload
from truetape.feeds.csv_text import MARKS, HeaderRule
from truetape.feeds.fields import (
    Origin,
    Path,
)
from truetape.feeds.file_names import NameParts, check_pattern, parts_of
from truetape.feeds.json_layout import Container, JsonPayload
from truetape.feeds.record_rules import (
    CancelRule,
    CorrectionRule,
    Era,
    EraClock,
    RecordKind,
    TradeRule,
    located_paths,
)
from truetape.feeds.values import Sign
from truetape.host.declared_yaml import (
    WORD,
    Day,
    Declared,
    FileName,
    Flag,
    Location,
    Text,
    Version,
    problem,
    read,
)
from truetape.host.errors import ConfigError
from truetape.host.resources import schema_file, schema_names

_KIND = "feeds"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ANY_TIME_NS = (-(2**63), 2**63)
"""The half-open bounds of every event time."""


def _instant(value: object) -> object:
    """Return epoch nanoseconds of an ISO time in UTC with at most microseconds."""
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"is {value!r}; write a time such as 2025-01-01T00:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"is {value!r}; end it with Z")
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000


class ContractSample(Declared):
    """A payload and the native lines it must give; part of the contract, and tested."""

    payload: Text
    native: tuple[Text, ...]
    key: Text | None = None
    day: Day | None = None
    received_ns: Annotated[int | None, BeforeValidator(_instant)] = Field(
        default=None, alias="received_time"
    )


class Ids(Declared):
    """How the ids of a feed are unique: for each feed, venue, symbol and day."""

    per: Literal["day"]
    ordered: Flag = False
    """The ids are numbers that grow, so an id is the sequence of its trade."""


def _no_ids(value: object) -> object:
    if isinstance(value, str):
        if value != "none":
            raise ValueError(f"is {value!r}; write none, or a mapping such as {{per: day}}")
        return None
    return value


_Patterns = Annotated[
    tuple[Annotated[Text, AfterValidator(check_pattern)], ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
]


class Contract(Declared):
    """One feed. `eras` are ordered by date; the first also covers the time before."""

    feed: FileName
    version: Version
    about: Text | None = None
    source: Text
    valid_from: Day
    """The date from which the source describes payloads like these."""
    ids: Annotated[Ids | None, BeforeValidator(_no_ids)]
    """None if no kind has an id: a trade is then identified by its position."""
    duplicates_expected: Flag = Field(default=False, alias="duplicates")
    payload: JsonPayload | None = None
    csv: CsvPayload | None = None
    trade: TradeRule
    cancel: CancelRule | None = None
    correct: CorrectionRule | None = None
    eras_by: Annotated[EraClock, WORD] = EraClock.RECEIPT
    file_names: _Patterns = Field(default=(), alias="file_name")
    file_name_example: Text | None = None
    later_eras: tuple[Era, ...] = Field(default=(), alias="eras")
    samples: tuple[ContractSample, ...]

    @cached_property
    def layout(self) -> JsonPayload | CsvPayload:
        """Return where a payload has its records."""
        layout = self.payload or self.csv
        if layout is None or (self.payload and self.csv):
            raise ValueError("needs either 'payload' (JSON) or 'csv'")
        return layout

    @property
    def ids_are_ordered(self) -> bool:
        """True if an id is the sequence of its trade."""
        return self.ids is not None and self.ids.ordered

    @cached_property
    def eras(self) -> tuple[Era, ...]:
        """Return all eras, in order."""
        first = Era(
            since=self.valid_from,
            csv=self.csv,
            trade=self.trade,
            cancel=self.cancel,
            correct=self.correct,
        )
        return (first, *self.later_eras)

    def eras_at(self, received_ns: int | None, day: date | None) -> Sequence[int]:
        """Return the places of the eras that a payload may be of: the one of the receipt date, else
        of `day`, else the newest; all of them if event times decide.
        """
        last = len(self.eras) - 1
        if self.eras_by is EraClock.EVENT_TIME:
            return range(last + 1)
        if received_ns is None and day is None:
            return (last,)
        on = day if received_ns is None else _date_of(received_ns)
        past = [place for place, era in enumerate(self.eras) if on is not None and era.since <= on]
        return past[-1:] or (0,)

    def era_bounds_ns(self, place: int) -> tuple[int, int]:
        """Return the half-open bounds of the event times of an era's records. The first era also
        covers the time before it, and receipts bound no event time.
        """
        if self.eras_by is EraClock.RECEIPT:
            return ANY_TIME_NS
        first = self.eras[place].since_ns if place else ANY_TIME_NS[0]
        is_last = place + 1 == len(self.eras)
        return first, ANY_TIME_NS[1] if is_last else self.eras[place + 1].since_ns

    @cached_property
    def certain_eras(self) -> Sequence[int]:
        """Return the places of eras of which a record is of one at most, since a time that one can
        read lies outside of the others; only the first where that is not certain.
        """
        times = [era.trade.event_time for era in self.eras]
        is_same_layout = all(self.layout_of(era) == self.layout for era in self.eras)
        pairs = itertools.combinations(times, 2)
        certain = is_same_layout and all(one.excludes(other) for one, other in pairs)
        return range(len(self.eras) if certain else 1)

    def layout_of(self, era: Era) -> JsonPayload | CsvPayload:
        """Return where a payload of an era has its records."""
        return era.csv or self.layout

    @cached_property
    def header_rule(self) -> HeaderRule:
        """Return how a header names the columns of any era; it has no columns for JSON."""
        layouts = [era.csv for era in self.eras if era.csv]
        return HeaderRule(
            columns=tuple(dict.fromkeys(name for one in layouts for name in one.columns)),
            aliases={name: column for one in layouts for name, column in one.aliases.items()},
            ignore_case=any(one.ignore_case for one in layouts),
            marks=frozenset(_marks(self.eras)),
            required=frozenset.intersection(*map(_required, self.eras)),
        )

    @model_validator(mode="before")
    @classmethod
    def _complete_eras(cls, value: object) -> object:
        """Give each era the rules before it: it has only the fields that change."""
        if isinstance(value, dict):
            value = _with_shared_codes(value, ())
        if not isinstance(value, dict) or not isinstance(value.get("eras"), tuple):
            return value
        names = [*(kind.value for kind in RecordKind), "csv"]
        rules = {name: value[name] for name in names if name in value}
        eras = []
        for era in value["eras"]:
            if isinstance(era, dict):
                for kind in rules.keys() | {name for name in names if name in era}:
                    rules[kind] = _changed(rules.get(kind), era.get(kind, {}))
                eras.append(era | rules)
            else:
                eras.append(era)
        return value | {"eras": tuple(eras)}

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        if not self.samples:
            raise problem("is empty; give at least one payload with its native lines", "samples")
        example = self.file_name_example
        if example is not None and parts_of([example], self.file_names) == NameParts():
            raise problem(f"is {example!r}, which no file_name fits", "file_name_example")
        for location, path in located_paths(self, ()):
            in_era = self.later_eras[int(location[1])] if location[0] == "eras" else None
            _check_path((in_era and in_era.csv) or self.layout, location, path)
        if self.csv and len(self.header_rule.marks) < MARKS:
            raise problem("has its times, prices and sizes in one column", "trade")
        if self.eras_by is EraClock.EVENT_TIME:
            self._check_event_times()
        has_ids = self.ids is not None
        if any((rule.id is not None) != has_ids for era in self.eras for rule in era.rules):
            text = "is {per: day}, but not every kind has" if has_ids else "is none, but a kind has"
            raise problem(f"{text} an id", "ids")
        if self.ids_are_ordered and any(era.trade.sequence for era in self.eras):
            raise problem("is true, but a sequence orders the trades", "ids", "ordered")
        for place, (era, before) in enumerate(zip(self.later_eras, self.eras, strict=False)):
            if era.since <= before.since:
                reason = f"is {era.since}; eras come in order, after {before.since}"
                raise problem(reason, "eras", place, "since")
        return self

    def _check_event_times(self) -> None:
        for rule in (rule for era in self.eras for rule in era.rules if not rule.event_time):
            raise problem(f"is {self.eras_by}, but {rule.kind} has none", "eras_by")


def contract_names() -> list[str]:
    """Return the names of all feeds that have a contract, sorted."""
    return schema_names(_KIND)


@cache
def load_contract(feed: str) -> Contract:
    """Return the contract of a feed. Raise ConfigError with the feeds that have one, or with file,
    line and field.
    """
    return read_contract(contract_file(feed))


def contract_file(feed: str) -> FilePath:
    """Return the file of a feed's contract. Raise ConfigError with the feeds that have one."""
    file = schema_file(_KIND, feed) if feed in contract_names() else None
    if file is None:
        raise ConfigError(f"no feed {feed!r}; there are {', '.join(contract_names())}")
    return file


def contract_named(text: str) -> Contract:
    """Return the contract of a feed, or that of a file if the text is a path to YAML. Raise
    ConfigError as `load_contract`.
    """
    return read_contract(FilePath(text)) if is_contract_file(text) else load_contract(text)


def is_contract_file(text: str) -> bool:
    """True if a text names the file of a contract, and no feed."""
    return text.endswith((".yaml", ".yml"))


@cache
def gives_new_ids(feed: str) -> bool:
    """True if a correction of the feed may give its trade a new id; also for an unknown feed."""
    if feed not in contract_names():
        return True
    corrections = (era.correct for era in load_contract(feed).eras)
    return any(rule is not None and rule.new_id is not None for rule in corrections)


@cache
def prices_are_positive(feed: str) -> bool:
    """True if the contract refuses prices of zero and below; also for an unknown feed."""
    if feed not in contract_names():
        return True
    rules = (rule for era in load_contract(feed).eras for rule in (era.trade, era.correct))
    return all(rule.price.sign is Sign.POSITIVE for rule in rules if rule is not None)


def read_contract(path: FilePath) -> Contract:
    """Return the contract of one file. Raise ConfigError with file, line and field."""
    return read(path, Contract)


def _marks(eras: tuple[Era, ...]) -> Iterator[str]:
    """Yield the columns of times, prices and sizes."""
    names = ("event_time", "price", "size")
    rules = [rule for era in eras for rule in era.rules]
    fields = tuple(getattr(rule, name, None) for rule in rules for name in names)
    for _, path in located_paths(fields, ()):
        yield from (way.steps[0] for way in path.ways if way.origin is Origin.RECORD)


def _required(era: Era) -> frozenset[str]:
    """Return the columns that every header of an era must have: those that are read, but for
    optional ones and for alternatives.
    """
    paths = (path for rule in era.rules for path in rule.paths if path.otherwise is None)
    read = {path.steps[0] for path in paths if path.origin is Origin.RECORD}
    return frozenset(read.difference(era.csv.optional if era.csv else ()))


def _with_shared_codes(value: dict[str, object], location: Location) -> dict[str, object]:
    """Replace `codes_of: FEED` in the conditions of kinds and eras by the codes of that feed."""
    shared = dict(value)
    for kind in (kind.value for kind in RecordKind if isinstance(value.get(kind), dict)):
        rule = cast("dict[str, object]", value[kind])
        conditions = rule.get("conditions")
        if isinstance(conditions, dict) and "codes_of" in conditions:
            here = (*location, kind, "conditions", "codes_of")
            own = {name: item for name, item in conditions.items() if name != "codes_of"}
            shared[kind] = rule | {"conditions": _codes_of(conditions["codes_of"], here) | own}
    if isinstance(value.get("eras"), tuple):
        eras = cast("tuple[object, ...]", value["eras"])
        shared["eras"] = tuple(
            _with_shared_codes(era, ("eras", place)) if isinstance(era, dict) else era
            for place, era in enumerate(eras)
        )
    return shared


def _codes_of(feed: object, location: Location) -> dict[str, object]:
    field = load_contract(feed).trade.conditions if feed in contract_names() else None
    if field is None or field.codes is None:
        raise problem(f"is {feed!r}; write a feed that translates its conditions", *location)
    codes = {code: "none" if meaning is None else meaning for code, meaning in field.codes.items()}
    return {"codes": codes} | ({"others": field.others} if field.others else {})


def _changed(rule: object, changes: object) -> object:
    if isinstance(rule, dict) and isinstance(changes, dict):
        return rule | changes
    return changes or rule


def _check_path(layout: JsonPayload | CsvPayload, location: Location, path: Path) -> None:
    """Refuse a path that leads nowhere in payloads of this layout."""
    for way in path.ways:
        match layout, way.origin:
            case _, Origin.KEY | Origin.NAME:
                continue
            case CsvPayload(columns=columns), Origin.RECORD:
                if len(way.steps) != 1 or way.steps[0] not in columns:
                    raise problem(f"is {way}; the columns are {', '.join(columns)}", *location)
            case CsvPayload(), _:
                raise problem(f"is {way}; a CSV line has nothing around it", *location)
            case JsonPayload(record=container), Origin.RECORD:
                _check_first_step(container, location, way)
            case JsonPayload(container=container), _:
                _check_first_step(container, location, way)


def _check_first_step(container: Container, location: Location, path: Path) -> None:
    if path.steps[0].isdigit() != (container is Container.ARRAY):
        kind = "a position" if container is Container.ARRAY else "a name"
        raise problem(f"is {path}; in an {container} the first step is {kind}", *location)


def _date_of(received_ns: int) -> date:
    return datetime.fromtimestamp(received_ns // 1_000_000_000, UTC).date()
