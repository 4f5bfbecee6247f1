"""Queries that several panels of the market board share. Sends nothing."""

from truetape.dashboards import flux

LOOKBACK = "5d"
"""The greatest age of a last price at the end of the range: a long weekend."""
MOVE = "(r.close - r.open) / r.open"
"""The relative move of a symbol, in a row of `first_and_last`."""
NEAR = f"range(start: date.sub(d: {LOOKBACK}, from: v.timeRangeStop), stop: v.timeRangeStop)"


def bars(names: tuple[str, ...], *conditions: str, measurement: str = "bar") -> str:
    """Return the start of a query for bars of the width that the zoom asks for."""
    return flux.pipe(
        flux.lines(flux.bucket_by_zoom(), "from(bucket: bucket)"),
        flux.RANGE,
        flux.where(measurement, flux.fields(*names), *conditions),
    )


def newest_bars(*conditions: str) -> str:
    """Return the start of a query for the newest bar with a price, one of each series."""
    return flux.pipe(
        flux.lines('import "date"', flux.bucket_of("1m"), "from(bucket: bucket)"),
        NEAR,
        flux.where("bar", flux.fields("close"), flux.PRICED, *conditions),
        "last()",
    )


def _count(state: str, *conditions: str) -> str:
    return flux.pipe(
        "from(bucket: bucket)",
        flux.RANGE,
        flux.where("bar", *conditions, flux.SHOWN),
        "count()",
        "group()",
        f'set(key: "state", value: "{state}")',
        flux.keep("state", "_value"),
    )


def states(*last: str) -> str:
    """Return a query that counts bars by state in one row; the `last` steps shape that row."""
    return flux.lines(
        flux.bucket_by_zoom(),
        "final = " + _count("final", 'r._field == "final"', "r._value == true"),
        "provisional = " + _count("provisional", 'r._field == "final"', "r._value == false"),
        "void = " + _count("void", 'r._field == "void"', "r._value == true"),
        'zero = array.from(rows: [{state: "final", _value: 0}, '
        '{state: "provisional", _value: 0}, {state: "void", _value: 0}])',
        flux.pipe(
            "union(tables: [final, provisional, void, zero])",
            flux.group_by("state"),
            "sum()",
            "group()",
            'pivot(rowKey: [], columnKey: ["state"], valueColumn: "_value")',
            *last,
        ),
    )


def _end(name: str, function: str, condition: str) -> str:
    return flux.pipe(
        "from(bucket: bucket)",
        flux.RANGE,
        flux.where("bar", flux.fields(name), flux.PRICED, condition),
        f"{function}()",
        "group()",
        flux.keep("symbol", "venue", "_field", "_value"),
    )


def first_and_last(condition: str, *shape: str) -> str:
    """Return a query for the first open and last close of each series, then the `shape` steps."""
    return flux.lines(
        flux.bucket_by_zoom(),
        f"opened = {_end('open', 'first', condition)}",
        f"closed = {_end('close', 'last', condition)}",
        flux.pipe(
            "union(tables: [opened, closed])",
            'pivot(rowKey: ["symbol", "venue"], columnKey: ["_field"], valueColumn: "_value")',
            *shape,
        ),
    )
