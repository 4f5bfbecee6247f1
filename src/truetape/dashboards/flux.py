"""Flux for the boards: queries put together from the parts that all of them share. Sends nothing.

Grafana replaces `${name:format}` in the browser, then `v.timeRangeStart`, `v.timeRangeStop` and
`$__interval` on its server (docs/GRAFANA.md). What follows `filter` directly is computed by
InfluxDB's storage, so each query aggregates there first and shapes afterwards.
"""

from functools import cache

from truetape.host.errors import ConfigError
from truetape.market.resolution import Resolution
from truetape.serving.buckets import Buckets, load_buckets

HISTORY = "history_"
"""What the names of the set "history" begin with."""

RANGE = "range(start: v.timeRangeStart, stop: v.timeRangeStop)"
SHOWN = "r.symbol == ${symbol:doublequote} and r.venue == ${venue:doublequote}"
"""The series that the market board shows."""
WATCHED = "r.symbol =~ /^(?:${watch:regex})$/"
PRICED = "r._value > 0.0"
"""Prices are positive, but those of a void bar are 0: this leaves it out inside the storage."""
NOT_VOID = "filter(fn: (r) => not r.void)"
PIVOT = 'pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
PREFIX = f'prefix = if "${{set:raw}}" == "history" then "{HISTORY}" else ""'


def pipe(*steps: str) -> str:
    """Write a query: its first step, and one line for each that follows."""
    return "\n  |> ".join(steps)


def fields(*names: str) -> str:
    """Return the condition that keeps some fields."""
    either = " or ".join(f'r._field == "{name}"' for name in names)
    return f"({either})" if len(names) > 1 else either


def where(measurement: str, *conditions: str) -> str:
    """Return the filter that must follow the range: by measurement, then by what else is given."""
    terms = " and ".join((f'r._measurement == "{measurement}"', *conditions))
    return f"filter(fn: (r) => {terms})"


def windows(function: str, every: str = "$__interval", offset: str = "") -> str:
    """Return an aggregate over windows that are stamped with their start, as bars are."""
    wide = f"every: {every}, offset: {offset}" if offset else f"every: {every}"
    return f'aggregateWindow({wide}, fn: {function}, createEmpty: false, timeSrc: "_start")'


def joined_windows(
    function: str, *labels: str, every: str = "$__interval", offset: str = ""
) -> str:
    """Return the steps that make a series over windows for each combination of the labels.

    The storage aggregates each series; where several have the same labels, their windows are added
    up (or the largest is taken) afterwards.
    """
    joined = "max" if function == "max" else "sum"
    return pipe(
        windows(function, every, offset),
        grouped(*labels, "_time"),
        f"{joined}()",
        grouped(*labels),
        'sort(columns: ["_time"])',
    )


def keep(*columns: str) -> str:
    """Return the step that leaves only some columns, thus fewer bytes for the browser."""
    listed = ", ".join(f'"{column}"' for column in columns)
    return f"keep(columns: [{listed}])"


def headed(**headings: str) -> str:
    """Return the steps that end a table: these columns, renamed, in this order.

    `map` gives its columns in another order each time and Grafana shows them as they come; a
    duplicate is always put last.
    """
    copies = [
        f'duplicate(column: "{column}", as: "{heading}")' for column, heading in headings.items()
    ]
    return pipe(*copies, keep(*headings.values()))


def grouped(*columns: str) -> str:
    """Return the step that makes one table for each combination of these columns."""
    listed = ", ".join(f'"{column}"' for column in columns)
    return f"group(columns: [{listed}])" if columns else "group()"


def lines(*parts: str) -> str:
    """Join statements to one query."""
    return "\n".join(parts)


@cache
def following_zoom() -> str:
    """Return the statements that name `bucket`: the finest resolution that the zoom can show.

    Its bars are at least `$__interval` wide, so a panel gets no more of them than its points (and
    half as many again, where Grafana rounds the interval up). `${res}` asks for wider ones. A
    resolution that no longer reaches back to the start of the range is passed over.
    """
    declared = _declared()
    finer = [resolution for resolution in Resolution if resolution is not Resolution.DAY]
    steps = "".join(
        f"if least <= int(v: {one.value}) and kept(d: {declared.bars[one].retention_s}s) "
        f'then "{one.value}" else '
        for one in finer
    )
    return lines(
        PREFIX,
        "age = int(v: now()) - int(v: v.timeRangeStart)",
        'kept = (d) => "${set:raw}" == "history" or age < int(v: d)',
        "least = if int(v: $__interval) > int(v: ${res:raw}) then int(v: $__interval) "
        "else int(v: ${res:raw})",
        f'resolution = {steps}"{Resolution.DAY.value}"',
        'bucket = prefix + "bars_" + resolution',
    )


@cache
def of_resolution(resolution: str) -> str:
    """Return the statements that name `bucket`: the bars of one resolution, whatever the zoom."""
    return lines(PREFIX, f'bucket = prefix + "{_declared().bars[Resolution(resolution)].name}"')


@cache
def of_pipeline() -> str:
    """Return the statements that name `bucket`: what the pipeline says about itself."""
    return lines(PREFIX, f'bucket = prefix + "{_declared().pipeline.name}"')


@cache
def _declared() -> Buckets:
    """The live set; ConfigError when the names of both sets do not follow the boards' rule."""
    live, history = load_buckets("live"), load_buckets("history")
    names = {one.name: other.name for one, other in zip(live.all, history.all, strict=True)}
    wrong = [name for name, other in names.items() if other != HISTORY + name]
    wrong += [one.name for width, one in live.bars.items() if one.name != f"bars_{width.value}"]
    if wrong:
        raise ConfigError(
            f"influx/buckets.yaml: {wrong[0]} does not follow the names that the boards build, "
            f'bars_RESOLUTION and the same behind "{HISTORY}"; rename it or change dashboards.flux'
        )
    return live
