"""The numbers at the top of the market board: completeness, last price, age. Data only."""

from truetape.dashboards import drawing, flux
from truetape.dashboards.board import Panel
from truetape.dashboards.drawing import GREEN, ORANGE, RED
from truetape.dashboards.market_queries import MOVE, bars, first_and_last, newest_bars, states

COMPLETE = Panel(
    "Is what I see complete?",
    "The share of the bars in view that are final: made from every trade that was archived, and "
    "checked. Below 100 % some are provisional and may still change.",
    drawing.stat(),
    "percentunit",
    [
        flux.lines(
            'import "array"',
            states(
                "filter(fn: (r) => r.final + r.provisional > 0)",
                "map(fn: (r) => ({_value: float(v: r.final) / float(v: r.final + r.provisional)}))",
            ),
        )
    ],
    width=4,
    defaults=drawing.thresholds((None, ORANGE), (1.0, GREEN))
    | drawing.value_texts({}, "no bars")
    | {"decimals": 1},
)
STATES = Panel(
    "Bars by state",
    "How many of the bars in view are final, provisional, or void. A void bar had trades, all of "
    "which were taken back; it is not drawn.",
    drawing.stat(names=True),
    "short",
    [
        flux.lines(
            'import "array"',
            states(flux.table_columns(final="Final", provisional="Provisional", void="Void")),
        )
    ],
    width=6,
)
LAST = Panel(
    "Last price",
    "The close of the newest bar of a minute that has a price, up to the end of the range.",
    drawing.stat(),
    "none",
    [flux.pipe(newest_bars(flux.SHOWN), "group()", flux.keep("_time", "_value"))],
    width=4,
)
AGE = Panel(
    "Age of the newest bar",
    "From the start of the newest bar of a minute to the end of the range. In a session that is "
    "open, over two minutes means that the speed layer is behind or that nothing trades.",
    drawing.stat(),
    "s",
    [
        flux.pipe(
            newest_bars(flux.SHOWN),
            "group()",
            "map(fn: (r) => ({_value: "
            "float(v: int(v: v.timeRangeStop) - int(v: r._time)) / 1000000000.0}))",
        )
    ],
    width=4,
    defaults=drawing.thresholds((None, GREEN), (120, ORANGE), (600, RED)),
)
CHANGE = Panel(
    "Change over the range",
    "From the first open to the last close in view.",
    drawing.stat(),
    "percentunit",
    [first_and_last(flux.SHOWN, f"map(fn: (r) => ({{_value: {MOVE}}}))")],
    width=3,
    defaults=drawing.thresholds((None, RED), (0, GREEN)) | {"decimals": 2},
)
VOLUME = Panel(
    "Volume",
    "Size of all prints in view that count for volume.",
    drawing.stat(),
    "short",
    [flux.pipe(bars(("volume",), flux.SHOWN), "sum()", "group()", flux.keep("_value"))],
    width=3,
)
