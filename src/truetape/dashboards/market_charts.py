"""Charts of one symbol: candles, oscillators below them, lines without gaps. Data only."""

from truetape.dashboards import drawing, flux
from truetape.dashboards.board import Panel
from truetape.dashboards.drawing import BLUE, ORANGE, RED
from truetape.dashboards.market_queries import bars

OVERLAYS = ("sma_20", "sma_50", "ema_12", "session_vwap")
MAX_SESSIONS = "14d"


def _indicators(*names: str) -> str:
    return flux.pipe(
        bars(names, flux.SHOWN, measurement="indicator"),
        flux.group_by("_field"),
        flux.keep("_field", "_time", "_value"),
    )


CANDLES = Panel(
    "Candles of $symbol",
    "Bars as they are served, with moving averages and session VWAP where a bar has them (the "
    "speed layer makes none). An orange point on a candle's close: that bar is provisional. No bar "
    "is put together here: another zoom reads another resolution. Void bars are left out.",
    drawing.candles(),
    "none",
    [
        flux.lines(
            'import "internal/debug"',
            flux.pipe(
                bars(("open", "high", "low", "close", "volume", "final", "void"), flux.SHOWN),
                flux.PIVOT,
                flux.NOT_VOID,
                "map(fn: (r) => ({r with provisional: "
                'if r.final then debug.null(type: "float") else r.close}))',
                "group()",
                flux.keep("_time", "open", "high", "low", "close", "volume", "provisional"),
            ),
        ),
        flux.pipe(
            bars((*OVERLAYS, "void"), flux.SHOWN, measurement="indicator"),
            flux.PIVOT,
            flux.NOT_VOID,
            "group()",
            flux.keep("_time", *OVERLAYS),
        ),
    ],
    width=24,
    overrides={
        "provisional": {
            "custom.drawStyle": "points",
            "custom.pointSize": 5,
            **drawing.fixed_colour(ORANGE),
        },
        "volume": {"unit": "short"},
    },
)
RSI = Panel(
    "RSI of $symbol",
    "Relative strength after Wilder, over 14 closes: above 70 the symbol rose much and without "
    "pause, below 30 it fell so. Only published bars have one.",
    drawing.lines(at_thresholds=True),
    "none",
    [_indicators("rsi_14")],
    width=12,
    defaults=drawing.thresholds((None, RED), (30, BLUE), (70, RED))
    | drawing.fixed_colour(BLUE)
    | {"min": 0, "max": 100},
)
MACD = Panel(
    "MACD of $symbol",
    "EMA 12 minus EMA 26 of the closes, its own EMA 9 (the signal), and the difference of the two. "
    "Only published bars have them.",
    drawing.lines(),
    "none",
    [_indicators("macd", "macd_signal", "macd_histogram")],
    width=12,
    overrides={
        "macd_histogram": {
            "custom.drawStyle": "bars",
            "custom.fillOpacity": 50,
            **drawing.fixed_colour(ORANGE),
        }
    },
)
GAPLESS = Panel(
    "Close without gaps",
    "Closes in view, one after the other: the horizontal axis counts bars, so nights and weekends "
    "take no room. Times are in the tooltip.",
    drawing.across("bar"),
    "none",
    [
        flux.pipe(
            bars(("close",), flux.PRICED, flux.SHOWN),
            "map(fn: (r) => ({_time: r._time, bar: 1, close: r._value}))",
            "group()",
            'cumulativeSum(columns: ["bar"])',
        )
    ],
    width=12,
    overrides={"bar": {"unit": "none"}},
)
SESSIONS = Panel(
    "Sessions over each other",
    f"Closes of the sessions in view (of the last {MAX_SESSIONS} of them), each from its own "
    "start: the horizontal axis is `seq`, the place of a bar in its trading day. A session is "
    "named by the instant at which it begins, in UTC.",
    drawing.across("seq"),
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
    overrides={"seq": {"unit": "none"}},
    max_points=1_000,
)
