"""Strict JSON in Spark: built-in functions made to read exactly what `strict_json` reads.

Spark's JSON reader stops after the first value and passes numbers through doubles. So numbers are
quoted before it sees them, and the text is put into an array before a sentinel that must come out
second and last.
"""

import secrets
from collections.abc import Callable, Iterable

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from truetape.feeds.strict_json import MAX_DEPTH

SENTINEL_NAME = "#"
_SENTINEL = secrets.token_hex(8)
"""Not to be foreseen: a payload that held it could end the array early and hide what follows."""
_NO_LIMIT = str(2**31 - 1)
_OPTIONS = {
    "allowSingleQuotes": "false",
    "allowNonNumericNumbers": "false",
    "maxNestingDepth": str(MAX_DEPTH + 1),
    "maxNumLen": _NO_LIMIT,
    "maxStringLen": _NO_LIMIT,
}
_BARE_NUMBER = (
    r'\G((?:[^"0-9\-]++|"(?:[^"\\]++|\\.)*+")*+)'  # since the last match: strings, no number
    r"(-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+)"  # one number
    r"(?=[ \t\r\n]*+[,\]}])"  # where a value ends; so no name becomes one
)
"""Possessive throughout: Java neither recurses nor goes back, so a payload costs one pass."""


def object_in(text: Column, names: Iterable[str]) -> Column:
    """Return the parsed wrapper of a text that should be an object: give it to `object_of`."""
    fields = [T.StructField(name, T.StringType()) for name in (*names, SENTINEL_NAME)]
    return _parsed(text, f'{{"{SENTINEL_NAME}":"{_SENTINEL}"}}', T.StructType(fields))


def array_in(text: Column) -> Column:
    """Return the parsed wrapper of a text that should be an array: give it to `array_of`."""
    return _parsed(text, f'["{_SENTINEL}"]', T.ArrayType(T.StringType()))


def map_in(text: Column) -> Column:
    """Return the parsed wrapper of a text that should be an object of any names."""
    sentinel = f'{{"{SENTINEL_NAME}":"{_SENTINEL}"}}'
    return _parsed(text, sentinel, T.MapType(T.StringType(), T.StringType()))


def object_of(parsed: Column) -> Column:
    """Return what `object_in` or `map_in` found; null where the text was not that alone."""
    return _first(parsed, F.get(parsed, F.lit(1))[SENTINEL_NAME])


def array_of(parsed: Column) -> Column:
    """Return what `array_in` found; null where the text was not that alone."""
    return _first(parsed, F.get(F.get(parsed, F.lit(1)), F.lit(0)))


def array_at(text: Column) -> Column:
    """Return the texts of the values of an array, null where a text is none."""
    return _let(array_in(text), lambda parsed: array_of(parsed))  # noqa: PLW0108 - Spark names the lambda's variable


def map_at(text: Column) -> Column:
    """Return the texts of the values of an object by name, null where a text is none."""
    return _let(map_in(text), lambda parsed: object_of(parsed))  # noqa: PLW0108 - as above


def is_json(text: Column) -> Column:
    """Say whether a text is one JSON value of any kind; null counts as no."""
    parsed = _parsed(text, f'"{_SENTINEL}"', T.StringType())
    whole = _let(parsed, lambda both: (F.size(both) == 2) & (F.get(both, F.lit(1)) == _SENTINEL))
    return F.coalesce(whole, F.lit(False))


def _first(parsed: Column, sentinel: Column) -> Column:
    good = (F.size(parsed) == 2) & (sentinel == _SENTINEL)
    return F.when(good, F.get(parsed, F.lit(0)))


def _let(value: Column, then: Callable[[Column], Column]) -> Column:
    return F.get(F.transform(F.array(value), then), F.lit(0))


def _parsed(text: Column, sentinel: str, item: T.DataType) -> Column:
    wrapped = F.concat(F.lit("["), text, F.lit(f",{sentinel}]"))
    quoted = F.regexp_replace(wrapped, F.lit(_BARE_NUMBER), F.lit('$1"$2"'))
    return F.from_json(quoted, T.ArrayType(item), _OPTIONS)
