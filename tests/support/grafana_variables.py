"""What Grafana makes of a query before it sends it: variables in the browser, macros on its server.

Pure. Follows Grafana's formats of variables and the macros of its InfluxDB data source, quirks
included: any word before `.timeRangeStart` is taken for `v`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from truetape.host.errors import ConfigError

ALL = "$__all"
"""The value of a variable whose option "All" is chosen."""
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
"""Grafana's table of intervals: below a width (ms), the interval it is rounded to."""
_YEAR_MS = 31_536_000_000


@dataclass(frozen=True, slots=True)
class View:
    """What a reader looks at: a range, and how many points the panel asks for.

    `least_ms` is the smallest interval that the data source allows.
    """

    start_ns: int
    stop_ns: int
    max_points: int
    least_ms: int = 1_000

    @property
    def interval_ms(self) -> int:
        """Return the width of a point, rounded as Grafana rounds it."""
        exact = (self.stop_ns - self.start_ns) / MS / self.max_points
        rounded = next((step for limit, step in _STEPS_MS if exact < limit), _YEAR_MS)
        return max(rounded, self.least_ms)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The value of a variable: one text, or several; `every` is what "All" stands for."""

    values: Sequence[str]
    every: str | None = None


def interpolate(query: str, view: View, chosen: Mapping[str, Chosen]) -> str:
    """Return the Flux that Grafana sends for a query; ConfigError for a variable without value."""
    return _macros(_variables(query, view, chosen), view)


def interval_text(milliseconds: int) -> str:
    """Write an interval as Grafana does: in the largest unit that it reaches, cut off."""
    seconds = milliseconds // 1_000
    for unit, width in (("y", _YEAR_MS // 1_000), *reversed(_SECONDS.items())):
        if seconds >= width:
            return f"{seconds // width}{unit}"
    return f"{milliseconds}ms"


def _variables(query: str, view: View, chosen: Mapping[str, Chosen]) -> str:
    built_in = {
        "__interval": Chosen([interval_text(view.interval_ms)]),
        "__interval_ms": Chosen([str(view.interval_ms)]),
    }

    def replaced(found: re.Match[str]) -> str:
        name = found["braced"] or found["bare"]
        value = {**built_in, **chosen}.get(name)
        if value is None:
            raise ConfigError(f"variable ${name} has no value; Grafana would send it as it stands")
        if list(value.values) == [ALL] and value.every is not None:
            return value.every
        return _FORMATS[found["format"] or "glob"](value.values)

    return _REFERENCE.sub(replaced, query)


def _macros(query: str, view: View) -> str:
    values = {
        "timeRangeStart": _rfc3339(view.start_ns),
        "timeRangeStop": _rfc3339(view.stop_ns),
        "windowPeriod": f"{view.interval_ms}ms",
        "bucket": '""',
        "defaultBucket": '"pipeline"',
        "organization": '"truetape"',
    }
    for whole, name in {(found[0], found[2]) for found in _MACRO.finditer(query)}:
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
