"""The text of a query as Grafana sends it: variables replaced, then the macros of its server.

Pure; sends nothing. Follows Grafana's variable formats and the macros of its InfluxDB data source,
quirks included: it treats any word before `.timeRangeStart` as `v`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from truetape.host.errors import ConfigError

ALL = "$__all"
"""The value of a variable if a reader chose "All"."""
MS = 1_000_000
_REFERENCE = re.compile(r"\$\{(?P<braced>\w+)(?::(?P<format>[\w-]+))?\}|\$(?P<bare>\w+)")
_MACRO = re.compile(r"([a-zA-Z]+)\.([a-zA-Z]+)")
_REGEX_SIGNS = re.compile(r"[\\^$*+?.()|[\]{}/]")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_STEPS_MS = (
    (10, 1), (15, 10), (35, 20), (75, 50), (150, 100), (350, 200), (750, 500), (1_500, 1_000),
    (3_500, 2_000), (7_500, 5_000), (12_500, 10_000), (17_500, 15_000), (25_000, 20_000),
    (45_000, 30_000), (90_000, 60_000), (210_000, 120_000), (450_000, 300_000),
    (750_000, 600_000), (1_050_000, 900_000), (1_500_000, 1_200_000), (2_700_000, 1_800_000),
    (5_400_000, 3_600_000), (9_000_000, 7_200_000), (16_200_000, 10_800_000),
    (32_400_000, 21_600_000), (86_400_000, 43_200_000), (604_800_000, 86_400_000),
    (1_814_400_000, 604_800_000), (3_628_800_000, 2_592_000_000),
)  # fmt: skip
"""Grafana's table of intervals: the limit (ms), and the interval for widths below that limit."""
_YEAR_MS = 31_536_000_000


@dataclass(frozen=True, slots=True)
class PanelView:
    """The time range of a panel, and the number of points that it asks for.

    `least_ms` is the smallest interval that the data source allows.
    """

    start_ns: int
    stop_ns: int
    max_points: int
    least_ms: int = 1_000

    @property
    def interval_ms(self) -> int:
        """Return the width of a point in ms, rounded as Grafana rounds it."""
        exact = (self.stop_ns - self.start_ns) / MS / self.max_points
        rounded = next((step for limit, step in _STEPS_MS if exact < limit), _YEAR_MS)
        return max(rounded, self.least_ms)


@dataclass(frozen=True, slots=True)
class VariableValue:
    """The chosen values of a variable. `all_value` replaces the choice "All"."""

    values: Sequence[str]
    all_value: str | None = None


def interpolate(query: str, view: PanelView, chosen: Mapping[str, VariableValue]) -> str:
    """Return the Flux that Grafana sends. Raise ConfigError if a variable has no value."""
    return _macros(_variables(query, view, chosen), view)


def interval_text(milliseconds: int) -> str:
    """Format an interval as Grafana does: in its largest unit, rounded down."""
    seconds = milliseconds // 1_000
    for unit, width in (("y", _YEAR_MS // 1_000), *reversed(_SECONDS.items())):
        if seconds >= width:
            return f"{seconds // width}{unit}"
    return f"{milliseconds}ms"


def _variables(query: str, view: PanelView, chosen: Mapping[str, VariableValue]) -> str:
    built_in = {
        "__interval": VariableValue([interval_text(view.interval_ms)]),
        "__interval_ms": VariableValue([str(view.interval_ms)]),
    }

    def replacement(match: re.Match[str]) -> str:
        name = match["braced"] or match["bare"]
        value = {**built_in, **chosen}.get(name)
        if value is None:
            raise ConfigError(f"variable ${name} has no value; Grafana would send it unchanged")
        if list(value.values) == [ALL] and value.all_value is not None:
            return value.all_value
        return _FORMATS[match["format"] or "glob"](value.values)

    return _REFERENCE.sub(replacement, query)


def _macros(query: str, view: PanelView) -> str:
    values = {
        "timeRangeStart": _rfc3339(view.start_ns),
        "timeRangeStop": _rfc3339(view.stop_ns),
        "windowPeriod": f"{view.interval_ms}ms",
        "bucket": '""',
        "defaultBucket": '"pipeline"',
        "organization": '"truetape"',
    }
    for whole, name in {(match[0], match[2]) for match in _MACRO.finditer(query)}:
        if name in values:
            query = query.replace(whole, values[name])
    return query


def _rfc3339(ns: int) -> str:
    moment = datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{ns % 1_000_000_000:09}".rstrip("0").rstrip(".")
    return f"{moment}{fraction}Z"


def _glob(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"{{{','.join(values)}}}"


def _raw(values: Sequence[str]) -> str:
    return ",".join(values)


def _quoted(values: Sequence[str]) -> str:
    return ",".join('"' + value.replace('"', '\\"') + '"' for value in values)


def _regex(values: Sequence[str]) -> str:
    escaped = [_REGEX_SIGNS.sub(r"\\\g<0>", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


_FORMATS: Mapping[str, Callable[[Sequence[str]], str]] = {
    "glob": _glob,
    "raw": _raw,
    "doublequote": _quoted,
    "regex": _regex,
}
