"""Strict JSON in Spark: built-in functions made to read exactly what `strict_json` reads.

Spark's JSON reader stops after the first value and passes numbers through doubles. So numbers are
quoted before it sees them, and the text is put into an array before a sentinel that must come out
second and last.
"""

import secrets
from collections.abc import Callable, Iterable

from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from truetape.errors import ConfigError
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
_READS_ON = "spark.sql.json.enablePartialResults"
_BARE_NUMBER = (
    r'\G((?:[^"0-9\-]++|"(?:[^"\\]++|\\.)*+")*+)'  # since the last match: strings, no number
    r"(-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+)"  # one number
    r"(?=[ \t\r\n]*+[,\]}])"  # where a value ends; so no name becomes one
)
"""Possessive throughout: Java neither recurses nor goes back, so a payload costs one pass."""


def check_session(spark: SparkSession) -> None:
    """Raise ConfigError where Spark's reader would go on behind a fault inside a value."""
    if spark.conf.get(_READS_ON) != "false":
        raise ConfigError(
            f"{_READS_ON} is on: broken payloads would become trades; set it to false, "
            "as truetape.batch.spark does"
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
    return F.from_json(quoted, T.ArrayType(item), _OPTIONS)
