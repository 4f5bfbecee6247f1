"""The board of storage: the bars in InfluxDB by resolution, age and state. Data only.

It shows nothing of InfluxDB's tasks and shards: a token that reads buckets cannot read them.
"""

from truetape.dashboards import drawing, flux
from truetape.dashboards.board import Board, Panel, PanelRow
from truetape.dashboards.common import PUBLICATIONS, SET, ZOOM, over_time
from truetape.dashboards.drawing import GREEN, ORANGE, RED
from truetape.market.resolution import Resolution

COUNTED = "1d"
"""The longest range over which bars are counted: a year of seconds would overload InfluxDB."""

_HEAD = flux.lines(
    'import "date"',
    flux.PREFIX,
    f"limit = int(v: {COUNTED})",
    "span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)",
    f"begin = if span > limit then date.sub(d: {COUNTED}, from: v.timeRangeStop) "
    "else v.timeRangeStart",
)
_WIDTHS = [resolution.value for resolution in Resolution]


def _each(name: str, begin: str, condition: str, *shape: str) -> list[str]:
    """Return one statement for each resolution; its variable is `name` and the resolution."""
    return [
        f"{name}{width} = "
        + flux.pipe(
            f'from(bucket: prefix + "bars_{width}")',
            f"range(start: {begin}, stop: v.timeRangeStop)",
            flux.where("bar", condition),
            *shape,
            f'set(key: "resolution", value: "{width}")',
        )
        for width in _WIDTHS
    ]


def _all(*names: str, more: tuple[str, ...] = ()) -> str:
    each = [f"{name}{width}" for name in names for width in _WIDTHS]
    return f"union(tables: [{', '.join((*each, *more))}])"


def _counts(state: str, condition: str) -> list[str]:
    return _each(
        state, "begin", condition, "count()", "group()", "sum()",
        f'set(key: "state", value: "{state}")',
    )  # fmt: skip


_FINAL = _counts("final", 'r._field == "final" and r._value == true')
_PROVISIONAL = _counts("provisional", 'r._field == "final" and r._value == false')
_VOID = _counts("void", 'r._field == "void" and r._value == true')
_SERIES = _each("series", "begin", 'r._field == "rev"', "last()", "group()", "count()")
_ZEROS = [
    f'{{resolution: "{width}", state: "{state}", _value: 0}}'
    for width in _WIDTHS
    for state in ("final", "provisional", "void")
]


def _ends(name: str, function: str, order: str) -> list[str]:
    """Return statements for the oldest or newest bar of each bucket."""
    return _each(
        name, "1970-01-01T00:00:00Z", 'r._field == "rev"', f"{function}()", "group()",
        f'sort(columns: ["_time"], desc: {order})', "limit(n: 1)",
        f'set(key: "end", value: "{name}")', flux.keep("_time", "end"),
    )  # fmt: skip


COMPLETE = Panel(
    "Is what I see complete?",
    f"How many of the five resolutions have bars in the range (at most its last {COUNTED}). In a "
    "session that is open, 1d has none yet.",
    drawing.stat(),
    "none",
    [
        flux.lines(
            _HEAD, *_SERIES, flux.pipe(_all("series"), "group()", "count()", flux.keep("_value"))
        )
    ],
    width=6,
    defaults=drawing.thresholds((None, RED), (1, ORANGE), (5, GREEN))
    | drawing.value_texts({"5": ("all five resolutions", GREEN)}, "no bars"),
)
SERIES = Panel(
    "Series with bars",
    "How many pairs of symbol and venue have bars, by resolution: what the cardinality of a bucket "
    "grows with.",
    drawing.bars_of_rows(),
    "short",
    [
        flux.lines(
            _HEAD,
            *_SERIES,
            flux.pipe(
                _all("series"),
                "group()",
                flux.table_columns(resolution="Resolution", _value="Series"),
            ),
        )
    ],
    width=9,
)
STATES = Panel(
    "Bars by resolution and state",
    f"In the range, at most in its last {COUNTED}. Final bars are exact; provisional ones may "
    "change; void ones have no trades any more and are not drawn.",
    drawing.table("Resolution"),
    "short",
    [
        flux.lines(
            'import "array"',
            _HEAD,
            *_FINAL,
            *_PROVISIONAL,
            *_VOID,
            "zeros = array.from(rows: [" + ", ".join(_ZEROS) + "])",
            flux.pipe(
                _all("final", "provisional", "void", more=("zeros",)),
                flux.group_by("resolution", "state"),
                "sum()",
                "group()",
                'pivot(rowKey: ["resolution"], columnKey: ["state"], valueColumn: "_value")',
                flux.table_columns(
                    resolution="Resolution", final="Final", provisional="Provisional", void="Void"
                ),
            ),
        )
    ],
    width=9,
)  # fmt: skip
EXTENT = Panel(
    "Oldest and newest bar of each bucket",
    "Up to the end of the range. The oldest moves on as retention takes whole shards away.",
    drawing.table("Resolution"),
    "dateTimeAsIso",
    [
        flux.lines(
            flux.PREFIX,
            *_ends("oldest", "first", "false"),
            *_ends("newest", "last", "true"),
            flux.pipe(
                _all("oldest", "newest"),
                "group()",
                'pivot(rowKey: ["resolution"], columnKey: ["end"], valueColumn: "_time")',
                flux.table_columns(resolution="Resolution", oldest="Oldest", newest="Newest"),
            ),
        )
    ],
    width=12,
)
BARS_WRITTEN = Panel(
    "Bars written by the speed layer",
    "In each interval, and those left alone below the fence (fenced) or written anew (mended).",
    drawing.stacked(),
    "short",
    [over_time("speed_batch", name, "sum", "_field") for name in ("bars", "fenced", "mended")],
    width=12,
    max_points=200,
)
EDITS = Panel(
    "Rows written by publications",
    "In each interval, by venue.",
    drawing.stacked("venue"),
    "short",
    [over_time("publication", "edits", "sum", "venue")],
    width=12,
    max_points=200,
)
TRADES = Panel(
    "Trades in the bars",
    "Trades that the bars of each interval count, by venue, from the resolution that the zoom asks "
    "for: a step down is a night, or a feed that fell silent.",
    drawing.stacked("venue"),
    "short",
    [
        flux.pipe(
            flux.lines(flux.bucket_by_zoom(), "from(bucket: bucket)"),
            flux.RANGE,
            flux.where("bar", 'r._field == "trades"'),
            flux.windows_by("sum", "venue"),
        )
    ],
    width=12,
    max_points=200,
)

BOARD = Board(
    uid="truetape-storage",
    folder="pipeline",
    title="Storage",
    description="Which bars InfluxDB holds, in which state, and who wrote them.",
    variables=(SET, ZOOM),
    annotations=(PUBLICATIONS,),
    rows=(
        PanelRow(6, (COMPLETE, SERIES, STATES)),
        PanelRow(8, (EXTENT, TRADES)),
        PanelRow(8, (BARS_WRITTEN, EDITS)),
    ),
    span="24h",
    refresh="1m",
)
