"""JSON payloads of a file: one a line, or values that are written over lines.

Decodes no payload; each is a part of the file, byte for byte.
"""

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation

from truetape.feeds.json_layout import Container, JsonPayload
from truetape.market.resolution import SECOND_NS

_BLANK = " \t\r\n"
_DECODER = json.JSONDecoder()

Line = tuple[int, bytes]


def values(content: bytes, layout: JsonPayload) -> list[Line] | None:
    """Return the JSON values that a file is made of, each with the number of its first line; None
    if it is made of something else. `items` has the rule for lists.
    """
    text = content.decode(errors="surrogateescape")
    found: list[Line] = []
    at, line = _after_blanks(text, 0), 1
    counted = 0
    while at < len(text):
        end = _end(text, at)
        if end is None:
            return None
        line += text.count("\n", counted, at)
        counted = at
        value = text[at:end].encode(errors="surrogateescape")
        found += [(line, item) for item in items(value, layout)]
        at = _after_blanks(text, end)
    return found


def is_value(line: bytes) -> bool:
    """True if a line is a JSON value of its own."""
    text = line.decode(errors="replace").strip(_BLANK)
    return bool(text) and _end(text, 0) == len(text)


def items(value: bytes, layout: JsonPayload) -> list[bytes]:
    """Return the payloads of a JSON value: its items where it is a list and the feed's payloads are
    objects, else the value itself.
    """
    if layout.container is not Container.OBJECT or not value.lstrip().startswith(b"["):
        return [value]
    text = value.decode(errors="surrogateescape")
    found: list[bytes] = []
    at = _after_blanks(text, text.index("[") + 1)
    while at < len(text):
        end = _end(text, at)
        if end is None:
            break
        found.append(text[at:end].encode(errors="surrogateescape"))
        at = _after_blanks(text, end)
        if text[at : at + 1] != ",":
            is_list = text[at : at + 1] == "]" and _after_blanks(text, at + 1) == len(text)
            return found if is_list else [value]
        at = _after_blanks(text, at + 1)
    return [value]


def frame(payload: bytes) -> tuple[bytes, int] | None:
    """Return the payload and the receipt time of a captured frame, None if it is none: an object
    of `exchange`, `recv_ts` and `raw`.
    """
    if not payload.startswith(b'{"exchange"'):
        return None
    try:
        envelope = json.loads(payload)
        received = Decimal(envelope["recv_ts"])
        return envelope["raw"].encode(), int(received * SECOND_NS)
    except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation):
        return None


def spread(lines: Iterable[Line], layout: JsonPayload) -> Iterator[Line]:
    """Yield the payloads of lines."""
    for number, line in lines:
        for item in items(line, layout):
            yield number, item


def _end(text: str, at: int) -> int | None:
    try:
        return _DECODER.raw_decode(text, at)[1]
    except (ValueError, RecursionError):
        return None


def _after_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at
