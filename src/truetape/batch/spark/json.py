"""Strict JSON in Spark: built-in functions made to read exactly what `strict_json` reads.

Spark's JSON reader stops after the first value and passes fractions through doubles. So the text is
put into an array before a sentinel that must come out second and last, and numbers are quoted
before the reader sees them, where that matters.
"""

import secrets
from collections.abc import Callable, Iterable

from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from truetape.feeds.strict_json import MAX_DEPTH
from truetape.host.errors import ConfigError

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
_NEEDED = {
    # with partial results, a fault inside a list is passed over and a broken payload a trade
    "spark.sql.json.enablePartialResults": "false",
    # written times are cast without their zone
    "spark.sql.session.timeZone": "UTC",
}
_BARE_NUMBER = (
    r'\G((?:[^"0-9\-]++|"(?:[^"\\]++|\\.)*+")*+)'  # since the last match: strings, no number
    r"(-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+)"  # one number
    r"(?=[ \t\r\n]*+[,\]}])"  # where a value ends; so no name becomes one
)
"""Possessive throughout: Java neither recurses nor goes back, so a payload costs one pass."""
_CHANGED_NUMBER = (
    r"[\[,:](?:(?<!:)[ \t\r\n]*+-?[0-9]"  # in an array, whose own text must have it quoted
    r"|[ \t\r\n]*+(?:-0|-?[0-9]{20}"  # the minus would go; a long one costs its digits squared
    r"|-?[0-9]++(?:\.[0-9]++(?:[eE][+-]?[0-9]++)?+|[eE][+-]?[0-9]++)[ \t\r\n]*+[,\]}]))"
)
"""What Spark's reader would not give back as written, and text in strings that looks like it.

Most payloads have none: their numbers are whole, or in strings. They are spared the pass that
quotes. A pattern that begins with one character of a class is the fastest to find.
"""


def check_session(spark: SparkSession) -> None:
    """Raise ConfigError where Spark would go on behind a fault inside a value, or is not in UTC."""
    for key, wanted in _NEEDED.items():
        if (found := spark.conf.get(key)) != wanted:
            raise ConfigError(
                f"{key} is {found}; decoding needs {wanted}, see truetape.batch.spark.session"
            )


def object_in(text: Column, names: Iterable[str]) -> Column:
    """Return the wrapper of a text that should be an object, for `is_whole` and `value_of`."""
    fields = [T.StructField(name, T.StringType()) for name in (*names, SENTINEL_NAME)]
    return _parsed(text, f'{{"{SENTINEL_NAME}":"{_SENTINEL}"}}', T.StructType(fields))


def array_in(text: Column) -> Column:
    """Return the wrapper of a text that should be an array, for `is_whole` and `value_of`."""
    return _parsed(text, f'["{_SENTINEL}"]', T.ArrayType(T.StringType()))


def is_whole(parsed: Column, is_array: bool) -> Column:
    """Say whether a wrapper held one value of its kind and nothing else."""
    second = F.get(parsed, F.lit(1))
    sentinel = F.get(second, F.lit(0)) if is_array else second[SENTINEL_NAME]
    good = (F.size(parsed) == 2) & F.get(parsed, F.lit(0)).isNotNull() & (sentinel == _SENTINEL)
    return F.coalesce(good, F.lit(False))


def value_of(parsed: Column) -> Column:
    """Return the value in a wrapper; it means something only where the wrapper `is_whole`."""
    return F.get(parsed, F.lit(0))


def array_at(text: Column) -> Column:
    """Return the texts of the values of an array, null where a text is none."""
    return _let(array_in(text), lambda parsed: _whole(parsed, is_array=True))


def map_at(text: Column) -> Column:
    """Return the texts of the values of an object by name, null where a text is none."""
    sentinel = f'{{"{SENTINEL_NAME}":"{_SENTINEL}"}}'
    parsed = _parsed(text, sentinel, T.MapType(T.StringType(), T.StringType()))
    return _let(parsed, lambda both: _whole(both, is_array=False))


def is_json(text: Column) -> Column:
    """Say whether a text is one JSON value of any kind; null counts as no."""
    parsed = _parsed(text, f'"{_SENTINEL}"', T.StringType())
    whole = _let(parsed, lambda both: (F.size(both) == 2) & (F.get(both, F.lit(1)) == _SENTINEL))
    return F.coalesce(whole, F.lit(False))


def _whole(parsed: Column, is_array: bool) -> Column:
    return F.when(is_whole(parsed, is_array), value_of(parsed))


def _let(value: Column, then: Callable[[Column], Column]) -> Column:
    return F.get(F.transform(F.array(value), then), F.lit(0))


def _parsed(text: Column, sentinel: str, item: T.DataType) -> Column:
    wrapped = F.concat(F.lit("["), text, F.lit(f",{sentinel}]"))
    quoted = F.regexp_replace(wrapped, F.lit(_BARE_NUMBER), F.lit('$1"$2"'))
    read = F.when(text.rlike(_CHANGED_NUMBER), quoted).otherwise(wrapped)
    return F.from_json(read, T.ArrayType(item), _OPTIONS)
