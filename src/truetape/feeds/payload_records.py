"""Records of a payload: its parts by a contract's layout, each with what is around it.

Reads no field: the decoder does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from truetape.feeds import csv_records
from truetape.feeds.csv_layout import CsvPayload
from truetape.feeds.csv_text import HeaderRule
from truetape.feeds.fields import EACH, Origin, Path
from truetape.feeds.json_layout import Container, JsonPayload, Records
from truetape.feeds.strict_json import JsonObject, container, parse, text_of
from truetape.market.rejection import Reason, Refused

BLANK = " \t\r\n"


@dataclass(frozen=True, slots=True)
class PayloadRecord:
    """One record and what is around it. `value` is None if it is not the declared container."""

    value: object
    payload: object = None
    name: str | None = None

    def text(self, path: Path, key: str | None) -> str | None:
        """Return the text at a path, None if there is nothing or JSON's null."""
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


def text_in(payload: bytes, max_bytes: int) -> str | Refused:
    """Return a payload as text, unless it is too large, blank, or not UTF-8."""
    if len(payload) > max_bytes:
        return Refused(Reason.TOO_LARGE, f"more than {max_bytes} bytes")
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        return Refused(Reason.NOT_TEXT, f"byte {error.start} is not UTF-8")
    return text if text.strip(BLANK) else Refused(Reason.EMPTY, "the payload is blank")


def records_in(
    text: str, layout: JsonPayload | CsvPayload, header_rule: HeaderRule
) -> Sequence[PayloadRecord | Refused] | Refused:
    """Return the records of a text, or why it has none. A bad row is refused alone."""
    match layout:
        case CsvPayload():
            rows = csv_records.records(text, layout, header_rule)
            if isinstance(rows, Refused):
                return rows
            return [row if isinstance(row, Refused) else PayloadRecord(row) for row in rows]
        case JsonPayload():
            parsed = parse(text, keep_pairs=layout.records is Records.BY_NAME)
            return parsed if isinstance(parsed, Refused) else _json_records(parsed, layout)


def _json_records(parsed: object, layout: JsonPayload) -> Sequence[PayloadRecord] | Refused:
    if not _is(parsed, layout.container):
        return Refused(Reason.NOT_A_TRADE, f"the payload is not an {layout.container}")
    place = None if EACH in layout.at else _at(parsed, layout.at)
    if place is None and layout.at_optional:
        place = parsed
    match layout.records:
        case Records.ONE:
            return [_record(place, layout, parsed)]
        case Records.EACH:
            return _listed_records(parsed, layout)
        case Records.BY_NAME:
            return _named_records(place, layout, parsed)


def _listed_records(parsed: object, layout: JsonPayload) -> list[PayloadRecord] | Refused:
    """Return the records of the list, or of the lists inside lists that `at` leads through. An item
    on the way that has no list counts as one record, which is rejected.
    """
    places = [parsed]
    for steps in _between_lists(layout.at):
        walked: list[object] = []
        for place in places:
            listed = container(_at(place, steps))
            if not isinstance(listed, list) and place is parsed:
                return Refused(Reason.NOT_A_TRADE, "there is no list at the place of the records")
            walked += listed if isinstance(listed, list) else [None]
        places = walked
    return [_record(value, layout, parsed) for value in places]


def _between_lists(steps: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the steps to each list: those before each `EACH`, and the last ones."""
    while EACH in steps:
        place = steps.index(EACH)
        yield steps[:place]
        steps = steps[place + 1 :]
    yield steps


def _named_records(
    place: object, layout: JsonPayload, parsed: object
) -> list[PayloadRecord] | Refused:
    named = container(place, keep_pairs=True)
    if layout.name_at and isinstance(named, list):
        name = text_of(_at(parsed, layout.name_at))
        return [_record(item, layout, parsed, name) for item in named]
    if not isinstance(named, JsonObject):
        return Refused(Reason.NOT_A_TRADE, "there is no object at the place of the records")
    records: list[PayloadRecord] = []
    for name, value in named.pairs:
        if name not in layout.skip:
            listed = container(value)
            items = listed if isinstance(listed, list) else [None]
            records.extend(_record(item, layout, parsed, name) for item in items)
    return records


def _record(
    value: object, layout: JsonPayload, parsed: object, name: str | None = None
) -> PayloadRecord:
    opened = container(value)
    return PayloadRecord(opened if _is(opened, layout.record) else None, parsed, name)


def _is(value: object, kind: Container) -> bool:
    return isinstance(value, dict if kind is Container.OBJECT else list)
