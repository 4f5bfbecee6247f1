"""Strict JSON for both decoders: numbers stay text, and the limits of a JVM's parser apply.

Knows no contract.
"""

import json
import re
from typing import NoReturn

from truetape.market.rejection import Reason, Refused

MAX_DEPTH = 32
"""Most objects and arrays inside each other."""
MAX_NAME = 50_000
"""Longest name in an object, in UTF-16 units: the limit of the JSON parser inside Spark."""

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKETS = re.compile(r"[][{}]")


class JsonObject(dict[str, object]):
    """An object. `pairs` has repeated names too; as a dict, the last value of a name counts."""

    pairs: tuple[tuple[str, object], ...]

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self.pairs = tuple(pairs)


def parse(text: str, keep_pairs: bool = False) -> object | Refused:
    """Return the value of a JSON text: dict, list, str, bool or None; a number is its own text.

    Refused are NaN and Infinity, text after the value, more than 32 levels and names over 50,000
    UTF-16 units. With `keep_pairs`, objects are `JsonObject`.
    """
    if _too_deep(text):
        return Refused(Reason.NOT_JSON, f"nested deeper than {MAX_DEPTH} levels")
    check = keep_pairs or len(text) > MAX_NAME
    try:
        return json.loads(  # type: ignore[no-any-return]  # callers check the type of the value
            text,
            parse_int=str,
            parse_float=str,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object if check else None,
        )
    except ValueError as error:
        return Refused(Reason.NOT_JSON, str(error))


def text_of(value: object) -> str | None:
    """Return the text of a value: a string or number as written, JSON for anything else."""
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case _:
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def container(value: object, keep_pairs: bool = False) -> object:
    """Return an object or array, None for any other value. A text of JSON counts too: some feeds
    encode twice.
    """
    if isinstance(value, str):
        looks_like = value.lstrip(" \t\r\n")[:1] in ("{", "[")
        value = parse(value, keep_pairs) if looks_like else None
    return value if isinstance(value, dict | list) else None


def _object(pairs: list[tuple[str, object]]) -> JsonObject:
    for name, _ in pairs:
        if len(name) > MAX_NAME // 2 and len(name.encode("utf-16-le", "surrogatepass")) > (
            2 * MAX_NAME
        ):
            raise ValueError(f"a name is longer than {MAX_NAME} units")
    return JsonObject(pairs)


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON number")


def _too_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False
