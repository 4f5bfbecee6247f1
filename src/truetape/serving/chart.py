"""The candlestick chart of served bars as an HTML file, drawn by plotly. Reads no store.

The console draws its candles from `console.chart`.
"""

from collections.abc import Iterator, Sequence
from html import escape
from math import ceil
from pathlib import Path
from typing import Any

from truetape.serving.store import ServedBar
from truetape.serving.table import utc

UP, DOWN = "#1a9850", "#d73027"
PROVISIONAL_OPACITY = 0.4
MAX_TICKS = 12


def write_chart(bars: Sequence[ServedBar], title: str, path: Path) -> None:
    """Write an HTML page that needs no network: candles, VWAP and volume, one column a bar.

    Final bars are filled, provisional bars hollow and pale; void bars have no candle. Columns
    follow the order of the bars, not the clock: nights and weekends make no gaps.
    """
    shown = [bar for bar in bars if not bar.void]
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = _figure(shown)
    figure.update_layout(title=escape(title), template="plotly_white")
    figure.write_html(path, include_plotlyjs=True, full_html=True)


def _figure(bars: Sequence[ServedBar]) -> Any:
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.75, 0.25], vertical_spacing=0.03
    )
    final = [bar for bar in bars if bar.final]
    provisional = [bar for bar in bars if not bar.final]
    for kind, candles in (("final", final), ("provisional", provisional)):
        if candles:
            figure.add_trace(_candles(candles, kind), row=1, col=1)
    starts = [utc(bar.start_ns) for bar in bars]
    figure.add_trace(_vwap(bars, starts), row=1, col=1)
    figure.add_trace(_volume(bars), row=2, col=1)
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
        increasing={"line": {"color": UP}, **hollow},
        decreasing={"line": {"color": DOWN}, **hollow},
        opacity=PROVISIONAL_OPACITY if kind == "provisional" else 1.0,
    )


def _vwap(bars: Sequence[ServedBar], starts: Sequence[str]) -> Any:
    from plotly.graph_objects import Scatter

    return Scatter(
        name="vwap",
        x=starts,
        y=[bar.vwap or None for bar in bars],
        mode="lines",
        line={"width": 1, "color": "#4575b4"},
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
