"""The measurements of serving: the tags and fields of each, and the one type of each field.

Encodes no row. InfluxDB would accept an int in a field that was a float before, and lose rows at
reading; so every field has its type here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

INT = "int"
FLOAT = "float"
BOOL = "bool"
TEXT = "text"


@dataclass(frozen=True, slots=True)
class Measurement:
    """A table of points. Tags make a series; a point has all `fields` and any of `optional`."""

    name: str
    tags: tuple[str, ...]
    fields: Mapping[str, str]
    optional: Mapping[str, str]

    def kind_of(self, field: str) -> str | None:
        """Return the type of a field, None if the measurement has no such field."""
        return self.fields.get(field) or self.optional.get(field)


def _measurement(
    name: str, tags: str, fields: str, optional: Mapping[str, str] | None = None
) -> Measurement:
    """Build a measurement from "tag tag" and "field:kind field:kind"."""
    pairs = (pair.partition(":")[::2] for pair in fields.split())
    return Measurement(name, tuple(sorted(tags.split())), dict(pairs), optional or {})


BAR = _measurement(
    "bar",
    "symbol venue",
    "open:float high:float low:float close:float volume:float vwap:float "
    "trades:int rev:int seq:int layer:text final:bool void:bool",
)

INDICATOR_NAMES = (
    "sma_20",
    "sma_50",
    "ema_12",
    "ema_26",
    "rsi_14",
    "macd",
    "macd_signal",
    "macd_histogram",
    "bollinger_upper",
    "bollinger_middle",
    "bollinger_lower",
    "session_vwap",
)

INDICATOR = _measurement(
    "indicator",
    "symbol venue",
    "rev:int void:bool",
    dict.fromkeys(INDICATOR_NAMES, FLOAT),
)

PIPELINE: Mapping[str, Measurement] = {
    measurement.name: measurement
    for measurement in (
        _measurement("canary", "writer", "nonce:int"),
        _measurement(
            "speed_batch",
            "query",
            "batch:int records:int late:int bars:int fenced:int mended:int lag:int "
            "seconds:float rows_per_s:float",
        ),
        _measurement("speed_freshness", "query", "freshness_s:float watermark_ns:int"),
        _measurement(
            "archive", "topic", "records:int rejected:int dead_letters:int holes:int lost:int"
        ),
        _measurement(
            "publication",
            "venue",
            "session:text rev:int bars:int edits:int indicators:int seconds:float who:text",
        ),
        _measurement("boundary", "resolution venue", "final_ns:int final_from_ns:int fence_ns:int"),
        _measurement("annotation", "kind venue", "session:text rev:int who:text text:text"),
        _measurement("verdict", "topic", "verdict:text grave:int light:int text:text"),
        _measurement(
            "quality",
            "rule suite venue",
            "session:text run:text kind:text severity:text passed:bool rows:int unexpected:int "
            "share:float",
        ),
        _measurement(
            "drift",
            "cause resolution venue",
            "session:text rev:int bars:int changed:int missing:int extra:int "
            "max_abs_bps:float volume:float",
        ),
    )
}
