"""Tables of the market board: watchlist, its moves, the newest bars of one symbol. Data only."""

from truetape.dashboards import drawing, flux
from truetape.dashboards.board import Panel
from truetape.dashboards.drawing import BLUE, GREEN, ORANGE, RED
from truetape.dashboards.market_queries import MOVE, NEAR, bars, first_and_last

LISTED_BARS = 50
MOVERS = 10
_BY_DAY = "150d"
"""The widest range whose volume is shown by day: 100 trading days."""

WATCHLIST = Panel(
    "Watchlist",
    "The newest price of each symbol within five days of the end of the range, how old it is, and "
    "the publication that made it: none yet means provisional.",
    drawing.table("Symbol", filterable=True),
    "none",
    [
        flux.pipe(
            flux.lines('import "date"', flux.bucket_of("1m"), "from(bucket: bucket)"),
            NEAR,
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
            flux.table_columns(symbol="Symbol", venue="Venue", last="Last", age="Age", rev="Rev"),
        )
    ],
    width=10,
    overrides={
        "Age": {"unit": "s", "custom.width": 110},
        "Rev": drawing.cell_texts({"0": ("provisional", ORANGE)}),
    },
    max_points=1_000,
)
VENUE_VOLUME = Panel(
    "Volume by venue",
    "Volume of the watchlist, added up by market; over half a year and more, by week from Monday.",
    drawing.stacked("venue"),
    "short",
    [
        flux.lines(
            # Grafana's own interval stays a day up to a range of a hundred weeks
            f"by_week = int(v: v.timeRangeStop) - int(v: v.timeRangeStart) > int(v: {_BY_DAY})",
            "width = if by_week then 7d else $__interval",
            flux.pipe(
                bars(("volume",), flux.WATCHED),
                flux.windows_by("sum", "venue", every="width", offset="4d"),
            ),
        )
    ],
    width=7,
    max_points=100,
)
BREADTH = Panel(
    "Breadth by venue",
    "How many symbols of the watchlist closed the range above, below, or where it opened for them.",
    drawing.table("Venue"),
    "none",
    [
        first_and_last(
            flux.WATCHED,
            "map(fn: (r) => ({venue: r.venue, "
            "advancing: if r.close > r.open then 1 else 0, "
            "declining: if r.close < r.open then 1 else 0, "
            "unchanged: if r.close == r.open then 1 else 0}))",
            flux.group_by("venue"),
            "reduce(identity: {advancing: 0, declining: 0, unchanged: 0}, "
            "fn: (r, accumulator) => ({advancing: accumulator.advancing + r.advancing, "
            "declining: accumulator.declining + r.declining, "
            "unchanged: accumulator.unchanged + r.unchanged}))",
            "group()",
            flux.table_columns(
                venue="Venue", advancing="Up", declining="Down", unchanged="Unchanged"
            ),
        )
    ],
    width=7,
)
LARGEST = Panel(
    "Largest moves",
    f"The {MOVERS} symbols of the watchlist that moved most, from their first open to their last "
    "close in view.",
    drawing.bars_of_rows(),
    "percentunit",
    [
        first_and_last(
            flux.WATCHED,
            f"map(fn: (r) => ({{symbol: r.symbol, change: {MOVE}, "
            f"size: if {MOVE} < 0.0 then -({MOVE}) else {MOVE}}}))",
            f'top(n: {MOVERS}, columns: ["size"])',
            flux.table_columns(symbol="Symbol", change="Change"),
        )
    ],
    width=8,
    defaults=drawing.thresholds((None, RED), (0, GREEN)) | {"decimals": 2},
)
LISTED = Panel(
    "Newest bars of $symbol",
    f"The last {LISTED_BARS} bars in view. A click on `Rev` opens the bar's lineage in truetape's "
    "console: the trades that made it, what was left out and why, and what each publication "
    "changed.",
    drawing.table("Start", descending=True),
    "none",
    [
        flux.pipe(
            bars(
                ("open", "high", "low", "close", "volume", "trades", "rev", "final", "void"),
                flux.SHOWN,
            ),
            flux.PIVOT,
            flux.NOT_VOID,
            "group()",
            f"tail(n: {LISTED_BARS})",
            "map(fn: (r) => ({r with resolution: resolution, start_ns: string(v: int(v: r._time)), "
            'state: if r.final then "final" else "provisional"}))',
            flux.table_columns(
                _time="Start", open="Open", high="High", low="Low", close="Close",
                volume="Volume", trades="Trades", state="State", rev="Rev",
                resolution="Resolution", start_ns="Nanoseconds",
            ),
        )
    ],
    width=16,
    overrides={
        "Volume": {"unit": "short"},
        "Trades": {"unit": "short"},
        "State": drawing.cell_texts(
            {"final": ("final", GREEN), "provisional": ("provisional", ORANGE)}
        ),
        "Nanoseconds": {"custom.hidden": True},
        "Rev": drawing.cell_links(
            {
                "lineage of this bar": "${airflow}/truetape/market/bar"
                "?symbol=${symbol:percentencode}&venue=${venue:percentencode}"
                "&resolution=${__data.fields.Resolution}&start_ns=${__data.fields.Nanoseconds}"
            }
        )
        | drawing.fixed_colour(BLUE),
    },
)  # fmt: skip
