"""The request of a backfill, and the form of its fields. Does no I/O.

Symbols never restrict which offsets are ingested: completeness can be counted only if no offset is
left out. They restrict which of the affected sessions are made final afterwards.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from truetape.feeds import values as grammar
from truetape.feeds.native import iso
from truetape.host.dates import shown
from truetape.host.errors import ConfigError
from truetape.host.words import MAX_REASON, require_reason
from truetape.lake.offset_text import format_offsets, parse_offsets
from truetape.market.event_time import Shape, TimeSpec, parse
from truetape.market.ranges import Ranges

MIN_REASON = 3
MAX_SYMBOLS = 1_000
PLAN_ONLY = "plan only"
"""The reason of a plan that is not carried out, if a person gave none: nothing records it."""


@dataclass(frozen=True, slots=True)
class ByTime:
    """The records with a Kafka timestamp in `[start_ns, end_ns)`.

    Kafka stamps a record when it arrives (LogAppendTime). This is neither the event time nor the
    receipt time: a replay of 2013 that was sent today has timestamps of today.
    """

    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class ByOffsets:
    """These offsets, by partition."""

    offsets: Mapping[int, Ranges]


@dataclass(frozen=True, slots=True)
class Holes:
    """Every offset that Kafka ever assigned, so all that a recount finds missing."""


Selection: TypeAlias = ByTime | ByOffsets | Holes


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """Which offsets to fill, why, and whose sessions to make final; no symbols means all."""

    what: Selection
    reason: str
    symbols: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the values of a form with the same request; `request_of` reads them."""
        values: dict[str, Any] = {"reason": self.reason, "symbols": list(self.symbols)}
        match self.what:
            case ByTime(start_ns, end_ns):
                return values | {"by": "time", "from": iso(start_ns), "to": iso(end_ns)}
            case ByOffsets(offsets):
                return values | {"by": "offsets", "offsets": format_offsets(offsets)}
            case Holes():
                return values | {"by": "holes"}


FORM: Mapping[str, Mapping[str, Any]] = {
    "by": {
        "default": "holes",
        "type": "string",
        "enum": ["holes", "time", "offsets"],
        "title": "Fill",
        "values_display": {
            "holes": "All holes",
            "time": "Holes in a time window",
            "offsets": "Holes in an offset range",
        },
        "description": "Fill all holes, or only those in a time window or offset range.",
    },
    "from": {
        "default": None,
        "type": ["null", "string"],
        "format": "date-time",
        "title": "From",
        "description": "Start of the window, by the time when Kafka received the records, not the "
        "time of the trades. Only for a time window.",
    },
    "to": {
        "default": None,
        "type": ["null", "string"],
        "format": "date-time",
        "title": "To",
        "description": "End of the window (not included). Only for a time window.",
    },
    "offsets": {
        "default": None,
        "type": ["null", "string"],
        "pattern": r"^ *\d+:\d+(-\d+)?( *, *\d+:\d+(-\d+)?)* *$",
        "title": "Offsets",
        "description": "PARTITION:FIRST-LAST, both included, such as 0:100-200,3:5-9. Only for an "
        "offset range.",
    },
    "symbols": {
        "default": [],
        "type": ["null", "array"],
        "items": {"type": "string"},
        "maxItems": MAX_SYMBOLS,
        "title": "Symbols",
        "description": "Recompute and publish only sessions with missing trades of these symbols. "
        "Leave empty for all. The missing offsets are fetched for every symbol.",
    },
    "reason": {
        "default": None,
        "type": ["null", "string"],
        "maxLength": MAX_REASON,
        "minLength": MIN_REASON,
        "title": "Reason",
        "description": "Stored with each publication that follows. A plan does not need it.",
    },
    "dry_run": {
        "default": True,
        "type": "boolean",
        "title": "Plan only",
        "description": "Show what is missing, what is lost and which sessions are affected. "
        "Writes nothing. Untick it to fill the holes.",
    },
}
"""The form's fields: a default and a JSON schema each. `request_of` checks their combination."""

_NEEDS: Mapping[str, tuple[str, ...]] = {
    "holes": (),
    "time": ("from", "to"),
    "offsets": ("offsets",),
}


def request_of(values: Mapping[str, Any]) -> BackfillRequest:
    """Read the values of a form; `dry_run` is not part of the request.

    Raise ConfigError for a field that is unknown, missing, malformed, or unused by the others.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"the form is {shown(values)}; give an object of its fields")
    unknown = sorted(values.keys() - FORM.keys())
    if unknown:
        raise ConfigError(f"no field {', '.join(unknown)}; the form has {', '.join(FORM)}")
    by = values.get("by", "holes")
    if not isinstance(by, str) or by not in _NEEDS:
        raise ConfigError(f"by is {shown(by)}; choose {', '.join(_NEEDS)}")
    texts = {name: _text(values, name) for name in ("from", "to", "offsets")}
    for name, text in texts.items():
        if name in _NEEDS[by] and not text:
            raise ConfigError(f"a backfill by {by} needs {name!r}")
        if text and name not in _NEEDS[by]:
            raise ConfigError(f"{name!r} is of no use when filling by {by}; leave it empty")
    return BackfillRequest(_what(by, texts), _reason(values), _symbols(values))


def _what(by: str, texts: Mapping[str, str]) -> Selection:
    if by == "holes":
        return Holes()
    if by == "offsets":
        return ByOffsets(parse_offsets(texts["offsets"]))
    start_ns, end_ns = _instant(texts["from"]), _instant(texts["to"])
    if start_ns >= end_ns:
        raise ConfigError(f"from {texts['from']} is not before to {texts['to']}")
    return ByTime(start_ns, end_ns)


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{name} is {shown(value)}; give a text")
    return (value or "").strip()


def _instant(text: str) -> int:
    parsed = parse(text, TimeSpec(Shape.ISO8601))
    if not isinstance(parsed, int):
        raise ConfigError(f"{shown(text)}: {parsed.detail}; write it like 2026-11-20T21:00:00Z")
    return parsed


def _reason(values: Mapping[str, Any]) -> str:
    return require_reason(_text(values, "reason"), MIN_REASON)


def _symbols(values: Mapping[str, Any]) -> tuple[str, ...]:
    given = values.get("symbols") or []
    if not isinstance(given, list | tuple) or len(given) > MAX_SYMBOLS:
        raise ConfigError(f"symbols is {str(given)[:40]!r}; give a list of at most {MAX_SYMBOLS}")
    for symbol in given:
        if not isinstance(symbol, str) or grammar.symbol(symbol) != symbol:
            raise ConfigError(f"{shown(symbol)} is not a symbol; write symbols as they are served")
    return tuple(sorted(set(given)))
