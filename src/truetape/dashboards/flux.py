"""Flux for the boards: functions that build queries from shared parts. Sends no query.

Grafana replaces `${name:format}` in the browser, then `v.timeRangeStart`, `v.timeRangeStop` and
`$__interval` on its server (docs/GRAFANA.md). InfluxDB's storage computes an aggregate that follows
`filter` directly. So each query aggregates first and shapes its rows afterwards.
"""

from functools import cache

from truetape.host.errors import ConfigError
from truetape.market.resolution import Resolution
from truetape.serving.buckets import Buckets, load_buckets

HISTORY = "history_"
"""The prefix of bucket names in the set "history"."""

RANGE = "range(start: v.timeRangeStart, stop: v.timeRangeStop)"
SHOWN = "r.symbol == ${symbol:doublequote} and r.venue == ${venue:doublequote}"
"""The series of the chosen symbol and venue."""
WATCHED = "r.symbol =~ /^(?:${watch:regex})$/"
PRICED = "r._value > 0.0"
"""Excludes void bars inside the storage: their prices are 0, all others are positive."""
NOT_VOID = "filter(fn: (r) => not r.void)"
PIVOT = 'pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
PREFIX = f'prefix = if "${{set:raw}}" == "history" then "{HISTORY}" else ""'


def pipe(*steps: str) -> str:
    """Join the steps of a query, one on each line."""
    return "\n  |> ".join(steps)


def fields(*names: str) -> str:
    """Return the condition that a row has one of these fields."""
    either = " or ".join(f'r._field == "{name}"' for name in names)
    return f"({either})" if len(names) > 1 else either


def where(measurement: str, *conditions: str) -> str:
    """Return the filter that must follow the range: the measurement, then other conditions."""
    terms = " and ".join((f'r._measurement == "{measurement}"', *conditions))
    return f"filter(fn: (r) => {terms})"


def windows(function: str, every: str = "$__interval", offset: str = "") -> str:
    """Return an aggregate over windows. Like a bar, a window has the timestamp of its start."""
    wide = f"every: {every}, offset: {offset}" if offset else f"every: {every}"
    return f'aggregateWindow({wide}, fn: {function}, createEmpty: false, timeSrc: "_start")'


def windows_by(function: str, *labels: str, every: str = "$__interval", offset: str = "") -> str:
    """Return the steps that make a series over windows for each combination of the labels.

    The storage aggregates each stored series. Windows of series with the same labels are then added
    up; for `max`, the largest is taken.
    """
    combine = "max" if function == "max" else "sum"
    return pipe(
        windows(function, every, offset),
        group_by(*labels, "_time"),
        f"{combine}()",
        group_by(*labels),
        'sort(columns: ["_time"])',
    )


def keep(*columns: str) -> str:
    """Return the step that drops all other columns, so that the browser gets fewer bytes."""
    listed = ", ".join(f'"{column}"' for column in columns)
    return f"keep(columns: [{listed}])"


def table_columns(**headings: str) -> str:
    """Return the steps that end a table: these columns, renamed, in this order.

    Grafana shows columns in the order of the answer, and the order after `map` changes with each
    query. A duplicated column always comes last, so duplicates fix the order.
    """
    copies = [
        f'duplicate(column: "{column}", as: "{heading}")' for column, heading in headings.items()
    ]
    return pipe(*copies, keep(*headings.values()))


def group_by(*columns: str) -> str:
    """Return the step that makes one table for each combination of these columns."""
    listed = ", ".join(f'"{column}"' for column in columns)
    return f"group(columns: [{listed}])" if columns else "group()"


def lines(*parts: str) -> str:
    """Join statements into one query."""
    return "\n".join(parts)


@cache
def bucket_by_zoom() -> str:
    """Return the statements that set `bucket`: the finest resolution that the zoom can show.

    Its bars are at least `$__interval` wide, so a panel gets no more bars than its points (half as
    many again if Grafana rounded the interval down). `${res}` asks for wider bars. A resolution
    whose retention does not reach back to the start of the range is skipped.
    """
    declared = _declared()
    finer = [resolution for resolution in Resolution if resolution is not Resolution.DAY]
    steps = "".join(
        f"if least <= int(v: {resolution.value}) "
        f"and is_retained(d: {declared.bars[resolution].retention_s}s) "
        f'then "{resolution.value}" else '
        for resolution in finer
    )
    return lines(
        PREFIX,
        "age = int(v: now()) - int(v: v.timeRangeStart)",
        'is_retained = (d) => "${set:raw}" == "history" or age < int(v: d)',
        "least = if int(v: $__interval) > int(v: ${res:raw}) then int(v: $__interval) "
        "else int(v: ${res:raw})",
        f'resolution = {steps}"{Resolution.DAY.value}"',
        'bucket = prefix + "bars_" + resolution',
    )


@cache
def bucket_of(resolution: str) -> str:
    """Return the statements that set `bucket` to the bars of one resolution at any zoom."""
    return lines(PREFIX, f'bucket = prefix + "{_declared().bars[Resolution(resolution)].name}"')


@cache
def pipeline_bucket() -> str:
    """Return the statements that set `bucket` to the pipeline's metrics."""
    return lines(PREFIX, f'bucket = prefix + "{_declared().pipeline.name}"')


@cache
def _declared() -> Buckets:
    """Return the live set. Raise ConfigError if the bucket names do not follow the boards' rule."""
    live, history = load_buckets("live"), load_buckets("history")
    pairs = zip(live.all, history.all, strict=True)
    wrong = [bucket.name for bucket, old in pairs if old.name != HISTORY + bucket.name]
    wrong += [
        bucket.name
        for resolution, bucket in live.bars.items()
        if bucket.name != f"bars_{resolution.value}"
    ]
    if wrong:
        raise ConfigError(
            f"influx/buckets.yaml: {wrong[0]} does not follow the names that the boards build, "
            f'bars_RESOLUTION and the same after "{HISTORY}"; rename it or change dashboards.flux'
        )
    return live
