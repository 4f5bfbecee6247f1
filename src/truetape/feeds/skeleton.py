"""Skeleton: guesses a contract from a sample of payloads, for a person to review.

Every guess is a comment: nothing of it is in force until somebody removed the `#` in front of it.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date

from truetape.feeds.sample_layout import Column, Layout, date_patterns, layout_of, shape_of
from truetape.host.errors import ConfigError
from truetape.host.venues import how_to_add
from truetape.host.words import counted
from truetape.market.event_time import Shape

UNKNOWN = "UNKNOWN  # no field looks like one"
NO_VENUE = "YOUR_VENUE"
"""Is no venue: somebody must name the market."""

_NAMES = {
    "event_time": "event_time microtimestamp timestamp time ts t datetime ts_event time_m",
    "date": "date day trade_date tradedate trading_date trading_day trade_day session_date",
    "price": "price px p last rate trade_price",
    "size": "size sz qty quantity amount volume vol v s q",
    "symbol": "symbol sym s ticker instrument instrument_name instid pair product_id coin sym_root",
    "id": "trade_id tradeid tid id i a t execid event_id",
    "sequence": "sequence sequence_number seq trade_seq q",
    "conditions": "conditions condition cond c sale_condition tr_scond",
    "kind": "type ev event e kind channel msg_type action",
}
"""Names that vendors give to a field, the likeliest first."""


def skeleton(feed: str, sample: str, source: str, today: date) -> str:
    """Return the skeleton of a contract. `sample`: text of payloads, one a line, or one page.

    `source` names the sample. Raise ConfigError if it has no records of any kind.
    """
    payloads, layout = layout_of(sample)
    if not layout.records:
        raise ConfigError(f"{source}: has no records: neither JSON objects or arrays nor CSV rows")
    lines = [
        f"## A contract for {feed}, guessed from {source}: {counted(len(payloads), 'payload')}, "
        f"{counted(len(layout.records), 'record')}.",
        "## Each line with one # is a guess and not in force. Compare it with the vendor's",
        "## documentation, correct it, and remove the #. Then: truetape feed check FILE",
        "## docs/FEEDS.md has every field, docs/EVENT_TIME.md every shape of a time.",
        f"feed: {feed}",
        "version: 1",
        *_commented(_head(today)),
        *_commented(_trade(layout)),
        *_commented(_samples(layout.samples(payloads))),
    ]
    return "\n".join(lines) + "\n"


def _commented(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line if line.startswith("##") else f"# {line}".rstrip()


def _head(today: date) -> Iterator[str]:
    yield "source: https://vendor.example/docs  # where the vendor describes this format"
    yield f"valid_from: {today}  # the first day on which that description holds"


def _trade(layout: Layout) -> Iterator[str]:
    columns = layout.columns()
    found = _fields(columns)
    identity = found.get("id")
    ordered = ", ordered: true" if identity and _grows(identity) else ""
    if identity:
        yield f"ids: {{per: day{ordered}}}  # unique for a symbol and a day; ordered: they grow"
    else:
        yield "ids: none  # no field looks like one"
    yield f"duplicates: {'true' if identity else 'false'}  # may a trade come twice?"
    yield from ("", layout.declared, "", "trade:")
    if "kind" in found:
        texts = ", ".join(json.dumps(text) for text in dict.fromkeys(found["kind"].texts))
        yield f"  when: [{{path: {found['kind'].path}, is: [{texts}]}}]  # keep those of trades"
    yield _line("symbol", found.get("symbol"), "$key  # none found: from the file's name, or told")
    yield f"  # the market's code; if `truetape` has none, {how_to_add(NO_VENUE)}"
    yield f"  venue: {{const: {NO_VENUE}}}"
    if identity:
        yield _line("id", identity)
    if "sequence" in found and not ordered:
        yield _line("sequence", found["sequence"])
    yield from _time(found.get("event_time"), found.get("date"))
    for name in ("price", "size"):
        yield _line(name, found.get(name), signed={"price": "any", "size": "absolute"}[name])
    if "conditions" in found:
        form = "list" if found["conditions"].texts[0].startswith("[") else "comma"
        yield f"  conditions: {{path: {found['conditions'].path}, form: {form}}}"
    used = {column.path for column in found.values()}
    for column in columns:
        if column.path not in used:
            hint = f"; has {column.hint}" if column.hint else ""
            yield f"## unused: {column.path}: {column.evidence}{hint}"


def _line(name: str, column: Column | None, otherwise: str = UNKNOWN, signed: str = "") -> str:
    if column is None:
        return f"  {name}: {otherwise}"
    is_signed = signed and any(text.startswith("-") for text in column.texts)
    value = f"{{path: {column.path}, sign: {signed}}}" if is_signed else column.path
    return f"  {name}: {value}  # {column.evidence}"


def _time(column: Column | None, day: Column | None) -> Iterator[str]:
    if column is None:
        yield f"  event_time: {UNKNOWN}"
        return
    shape, zone = shape_of(column.texts)
    options = comment = ""
    if shape is Shape.CLOCK and day:
        pattern, *others = date_patterns(day.texts)
        options = f", date: {{path: {day.path}, pattern: '{pattern}'}}" if pattern else ""
        options = options or f", date: {day.path}"
        comment = f"or is the date {' or '.join(others)}? " if others else ""
    options += f", zone: {zone}" if zone else ""
    comment += f"{'whose clock? name the zone; ' if zone else ''}{column.evidence}"
    yield f"  event_time: {{path: {column.path}, shape: {shape}{options}}}  # {comment}"


def _samples(payloads: Sequence[str]) -> Iterator[str]:
    yield ""
    yield "## A sample of each kind of message, with the native lines that it must give. Take these"
    yield "## from `truetape feed check FILE`, and compare them with the vendor's documentation."
    yield "samples:"
    for payload in payloads:
        yield "  - payload: |-"
        yield from (f"      {line}" for line in payload.splitlines())
        yield "    native:"
        yield "      - '…'"


def _fields(columns: Sequence[Column]) -> dict[str, Column]:
    """Return the column of each field: the one with the likeliest name whose texts can be it."""
    found: dict[str, Column] = {}
    is_unnamed = _is_unnamed(columns)
    for name, usual in _NAMES.items():
        if name == "date" and not _is_clock(found.get("event_time")):
            continue
        free = [column for column in columns if column not in found.values()]
        able = [column for column in free if _CAN_BE[name](column)]
        names = usual.split()
        named = [
            ((column.path.startswith("$."), names.index(column.name), place), column)
            for place, column in enumerate(able)
            if column.name in names
        ]
        if named:
            found[name] = min(named, key=lambda each: each[0])[1]
        elif able and (
            name in ("event_time", "date") or (is_unnamed and name in ("price", "size"))
        ):
            found[name] = able[0]
        elif name == "symbol" and free and free[-1].path == "$name":
            found[name] = free[-1]
    return found


def _is_clock(column: Column | None) -> bool:
    return column is not None and shape_of(column.texts)[0] is Shape.CLOCK


def _is_unnamed(columns: Sequence[Column]) -> bool:
    """True if records are lists: the order of their numbers is all that there is to go by."""
    return all(column.name.isdigit() for column in columns if not column.path.startswith("$"))


def _grows(column: Column) -> bool:
    if not all(text.isdigit() and len(text) <= 18 for text in column.texts):
        return False
    numbers = [int(text) for text in column.texts]
    return len(numbers) > 1 and numbers == sorted(numbers)


def _is_plain_number(column: Column) -> bool:
    return column.are_numbers and shape_of(column.texts)[0] is None


_TRADE = re.compile(r"(?i)trade|match|^te?$|^fill")
_CAN_BE: dict[str, Callable[[Column], bool]] = {
    "event_time": lambda column: shape_of(column.texts)[0] is not None,
    "date": lambda column: bool(date_patterns(column.texts)),
    "price": _is_plain_number,
    "size": _is_plain_number,
    "symbol": lambda column: not column.are_numbers and not column.texts[0].startswith(("[", "{")),
    "id": lambda column: len(set(column.texts)) > len(column.texts) // 2,
    "sequence": lambda column: all(text.isdigit() for text in column.texts),
    "conditions": lambda _: True,
    "kind": lambda column: len(set(column.texts)) <= 4 and any(map(_TRADE.search, column.texts)),
}
