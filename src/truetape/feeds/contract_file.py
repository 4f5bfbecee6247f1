"""Reads a feed contract from its YAML file; a ConfigError names file, line and field."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path as FilePath

from truetape.feeds.contract import (
    ConditionsField,
    Container,
    Contract,
    CsvPayload,
    Era,
    Flag,
    Form,
    IdField,
    IdPart,
    JsonPayload,
    Kind,
    NumberField,
    Origin,
    Path,
    Records,
    Rule,
    Sample,
    Sign,
    SymbolField,
    TextField,
    TimeField,
    VenueField,
)
from truetape.feeds.values import CODE, TEXT
from truetape.host.declared_yaml import Node, read
from truetape.host.errors import ConfigError
from truetape.host.resources import folder
from truetape.host.venues import venues
from truetape.market.event_time import Shape, TimeSpec

MAX_SHIFT = 9

_STEP = re.compile(r"[A-Za-z0-9_-]+")
_SCALE = re.compile(r"1|0\.(0{0,8})1")
_REQUIRED = {
    Kind.TRADE: ("event_time", "price", "size"),
    Kind.CANCEL: ("id",),
    Kind.CORRECT: ("id", "price", "size"),
}
_ALLOWED = {
    Kind.TRADE: ("when", "id", "sequence", "received_time", "conditions", "tape", "exchange"),
    Kind.CANCEL: ("when", "event_time", "received_time"),
    Kind.CORRECT: ("when", "event_time", "received_time", "conditions"),
}


def names() -> list[str]:
    """Return the names of all feeds that have a contract, sorted."""
    return sorted(path.stem for path in (folder("schemas") / "feeds").glob("*.yaml"))


@cache
def load(feed: str) -> Contract:
    """Return the contract of a feed; ConfigError names file, line and field, or lists the feeds."""
    if feed not in names():
        raise ConfigError(f"no feed {feed!r}; there are {', '.join(names())}")
    return read_contract(folder("schemas") / "feeds" / f"{feed}.yaml")


def read_contract(path: FilePath) -> Contract:
    """Return the contract of one file; ConfigError where the file does not follow the language."""
    root = read(path)
    fields = root.mapping(
        ("feed", "version", "source", "valid_from", "ids", "trade", "samples"),
        ("about", "duplicates", "payload", "csv", "cancel", "correct", "eras"),
    )
    if fields["feed"].text() != path.stem:
        fields["feed"].fail(f"is {fields['feed'].text()!r}; the file is called {path.name}")
    if ("payload" in fields) == ("csv" in fields):
        root.fail("needs either 'payload' (JSON) or 'csv'")
    layout = _json(fields["payload"]) if "payload" in fields else _csv(fields["csv"])
    eras = _eras(fields, _Rules(layout))
    samples = tuple(_sample(node) for node in fields["samples"].items())
    if not samples:
        fields["samples"].fail("is empty; give at least one payload with its native lines")
    return Contract(
        feed=path.stem,
        version=fields["version"].whole(1),
        about=fields["about"].text() if "about" in fields else "",
        source=fields["source"].text(),
        layout=layout,
        has_ids=_has_ids(fields["ids"], eras),
        duplicates_expected=fields["duplicates"].flag() if "duplicates" in fields else False,
        eras=eras,
        samples=samples,
    )


def _json(node: Node) -> JsonPayload:
    fields = node.mapping(("container",), ("record", "records", "at", "at_optional", "skip"))
    container = Container(fields["container"].choice(tuple(Container)))
    records = Records.ONE
    if "records" in fields:
        records = Records(fields["records"].choice(tuple(Records)))
    at = _steps(fields["at"], fields["at"].text()) if "at" in fields else ()
    if "skip" in fields and records is not Records.BY_NAME:
        fields["skip"].fail(f"has a meaning only with records: {Records.BY_NAME}")
    if "at_optional" in fields and (not at or records is not Records.ONE):
        fields["at_optional"].fail(f"has a meaning only with 'at' and records: {Records.ONE}")
    whole = not at and records is Records.ONE
    if whole and "record" in fields:
        fields["record"].fail("is the payload itself here; 'container' says what that is")
    fallback = container if whole else Container.OBJECT
    record = Container(fields["record"].choice(tuple(Container))) if "record" in fields else None
    return JsonPayload(
        container=container,
        record=record or fallback,
        records=records,
        at=at,
        at_optional=fields["at_optional"].flag() if "at_optional" in fields else False,
        skip=fields["skip"].texts() if "skip" in fields else (),
    )


def _csv(node: Node) -> CsvPayload:
    fields = node.mapping(("columns",), ("delimiter",))
    columns = fields["columns"].texts()
    for place, name in enumerate(columns):
        if not _STEP.fullmatch(name) or name in columns[:place]:
            fields["columns"].items()[place].fail(f"is {name!r}; use each plain name once")
    delimiter = fields["delimiter"].choice((",", ";", "|")) if "delimiter" in fields else ","
    return CsvPayload(columns, delimiter)


def _has_ids(node: Node, eras: tuple[Era, ...]) -> bool:
    has = node.choice(("per-day", "none")) == "per-day"
    if any((rule.id is not None) != has for era in eras for rule in era.rules):
        node.fail(f"is {node.text()}, but not every kind {'has' if has else 'is without'} an id")
    return has


def _eras(fields: Mapping[str, Node], rules: "_Rules") -> tuple[Era, ...]:
    """Return the first era and the later ones; each changes only the fields that it names."""
    kinds = {kind: rules.rule(kind, fields[kind]) for kind in Kind if kind in fields}
    eras = [Era(_date(fields["valid_from"]), tuple(kinds.values()))]
    for node in fields["eras"].items() if "eras" in fields else ():
        changes = node.mapping(("since",), tuple(Kind))
        since = _date(changes["since"])
        if since <= eras[-1].since:
            changes["since"].fail(f"is {since}; eras come in order, after {eras[-1].since}")
        for kind in Kind:
            if kind in changes:
                kinds[kind] = rules.rule(kind, changes[kind], kinds.get(kind))
        eras.append(Era(since, tuple(kinds[kind] for kind in Kind if kind in kinds)))
    return tuple(eras)


class _Rules:
    """Reads the rules of the kinds; knows the layout, so that no path leads nowhere."""

    def __init__(self, layout: JsonPayload | CsvPayload) -> None:
        self._layout = layout

    def rule(self, kind: Kind, node: Node, base: Rule | None = None) -> Rule:
        """Return the rule of one kind; with `base`, one that differs in the fields named."""
        required = () if base else ("symbol", "venue", *_REQUIRED[kind])
        optional = (*_ALLOWED[kind], *(("symbol", "venue", *_REQUIRED[kind]) if base else ()))
        fields = node.mapping(required, optional)
        readers = {
            "when": self._when,
            "symbol": self._symbol,
            "venue": self._venue,
            "id": self._id,
            "sequence": self._path,
            "event_time": self._time,
            "received_time": self._time,
            "price": lambda field: self._number(field, Sign.POSITIVE),
            "size": lambda field: self._number(field, Sign.NOT_NEGATIVE),
            "conditions": self._conditions,
            "tape": self._attribute,
            "exchange": self._attribute,
        }
        values = {name: readers[name](field) for name, field in fields.items()}
        return replace(base, **values) if base else Rule(kind=kind, **values)  # type: ignore[arg-type]  # each reader returns its field's type

    def _path(self, node: Node) -> Path:
        """Return a path; alternatives are written first|second."""
        *earlier, last = node.text().split("|")
        path = self._one_path(node, last)
        for text in reversed(earlier):
            path = replace(self._one_path(node, text), otherwise=path)
        return path

    def _one_path(self, node: Node, text: str) -> Path:
        if text in ("$key", "$name"):
            return Path(Origin(text[1:]))
        if text.startswith("$."):
            path = Path(Origin.PAYLOAD, _steps(node, text[2:]))
        else:
            path = Path(Origin.RECORD, _steps(node, text))
        self._check(node, path)
        return path

    def _check(self, node: Node, path: Path) -> None:
        match self._layout, path.origin:
            case CsvPayload(columns=columns), Origin.RECORD:
                if len(path.steps) != 1 or path.steps[0] not in columns:
                    node.fail(f"is {path}; the columns are {', '.join(columns)}")
            case CsvPayload(), _:
                node.fail(f"is {path}; a CSV line has nothing around it")
            case JsonPayload(record=container), Origin.RECORD:
                _check_step(node, path, container)
            case JsonPayload(container=container), _:
                _check_step(node, path, container)

    def _when(self, node: Node) -> tuple[tuple[Path, tuple[str, ...]], ...]:
        found = []
        for item in node.items():
            fields = item.mapping(("path", "is"), ())
            found.append((self._path(fields["path"]), fields["is"].texts()))
        return tuple(found)

    def _symbol(self, node: Node) -> SymbolField:
        fields = self._spread(node, ("strip_prefix", "upper"))
        return SymbolField(
            self._path(fields["path"]),
            fields["strip_prefix"].text() if "strip_prefix" in fields else "",
            fields["upper"].flag() if "upper" in fields else False,
        )

    def _venue(self, node: Node) -> VenueField:
        fields = node.mapping((), ("path", "const", "codes", "default"))
        if ("path" in fields) == ("const" in fields):
            node.fail("needs either 'path' or 'const'")
        codes = _codes(fields["codes"]) if "codes" in fields else None
        for name in ("const", "default"):
            if name in fields:
                _known_venue(fields[name])
        for entry in fields["codes"].mapping().values() if "codes" in fields else ():
            _known_venue(entry)
        return VenueField(
            path=self._path(fields["path"]) if "path" in fields else None,
            const=fields["const"].text() if "const" in fields else None,
            codes=codes,
            default=fields["default"].text() if "default" in fields else None,
        )

    def _id(self, node: Node) -> IdField:
        fields = self._spread(node, ("required",), ("path", "join"))
        if "join" in fields:
            return IdField(tuple(self._id_part(part) for part in fields["join"].items()))
        return IdField((self._id_part(node),))

    def _id_part(self, node: Node) -> IdPart:
        fields = self._spread(node, ("required",))
        required = fields["required"].flag() if "required" in fields else True
        return IdPart(self._path(fields["path"]), required)

    def _time(self, node: Node) -> TimeField:
        fields = node.mapping(("path", "shape"), ("zone", "pattern", "integer", "unrecorded_only"))
        return TimeField(
            self._path(fields["path"]),
            _spec(fields["shape"], fields.get("zone"), fields.get("pattern")),
            _spec(fields["integer"], fields.get("zone"), None) if "integer" in fields else None,
            fields["unrecorded_only"].flag() if "unrecorded_only" in fields else False,
        )

    def _number(self, node: Node, sign: Sign) -> NumberField:
        fields = self._spread(node, ("scale", "sign"))
        if "sign" in fields:
            sign = Sign(fields["sign"].choice(tuple(Sign)))
        scale = fields["scale"].text() if "scale" in fields else "1"
        found = _SCALE.fullmatch(scale)
        if not found:
            fields["scale"].fail(f"is {scale!r}; write 1 or a power of ten down to 0.000000001")
        zeros = found.group(1)
        return NumberField(self._path(fields["path"]), sign, 0 if zeros is None else len(zeros) + 1)

    def _conditions(self, node: Node) -> ConditionsField:
        fields = node.mapping(("path", "form"), ("codes", "others", "flags"))
        codes = _condition_codes(fields["codes"]) if "codes" in fields else None
        others = fields["others"].text() if "others" in fields else ""
        if others and not CODE.fullmatch(others):
            fields["others"].fail(f"is {others!r}; use letters and digits")
        return ConditionsField(
            self._path(fields["path"]),
            Form(fields["form"].choice(tuple(Form))),
            codes,
            others,
            tuple(self._flag(item) for item in fields["flags"].items())
            if "flags" in fields
            else (),
        )

    def _flag(self, node: Node) -> Flag:
        fields = node.mapping(("path", "codes"), ())
        return Flag(self._path(fields["path"]), _condition_codes(fields["codes"]))

    def _attribute(self, node: Node) -> TextField:
        fields = self._spread(node, ("codes",))
        return TextField(
            self._path(fields["path"]), _codes(fields["codes"]) if "codes" in fields else None
        )

    def _spread(
        self, node: Node, optional: tuple[str, ...], either: tuple[str, ...] = ("path",)
    ) -> dict[str, Node]:
        """Return the fields of a mapping with one of `either`; a plain text is a path alone."""
        if not node.is_mapping():
            return {"path": node}
        fields = node.mapping((), (*either, *optional))
        if sum(name in fields for name in either) != 1:
            node.fail(f"needs {' or '.join(repr(name) for name in either)}")
        return fields


def _steps(node: Node, text: str) -> tuple[str, ...]:
    steps = tuple(text.split("."))
    if not all(_STEP.fullmatch(step) for step in steps):
        node.fail(f"is {node.text()!r}; write names or positions joined by dots")
    return steps


def _check_step(node: Node, path: Path, container: Container) -> None:
    if path.steps[0].isdigit() != (container is Container.ARRAY):
        kind = "a position" if container is Container.ARRAY else "a name"
        node.fail(f"is {path}; in an {container} the first step is {kind}")


def _spec(shape: Node, zone: Node | None, pattern: Node | None) -> TimeSpec:
    word = shape.choice(tuple(Shape))
    try:
        return TimeSpec(
            Shape(word), zone.text() if zone else None, pattern.text() if pattern else None
        )
    except ValueError as error:
        shape.fail(f"is {word}: {error}")


def _codes(node: Node) -> dict[str, str]:
    codes = {}
    for name, entry in node.mapping().items():
        if not TEXT.fullmatch(entry.text()):
            entry.fail(f"is {entry.text()!r}; use a short plain text")
        codes[name] = entry.text()
    return codes


def _condition_codes(node: Node) -> dict[str, str | None]:
    codes: dict[str, str | None] = {}
    for value, entry in node.mapping().items():
        code = entry.text()
        if code != "none" and not CODE.fullmatch(code):
            entry.fail(f"is {code!r}; write a condition code, or none")
        codes[value] = None if code == "none" else code
    return codes


def _known_venue(node: Node) -> None:
    if node.text() not in venues():
        node.fail(f"is {node.text()!r}, which schemas/venues.yaml does not have; add it there")


def _sample(node: Node) -> Sample:
    fields = node.mapping(("payload", "native"), ("key", "day", "received_time"))
    return Sample(
        payload=fields["payload"].text(),
        native=fields["native"].texts(),
        key=fields["key"].text() if "key" in fields else None,
        day=_date(fields["day"]) if "day" in fields else None,
        received_ns=_instant(fields["received_time"]) if "received_time" in fields else None,
    )


def _date(node: Node) -> date:
    try:
        return date.fromisoformat(node.text())
    except ValueError:
        node.fail(f"is {node.text()!r}; write a date such as 2025-01-01")


def _instant(node: Node) -> int:
    """Return epoch nanoseconds of an ISO time in UTC with at most microseconds."""
    try:
        moment = datetime.fromisoformat(node.text())
    except ValueError:
        node.fail(f"is {node.text()!r}; write a time such as 2025-01-01T00:00:00Z")
    if moment.tzinfo is None:
        node.fail(f"is {node.text()!r}; end it with Z")
    elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (elapsed.days * 86_400 + elapsed.seconds) * 10**9 + elapsed.microseconds * 1_000
