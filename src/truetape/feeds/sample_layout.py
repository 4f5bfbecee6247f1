"""Sample layouts: where the records of an unknown feed are, guessed from a sample of payloads."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from truetape.feeds import streams
from truetape.feeds.beside import why_no_trade_file
from truetape.feeds.file_log import FileLog
from truetape.feeds.streams import Content
from truetape.feeds.strict_json import text_of
from truetape.host.errors import ConfigError
from truetape.market.event_time import EPOCHS, Shape, TimeSpec, parse, parse_day
from truetape.market.rejection import Refused

MAX_PAYLOADS = 500
"""How many payloads of a sample are looked at."""
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"-?(?:[0-9]+|[0-9]{1,3}(?:[. '][0-9]{3})+),[0-9]+")
_THOUSANDS = re.compile(r"-?[0-9]{1,3}(?:[, '][0-9]{3})+(?:\.[0-9]+)?")
_DATE_PATTERNS = (
    "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d",
)  # fmt: skip
_DEEP = 4
_HEAD_BYTES = 1_000_000
_MAX_SAMPLES, _MAX_SAMPLE = 2, 2_000
_SHOWN = 40
_ANY_DAY = date(2026, 1, 5)
_DELIMITERS = {",": ",", ";": ";", "|": "|", "\t": "tab"}
_HINTS = ("tid", "trade", "price", "px", "size", "qty", "amount", "time", "ts")
_LISTS = ("data", "trades", "events", "result", "results", "ticks", "items", "records", "list")
"""Usual names of a list of records; a list of another name is likely named by its symbol."""


@dataclass(frozen=True, slots=True)
class Column:
    """What one field has in the records: its texts, and how many records have it."""

    path: str
    texts: tuple[str, ...]
    records: int

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2].lower()

    @property
    def are_numbers(self) -> bool:
        return all(map(NUMBER.fullmatch, self.texts))

    @property
    def evidence(self) -> str:
        few = list(dict.fromkeys(self.texts))[:2]
        shown = ", ".join(repr(text[:_SHOWN]) for text in few)
        return f"{shown} in {len(self.texts)} of {self.records} records"

    @property
    def hint(self) -> str:
        """Return why no contract can read the texts as numbers, though they look like some."""
        if all(map(_DECIMAL_COMMA.fullmatch, self.texts)):
            return "a decimal comma, which no contract reads; write a point in its place"
        if all(map(_THOUSANDS.fullmatch, self.texts)):
            return "thousands separators, which no contract reads; leave them out"
        return ""


@dataclass(slots=True)
class Layout:
    """Where the records are, and the records as fields by path."""

    declared: str
    records: list[Mapping[str, str]]
    around: list[Mapping[str, str]] = field(default_factory=list)
    """The same fields of what is around each record, by paths that begin with `$.`."""

    def samples(self, payloads: Sequence[str]) -> list[str]:
        """Return the first payloads that are short; of CSV with a header the header and a row."""
        short = [payload for payload in payloads if len(payload) <= _MAX_SAMPLE]
        if self.declared.startswith("csv") and "header" in self.declared:
            return ["\n".join(short[:2])]
        return short[:_MAX_SAMPLES]

    def columns(self) -> list[Column]:
        rows = [
            {**record, **around}
            for record, around in zip(
                self.records, self.around or [{}] * len(self.records), strict=True
            )
        ]
        paths = dict.fromkeys(path for row in rows for path in row)
        return [
            Column(path, tuple(row[path] for row in rows if path in row), len(rows))
            for path in paths
        ]


def shape_of(texts: Sequence[str]) -> tuple[Shape | None, str]:
    """Return the shape that reads all texts, and a zone if it needs one."""
    for shape in (*EPOCHS, Shape.ISO8601, Shape.FIX, Shape.CLOCK, Shape.ISO8601_LOCAL):
        zone = "UTC" if shape in (Shape.CLOCK, Shape.ISO8601_LOCAL) else ""
        spec = TimeSpec(shape, zone or None)
        if texts and not any(isinstance(parse(text, spec, _ANY_DAY), Refused) for text in texts):
            return shape, zone
    return None, ""


def date_patterns(texts: Sequence[str]) -> list[str]:
    """Return the patterns that read all texts as dates; "" is what a contract without one reads."""
    patterns = [None, *_DATE_PATTERNS]
    return [
        pattern or ""
        for pattern in patterns
        if texts and not any(isinstance(parse_day(text, pattern), Refused) for text in texts)
    ]


def head_of(path: Path) -> str:
    """Return the text at the beginning of a sample, unpacked: whole lines of up to a megabyte.

    Raise ConfigError if the file is none of those that `docs/FILES.md` lists, or Parquet.
    """
    with streams.opened(path, lambda names: why_no_trade_file(names[0]), FileLog()) as found:
        stream = next(found, None)
        if stream is None or stream.content is not Content.TEXT:
            raise ConfigError(
                f"{path}: a sample is text: JSON or CSV; write some rows as one of them"
            )
        head = stream.file.read(_HEAD_BYTES)
    whole = head if len(head) < _HEAD_BYTES else head[: head.rfind(b"\n") + 1] or head
    return whole.decode("utf-8-sig", errors="replace")


def layout_of(sample: str) -> tuple[list[str], Layout]:
    stripped = sample.strip()
    if stripped[:1] in ("{", "["):
        payloads = [line for line in sample.splitlines() if line.strip()][:MAX_PAYLOADS]
        parsed = [value for value in map(_json, payloads) if value is not None]
        if not parsed:
            whole = _json(stripped)
            payloads, parsed = [json.dumps(whole)], [] if whole is None else [whole]
        return payloads, _json_guess(parsed)
    payloads = [line for line in sample.splitlines() if line.strip()][:MAX_PAYLOADS]
    return payloads, _csv_guess(payloads)


def _json(text: str) -> object:
    try:
        value: object = json.loads(text, parse_float=str, parse_int=str)
    except ValueError:
        return None
    return value if isinstance(value, dict | list) else None


def _json_guess(parsed: Sequence[object]) -> Layout:
    """Guess where the records are: the list, or the place, whose records look most like trades."""
    places = Counter(place for value in parsed for place in _lists(value, ()))
    options = [(), *places]
    container = (
        "array" if sum(isinstance(value, list) for value in parsed) * 2 > len(parsed) else "object"
    )
    best: tuple[int, Layout] | None = None
    for steps in options:
        for how in ("one", "each", "by-name"):
            guess = _at(parsed, steps, how, container)
            score = sum(map(_likeness, guess.records)) - _oddity(steps, how, guess)
            if guess.records and (best is None or score > best[0]):
                best = score, guess
    return best[1] if best else Layout("", [])


def _oddity(steps: Sequence[str], how: str, guess: Layout) -> int:
    """Return how unusual the names of lists are at a place: a list that is named like no list is
    likely named by its symbol, and the other way round.
    """
    names = [record["$name"] for record in guess.records] if how == "by-name" else []
    odd = sum(name.lower() in _LISTS for name in names)
    if how == "each" and steps and steps[-1].lower() not in _LISTS:
        odd += len(guess.records)
    return odd


def _lists(value: object, steps: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the steps to each object and list inside a value."""
    if len(steps) > _DEEP:
        return
    if isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, dict | list):
                yield (*steps, str(name))
                yield from _lists(item, (*steps, str(name)))
    elif isinstance(value, list) and not any(isinstance(item, dict) for item in value):
        yield from (
            (*steps, str(place)) for place, item in enumerate(value) if isinstance(item, list)
        )
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for name, item in value[0].items():
            if isinstance(item, list):
                yield (*steps, "[]", str(name))


def _at(parsed: Sequence[object], steps: tuple[str, ...], how: str, container: str) -> Layout:
    records: list[Mapping[str, str]] = []
    around: list[Mapping[str, str]] = []
    kinds: Counter[str] = Counter()
    for value in parsed:
        for place in _walk(value, steps):
            items = _items(place, how)
            outer = _around(value, steps) if steps or how != "one" else {}
            for name, item in items:
                if isinstance(item, dict | list):
                    kinds["array" if isinstance(item, list) else "object"] += 1
                    records.append(_flat(item, "", 1) | ({"$name": name} if name else {}))
                    around.append({path: text for path, text in outer.items() if text})
    record = kinds.most_common(1)[0][0] if kinds else "object"
    at = ".".join(steps).replace(".[]", "[]")
    parts = [f"container: {container}"]
    parts += [f'at: "{at}"'] if at else []
    parts += [f"records: {how}"] if how != "one" else []
    parts += [f"record: {record}"] if at or how != "one" else []
    return Layout(f"payload: {{{', '.join(parts)}}}", records, around)


def _around(value: object, steps: tuple[str, ...]) -> dict[str, str]:
    """Return the texts of a payload by path, without those of its records."""
    place = ".".join(("$", *steps))
    return {
        path: text
        for path, text in _flat(value, "$.", 1).items()
        if path != place and not path.startswith(f"{place}.")
    }


def _walk(value: object, steps: tuple[str, ...]) -> Iterator[object]:
    if not steps:
        yield value
    elif steps[0] == "[]":
        for item in value if isinstance(value, list) else ():
            yield from _walk(item, steps[1:])
    elif isinstance(value, dict) and steps[0] in value:
        yield from _walk(value[steps[0]], steps[1:])
    elif isinstance(value, list) and steps[0].isdigit() and int(steps[0]) < len(value):
        yield from _walk(value[int(steps[0])], steps[1:])


def _items(place: object, how: str) -> list[tuple[str, object]]:
    if how == "each":
        return [("", item) for item in place] if isinstance(place, list) else []
    if how == "by-name" and isinstance(place, dict):
        return [
            (str(name), item)
            for name, value in place.items()
            for item in (value if isinstance(value, list) else ())
        ]
    return [("", place)] if how == "one" else []


def _flat(value: object, prefix: str, deep: int) -> dict[str, str]:
    """Return the texts of a record by path, of objects one level below it too."""
    pairs = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value if isinstance(value, list) else ())
    )
    found: dict[str, str] = {}
    for name, item in pairs:
        text = text_of(item) if not isinstance(item, dict) else None
        if isinstance(item, dict) and deep:
            found |= _flat(item, f"{prefix}{name}.", deep - 1)
        elif text is not None and not isinstance(item, list):
            found[f"{prefix}{name}"] = text
        elif isinstance(item, list) and all(not isinstance(each, dict | list) for each in item):
            found[f"{prefix}{name}"] = json.dumps(item)
    return found


def _likeness(record: Mapping[str, str]) -> int:
    """Return how much a record looks like a trade: its numbers and times, not how much it has."""
    numbers = sum(NUMBER.fullmatch(text) is not None for text in record.values())
    has_time = any(shape_of([text])[0] for text in record.values())
    named = sum(path.lower().endswith(_HINTS) for path in record)
    deep = sum("." in path for path in record)
    return 4 * has_time + min(numbers, 3) + min(named, 3) - 2 * deep


def _csv_guess(rows: Sequence[str]) -> Layout:
    counts = (
        {mark: min(row.count(mark) for row in rows[:20]) for mark in _DELIMITERS} if rows else {}
    )
    mark = max(
        counts, key=lambda each: (bool(counts[each]), each != ",", counts[each]), default=","
    )
    if not counts.get(mark):
        return Layout("", [])
    cells = list(csv.reader(rows, delimiter=mark))
    has_header = not any(NUMBER.fullmatch(cell) for cell in cells[0])
    names = [cell.strip() for cell in cells[0]] if has_header else _invented(cells)
    records: list[Mapping[str, str]] = [
        {name: cell for name, cell in zip(names, row, strict=False) if cell}
        for row in cells[has_header:]
    ]
    delimiter = "" if mark == "," else f", delimiter: '{_DELIMITERS[mark]}'"
    header = ", header: required" if has_header else ""
    return Layout(f"csv: {{columns: [{', '.join(names)}]{delimiter}{header}}}", records)


def _invented(cells: Sequence[Sequence[str]]) -> list[str]:
    """Return names for columns without a header: of the first date and the first time, of the first
    number beside them as the price, of the second as the size.
    """
    names = [f"column_{place}" for place in range(1, len(cells[0]) + 1)]
    free = ["price", "size"]
    for place in range(len(names)):
        texts = [row[place] for row in cells[:50] if place < len(row)]
        if shape_of(texts)[0] is not None:
            names[place] = "time" if "time" not in names else names[place]
        elif "date" not in names and date_patterns(texts):
            names[place] = "date"
        elif free and all(map(NUMBER.fullmatch, texts)) and any("." in text for text in texts):
            names[place] = free.pop(0)
    return names
