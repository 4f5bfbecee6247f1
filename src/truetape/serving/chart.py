"""The candlestick chart of served bars, as an HTML page or as JSON for one. Reads no store."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from html import escape
from math import ceil
from pathlib import Path
from typing import Any

from truetape.serving.store import IndicatorRow, ServedBar
from truetape.serving.table import utc

UP, DOWN = "#1a9850", "#d73027"
PROVISIONAL_OPACITY = 0.4
MAX_TICKS = 12
LINES = {
    "sma_20": "#8e44ad", "sma_50": "#b7950b", "ema_12": "#2874a6", "ema_26": "#ca6f1e",
    "bollinger_upper": "#7f8c8d", "bollinger_lower": "#7f8c8d", "session_vwap": "#117a65",
}  # fmt: skip
"""Indicators in the chart of prices, and their colours; hidden until a click in the legend."""
RSI_BOUNDS = (30, 70)
"""Outside these a symbol counts as oversold or overbought, after Wilder."""


class Oscillator(StrEnum):
    """An indicator that may be drawn below the volume, on its own axis."""

    NONE = ""
    RSI = "rsi"
    MACD = "macd"


OSCILLATORS: Mapping[Oscillator, Mapping[str, str]] = {
    Oscillator.NONE: {},
    Oscillator.RSI: {"rsi_14": "#8e44ad"},
    Oscillator.MACD: {"macd": "#2874a6", "macd_signal": "#ca6f1e"},
}
"""The lines of each, and their colours."""


@dataclass(frozen=True, slots=True)
class Extras:
    """What a chart shows in addition to the bars.

    `changed` has the causes of a bar whose final values differ from its provisional ones, by start.
    """

    indicators: Sequence[IndicatorRow] = ()
    changed: Mapping[int, str] = field(default_factory=dict)
    below: Oscillator = Oscillator.NONE


def write_chart(bars: Sequence[ServedBar], title: str, path: Path) -> None:
    """Write an HTML page that needs no network: candles, VWAP and volume, one column a bar.

    Final bars are filled, provisional bars hollow and pale; void bars have no candle. Columns
    follow the order of the bars, not the clock: nights and weekends make no gaps.
    """
    shown = [bar for bar in bars if not bar.void]
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = _figure(shown, Extras())
    figure.update_layout(title=escape(title), template="plotly_white")
    figure.write_html(path, include_plotlyjs=True, full_html=True)


def figure_json(bars: Sequence[ServedBar], extras: Extras) -> str:
    """Return the same chart as JSON for plotly.js, without the colours of page and text.

    Each candle's `customdata` is the start of its bar in nanoseconds, as text, because JavaScript's
    numbers would round it.
    """
    return as_json(_figure([bar for bar in bars if not bar.void], extras))


def as_json(figure: Any) -> str:
    """Return a figure as JSON for plotly.js; the page sets the colours of background and text."""
    clear = "rgba(0,0,0,0)"
    figure.update_layout(template="none", paper_bgcolor=clear, plot_bgcolor=clear)
    return str(figure.to_json())


def _figure(bars: Sequence[ServedBar], extras: Extras) -> Any:
    from plotly.subplots import make_subplots

    heights = [0.6, 0.18, 0.22] if extras.below else [0.75, 0.25]
    figure = make_subplots(
        rows=len(heights), cols=1, shared_xaxes=True, row_heights=heights, vertical_spacing=0.03
    )
    final = [bar for bar in bars if bar.final]
    provisional = [bar for bar in bars if not bar.final]
    for kind, candles in (("final", final), ("provisional", provisional)):
        if candles:
            figure.add_trace(_candles(candles, kind), row=1, col=1)
    starts = [utc(bar.start_ns) for bar in bars]
    vwaps = [bar.vwap or None for bar in bars]
    figure.add_trace(_line("vwap", starts, vwaps, "#4575b4"), row=1, col=1)
    values = _by_name(bars, extras.indicators)
    for name, color in LINES.items():
        if name in values:
            line = _line(name, starts, values[name], color, visible="legendonly")
            figure.add_trace(line, row=1, col=1)
    if marks := [bar for bar in bars if bar.start_ns in extras.changed]:
        figure.add_trace(_marks(marks, extras.changed), row=1, col=1)
    figure.add_trace(_volume(bars), row=2, col=1)
    for trace in _oscillator(starts, values, extras.below):
        figure.add_trace(trace, row=3, col=1)
    labelled = starts[:: max(1, ceil(len(starts) / MAX_TICKS))]
    figure.update_xaxes(
        type="category",
        categoryorder="array",
        categoryarray=starts,
        tickvals=labelled,
        ticktext=list(_labels(labelled)),
        tickangle=0,
    )
    figure.update_layout(
        hovermode="x unified",
        xaxis_rangeslider_visible=False,
        yaxis_title="price",
        yaxis2_title="volume",
        legend_orientation="h",
    )
    match extras.below:
        case Oscillator.RSI:
            ticks = [0, *RSI_BOUNDS, 100]
            figure.update_layout(yaxis3={"title": "RSI", "range": [0, 100], "tickvals": ticks})
        case Oscillator.MACD:
            figure.update_layout(yaxis3_title="MACD")
        case Oscillator.NONE:
            pass
    return figure


def _labels(starts: Sequence[str]) -> Iterator[str]:
    """Yield the time of day for each candle, with the date if it differs from the one before."""
    before = ""
    for start in starts:
        day, _, clock = start.removesuffix("Z").partition("T")
        yield (
            clock.removesuffix(":00") if day == before else f"{clock.removesuffix(':00')}<br>{day}"
        )
        before = day


def _candles(bars: Sequence[ServedBar], kind: str) -> Any:
    from plotly.graph_objects import Candlestick

    hollow = {"fillcolor": "rgba(0,0,0,0)"} if kind == "provisional" else {}
    return Candlestick(
        name=kind,
        x=[utc(bar.start_ns) for bar in bars],
        open=[bar.open for bar in bars],
        high=[bar.high for bar in bars],
        low=[bar.low for bar in bars],
        close=[bar.close for bar in bars],
        text=[f"{kind}, {bar.layer} rev {bar.rev}, {bar.trades:,} trades" for bar in bars],
        customdata=[str(bar.start_ns) for bar in bars],
        increasing={"line": {"color": UP}, **hollow},
        decreasing={"line": {"color": DOWN}, **hollow},
        opacity=PROVISIONAL_OPACITY if kind == "provisional" else 1.0,
    )


Values = Mapping[str, Sequence[float | None]]
"""Indicators by name, with one value for each bar; indicators without any value are left out."""


def _by_name(bars: Sequence[ServedBar], rows: Sequence[IndicatorRow]) -> Values:
    by_start = {row.start_ns: row.values for row in rows if not row.void}
    names = sorted({name for values in by_start.values() for name in values})
    lines = {name: [by_start.get(bar.start_ns, {}).get(name) for bar in bars] for name in names}
    return {name: values for name, values in lines.items() if set(values) - {None}}


def _line(
    name: str,
    starts: Sequence[str],
    values: Sequence[float | None],
    color: str,
    *,
    visible: str | bool = True,
) -> Any:
    from plotly.graph_objects import Scatter

    return Scatter(
        name=name,
        x=starts,
        y=values,
        mode="lines",
        visible=visible,
        line={"width": 1, "color": color},
    )


def _oscillator(starts: Sequence[str], values: Values, below: Oscillator) -> Iterator[Any]:
    from plotly.graph_objects import Bar

    if below is Oscillator.MACD:
        heights = values.get("macd_histogram", [None] * len(starts))
        yield Bar(
            name="macd_histogram",
            x=starts,
            y=heights,
            marker={"color": [UP if (height or 0) >= 0 else DOWN for height in heights]},
            opacity=PROVISIONAL_OPACITY,
        )
    for name, color in OSCILLATORS[below].items():
        if name in values:
            yield _line(name, starts, values[name], color)


def _marks(bars: Sequence[ServedBar], causes: Mapping[int, str]) -> Any:
    from plotly.graph_objects import Scatter

    return Scatter(
        name="changed since it was provisional",
        x=[utc(bar.start_ns) for bar in bars],
        y=[bar.high for bar in bars],
        text=[causes[bar.start_ns] for bar in bars],
        customdata=[str(bar.start_ns) for bar in bars],
        mode="markers",
        marker={"symbol": "triangle-down", "size": 9, "color": "#e67e22"},
    )


def _volume(bars: Sequence[ServedBar]) -> Any:
    from plotly.graph_objects import Bar

    return Bar(
        name="volume",
        x=[utc(bar.start_ns) for bar in bars],
        y=[bar.volume for bar in bars],
        marker={
            "color": [UP if bar.close >= bar.open else DOWN for bar in bars],
            "opacity": [1.0 if bar.final else PROVISIONAL_OPACITY for bar in bars],
        },
        showlegend=False,
    )
