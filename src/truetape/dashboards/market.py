"""The market board: bars of one symbol as they are served, and those of a watchlist. Data only."""

from truetape.dashboards import drawing, flux
from truetape.dashboards.board import Asked, Board, Panel, Row
from truetape.dashboards.common import AIRFLOW, BOUNDARIES, PUBLICATIONS, SET, ZOOM
from truetape.dashboards.drawing import BLUE, GREEN, ORANGE, RED

OVERLAYS = ("sma_20", "sma_50", "ema_12", "session_vwap")
LOOKBACK = "5d"
"""How far behind the end of the range a last price may lie: a long weekend."""
MAX_SESSIONS = "14d"
LISTED_BARS = 50
MOVERS = 10

_NEAR = f"range(start: date.sub(d: {LOOKBACK}, from: v.timeRangeStop), stop: v.timeRangeStop)"


def _symbols(name: str, label: str, description: str, *, many: bool) -> Asked:
    query = flux.lines(
        'import "influxdata/influxdb/schema"',
        flux.of_resolution("1m"),
        'schema.tagValues(bucket: bucket, tag: "symbol", start: -30y, '
        'predicate: (r) => r._measurement == "bar" and r._field == "close")',
    )
    return Asked(name, label, description, query, many)


VARIABLES = (
    SET,
    _symbols("symbol", "Symbol", "The symbol of the charts.", many=False),
    Asked(
        "venue",
        "Venue",
        "The market of the charts: the symbol's own one, unless it has several.",
        flux.lines(
            'import "influxdata/influxdb/schema"',
            flux.of_resolution("1m"),
            'schema.tagValues(bucket: bucket, tag: "venue", start: -30y, predicate: (r) => '
            'r._measurement == "bar" and r._field == "close" and '
            "r.symbol == ${symbol:doublequote})",
        ),
    ),
    ZOOM,
    _symbols("watch", "Watchlist", "The symbols of the tables and of the volume.", many=True),
    AIRFLOW,
)


def _bars(names: tuple[str, ...], *conditions: str, measurement: str = "bar") -> str:
    """Return the beginning of a query for bars of the width that the zoom asks for."""
    return flux.pipe(
        flux.lines(flux.following_zoom(), "from(bucket: bucket)"),
        flux.RANGE,
        flux.where(measurement, flux.fields(*names), *conditions),
    )


def _newest(*conditions: str) -> str:
    """Return the beginning of a query for the newest bars that have a price, one a series."""
    return flux.pipe(
        flux.lines('import "date"', flux.of_resolution("1m"), "from(bucket: bucket)"),
        _NEAR,
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


def _states(*last: str) -> str:
    """Return a query that counts bars by state, in one row, and shapes that row."""
    return flux.lines(
        flux.following_zoom(),
        "final = " + _count("final", 'r._field == "final"', "r._value == true"),
        "provisional = " + _count("provisional", 'r._field == "final"', "r._value == false"),
        "void = " + _count("void", 'r._field == "void"', "r._value == true"),
        'zero = array.from(rows: [{state: "final", _value: 0}, '
        '{state: "provisional", _value: 0}, {state: "void", _value: 0}])',
        flux.pipe(
            "union(tables: [final, provisional, void, zero])",
            flux.grouped("state"),
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


def _first_and_last(condition: str, *shape: str) -> str:
    """Return a query for the first open and last close of each series, shaped by what follows."""
    return flux.lines(
        flux.following_zoom(),
        f"opened = {_end('open', 'first', condition)}",
        f"closed = {_end('close', 'last', condition)}",
        flux.pipe(
            "union(tables: [opened, closed])",
            'pivot(rowKey: ["symbol", "venue"], columnKey: ["_field"], valueColumn: "_value")',
            *shape,
        ),
    )


_CHANGE = "(r.close - r.open) / r.open"

COMPLETE = Panel(
    "Is what I see complete?",
    "The share of the bars in view that are final: made from every trade that was archived, and "
    "checked. Below 100 % some are provisional and may still change.",
    "stat",
    "percentunit",
    [
        flux.lines(
            'import "array"',
            _states(
                "filter(fn: (r) => r.final + r.provisional > 0)",
                "map(fn: (r) => ({_value: float(v: r.final) / float(v: r.final + r.provisional)}))",
            ),
        )
    ],
    width=4,
    defaults={
        **drawing.thresholds((None, ORANGE), (1.0, GREEN)),
        **drawing.said({}, "no bars"),
        "decimals": 1,
    },
    options=drawing.stat(),
)
STATES = Panel(
    "Bars by state",
    "How many of the bars in view are final, provisional, or void. A void bar had trades, all of "
    "which were taken back; it is not drawn.",
    "stat",
    "short",
    [
        flux.lines(
            'import "array"',
            _states(flux.headed(final="Final", provisional="Provisional", void="Void")),
        )
    ],
    width=6,
    options=drawing.stat(names=True),
)
LAST = Panel(
    "Last price",
    "The close of the newest bar of a minute that has a price, up to the end of the range.",
    "stat",
    "none",
    [flux.pipe(_newest(flux.SHOWN), "group()", flux.keep("_time", "_value"))],
    width=4,
    options=drawing.stat(),
)
AGE = Panel(
    "Age of the newest bar",
    "From the start of the newest bar of a minute to the end of the range. In a session that is "
    "open, over two minutes means that the speed layer is behind or that nothing trades.",
    "stat",
    "s",
    [
        flux.pipe(
            _newest(flux.SHOWN),
            "group()",
            "map(fn: (r) => ({_value: "
            "float(v: int(v: v.timeRangeStop) - int(v: r._time)) / 1000000000.0}))",
        )
    ],
    width=4,
    defaults=drawing.thresholds((None, GREEN), (120, ORANGE), (600, RED)),
    options=drawing.stat(),
)
CHANGE = Panel(
    "Change over the range",
    "From the first open to the last close in view.",
    "stat",
    "percentunit",
    [_first_and_last(flux.SHOWN, f"map(fn: (r) => ({{_value: {_CHANGE}}}))")],
    width=3,
    defaults={**drawing.thresholds((None, RED), (0, GREEN)), "decimals": 2},
    options=drawing.stat(),
)
VOLUME = Panel(
    "Volume",
    "Size of all prints in view that count for volume.",
    "stat",
    "short",
    [flux.pipe(_bars(("volume",), flux.SHOWN), "sum()", "group()", flux.keep("_value"))],
    width=3,
    options=drawing.stat(),
)
CANDLES = Panel(
    "Candles of $symbol",
    "Bars as they are served, with moving averages and session VWAP where a bar has them (the "
    "speed layer makes none). An orange point on a candle's close: that bar is provisional. No bar "
    "is put together here: another zoom reads another resolution. Void bars are left out.",
    "candlestick",
    "none",
    [
        flux.lines(
            'import "internal/debug"',
            flux.pipe(
                _bars(("open", "high", "low", "close", "volume", "final", "void"), flux.SHOWN),
                flux.PIVOT,
                flux.NOT_VOID,
                "map(fn: (r) => ({r with provisional: "
                'if r.final then debug.null(type: "float") else r.close}))',
                "group()",
                flux.keep("_time", "open", "high", "low", "close", "volume", "provisional"),
            ),
        ),
        flux.pipe(
            _bars((*OVERLAYS, "void"), flux.SHOWN, measurement="indicator"),
            flux.PIVOT,
            flux.NOT_VOID,
            "group()",
            flux.keep("_time", *OVERLAYS),
        ),
    ],
    width=24,
    defaults={"custom": {"lineWidth": 1, "fillOpacity": 0, "spanNulls": False}},
    options=drawing.CANDLES,
    overrides={
        "provisional": {
            "custom.drawStyle": "points",
            "custom.pointSize": 5,
            "color": {"mode": "fixed", "fixedColor": ORANGE},
        },
        "volume": {"unit": "short"},
    },
)
GAPLESS = Panel(
    "Close without gaps",
    "Closes in view, one after the other: the horizontal axis counts bars, so nights and weekends "
    "take no room. Times are in the tooltip.",
    "trend",
    "none",
    [
        flux.pipe(
            _bars(("close",), flux.PRICED, flux.SHOWN),
            "map(fn: (r) => ({_time: r._time, bar: 1, close: r._value}))",
            "group()",
            'cumulativeSum(columns: ["bar"])',
        )
    ],
    width=12,
    options={"xField": "bar", **drawing.series()},
    overrides={"bar": {"unit": "none"}},
)
SESSIONS = Panel(
    "Sessions over each other",
    f"Closes of the sessions in view (of the last {MAX_SESSIONS} of them), each from its own "
    "start: the horizontal axis is `seq`, the place of a bar in its trading day. A session is "
    "named by its venue's midnight, in UTC.",
    "trend",
    "none",
    [
        flux.lines(
            'import "date"',
            flux.PREFIX,
            f"limit = int(v: {MAX_SESSIONS})",
            "span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)",
            "begin = if span > limit then "
            f"date.sub(d: {MAX_SESSIONS}, from: v.timeRangeStop) else v.timeRangeStart",
            "fine = span <= int(v: 2d)",
            "width = if fine then int(v: 1m) else int(v: 5m)",
            flux.pipe(
                'from(bucket: prefix + (if fine then "bars_1m" else "bars_5m"))',
                "range(start: begin, stop: v.timeRangeStop)",
                flux.where("bar", flux.fields("close", "seq", "void"), flux.SHOWN),
                flux.PIVOT,
                flux.NOT_VOID,
                "map(fn: (r) => ({seq: r.seq, close: r.close, "
                "session: string(v: time(v: int(v: r._time) - r.seq * width))}))",
                "group()",
                'pivot(rowKey: ["seq"], columnKey: ["session"], valueColumn: "close")',
                'sort(columns: ["seq"])',
            ),
        )
    ],
    width=12,
    options={"xField": "seq", **drawing.series()},
    overrides={"seq": {"unit": "none"}},
    max_points=1_000,
)
WATCHLIST = Panel(
    "Watchlist",
    "The newest price of each symbol within five days of the end of the range, how old it is, and "
    "the publication that made it: none yet means provisional.",
    "table",
    "none",
    [
        flux.pipe(
            flux.lines('import "date"', flux.of_resolution("1m"), "from(bucket: bucket)"),
            _NEAR,
            flux.where(
                "bar",
                f'((r._field == "close" and {flux.PRICED}) or r._field == "rev")',
                flux.WATCHED,
            ),
            "last()",
            "toFloat()",
            "group()",
            'pivot(rowKey: ["symbol", "venue", "_time"], columnKey: ["_field"], '
            'valueColumn: "_value")',
            "filter(fn: (r) => exists r.close)",
            "map(fn: (r) => ({symbol: r.symbol, venue: r.venue, last: r.close, "
            "age: float(v: int(v: v.timeRangeStop) - int(v: r._time)) / 1000000000.0, "
            "rev: if exists r.rev then r.rev else 0.0}))",
            flux.headed(symbol="Symbol", venue="Venue", last="Last", age="Age", rev="Rev"),
        )
    ],
    width=10,
    defaults={"custom": {"align": "auto", "filterable": True}},
    options=drawing.table("Symbol"),
    overrides={
        "Age": {"unit": "s", "custom.width": 110},
        "Rev": {
            "mappings": [
                {"type": "value", "options": {"0": {"text": "provisional", "color": ORANGE}}}
            ],
            "custom.cellOptions": {"type": "color-text"},
        },
    },
    max_points=1_000,
)
VENUE_VOLUME = Panel(
    "Volume by venue",
    "Volume of the watchlist, added up by market.",
    "timeseries",
    "short",
    [
        flux.pipe(
            _bars(("volume",), flux.WATCHED),
            flux.windows("sum"),
            flux.grouped("venue", "_time"),
            "sum()",
            flux.grouped("venue"),
            'sort(columns: ["_time"])',
        )
    ],
    width=7,
    defaults=drawing.stacked(drawing.label("venue")),
    options=drawing.series("sum"),
    max_points=100,
)
BREADTH = Panel(
    "Breadth by venue",
    "How many symbols of the watchlist closed the range above, below, or where it opened for them.",
    "table",
    "none",
    [
        _first_and_last(
            flux.WATCHED,
            "map(fn: (r) => ({venue: r.venue, "
            "advancing: if r.close > r.open then 1 else 0, "
            "declining: if r.close < r.open then 1 else 0, "
            "unchanged: if r.close == r.open then 1 else 0}))",
            flux.grouped("venue"),
            "reduce(identity: {advancing: 0, declining: 0, unchanged: 0}, "
            "fn: (r, accumulator) => ({advancing: accumulator.advancing + r.advancing, "
            "declining: accumulator.declining + r.declining, "
            "unchanged: accumulator.unchanged + r.unchanged}))",
            "group()",
            flux.headed(venue="Venue", advancing="Up", declining="Down", unchanged="Unchanged"),
        )
    ],
    width=7,
    defaults={"custom": {"align": "auto"}},
    options=drawing.table("Venue"),
)
LARGEST = Panel(
    "Largest moves",
    f"The {MOVERS} symbols of the watchlist that moved most, from their first open to their last "
    "close in view.",
    "bargauge",
    "percentunit",
    [
        _first_and_last(
            flux.WATCHED,
            f"map(fn: (r) => ({{symbol: r.symbol, change: {_CHANGE}, "
            f"size: if {_CHANGE} < 0.0 then -({_CHANGE}) else {_CHANGE}}}))",
            f'top(n: {MOVERS}, columns: ["size"])',
            flux.headed(symbol="Symbol", change="Change"),
        )
    ],
    width=8,
    defaults={**drawing.thresholds((None, RED), (0, GREEN)), "decimals": 2},
    options=drawing.bars_of_rows(),
)
LISTED = Panel(
    "Newest bars of $symbol",
    f"The last {LISTED_BARS} bars in view. A click on `Rev` opens the bar's lineage in truetape's "
    "console: the trades that made it, what was left out and why, and what each publication "
    "changed.",
    "table",
    "none",
    [
        flux.pipe(
            _bars(
                ("open", "high", "low", "close", "volume", "trades", "rev", "final", "void"),
                flux.SHOWN,
            ),
            flux.PIVOT,
            flux.NOT_VOID,
            "group()",
            f"tail(n: {LISTED_BARS})",
            "map(fn: (r) => ({r with resolution: resolution, start_ns: string(v: int(v: r._time)), "
            'state: if r.final then "final" else "provisional"}))',
            flux.headed(
                _time="Start", open="Open", high="High", low="Low", close="Close",
                volume="Volume", trades="Trades", state="State", rev="Rev",
                resolution="Resolution", start_ns="Nanoseconds",
            ),
        )
    ],
    width=16,
    defaults={"custom": {"align": "auto"}},
    options=drawing.table("Start", descending=True),
    overrides={
        "Volume": {"unit": "short"},
        "Trades": {"unit": "short"},
        "State": {
            "mappings": [
                {
                    "type": "value",
                    "options": {
                        "final": {"text": "final", "color": GREEN},
                        "provisional": {"text": "provisional", "color": ORANGE},
                    },
                }
            ],
            "custom.cellOptions": {"type": "color-text"},
        },
        "Nanoseconds": {"custom.hidden": True},
        "Rev": {
            "links": [
                {
                    "title": "lineage of this bar",
                    "url": "${airflow}/truetape/market/bar?symbol=${symbol:percentencode}"
                    "&venue=${venue:percentencode}&resolution=${__data.fields.Resolution}"
                    "&start_ns=${__data.fields.Nanoseconds}",
                    "targetBlank": True,
                }
            ],
            "color": {"mode": "fixed", "fixedColor": BLUE},
        },
    },
)  # fmt: skip

BOARD = Board(
    uid="truetape-market",
    folder="market",
    title="Market",
    description="Bars as readers are served them, provisional ones marked.",
    variables=VARIABLES,
    annotations=(PUBLICATIONS, BOUNDARIES),
    rows=(
        Row(4, (COMPLETE, LAST, AGE, CHANGE, VOLUME, STATES)),
        Row(14, (CANDLES,)),
        Row(9, (GAPLESS, SESSIONS)),
        Row(10, (WATCHLIST, VENUE_VOLUME, BREADTH)),
        Row(11, (LARGEST, LISTED)),
    ),
    span="6h",
    refresh="1m",
)
