"""The candlestick chart of served bars: the only plotly import. Reads no store."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from truetape.serving.store import ServedBar
from truetape.serving.table import utc

UP, DOWN = "#1a9850", "#d73027"
PROVISIONAL_OPACITY = 0.4
MAX_TICKS = 12


def write_chart(bars: Sequence[ServedBar], title: str, path: Path) -> None:
    """Write an HTML page that needs no network: candles, VWAP and volume, one place a bar.

    Final bars are filled, provisional ones hollow and pale; void ones leave no candle. Places
    follow the order of the bars, not the clock, so nights and weekends are not gaps.
    """
    shown = [bar for bar in bars if not bar.void]
    path.parent.mkdir(parents=True, exist_ok=True)
    _figure(shown, title).write_html(path, include_plotlyjs=True, full_html=True)


def _figure(bars: Sequence[ServedBar], title: str) -> Any:
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.75, 0.25], vertical_spacing=0.03
    )
    final = [bar for bar in bars if bar.final]
    provisional = [bar for bar in bars if not bar.final]
    for kind, some in (("final", final), ("provisional", provisional)):
        if some:
            figure.add_trace(_candles(some, kind), row=1, col=1)
    figure.add_trace(_vwap(bars), row=1, col=1)
    figure.add_trace(_volume(bars), row=2, col=1)
    starts = [utc(bar.start_ns) for bar in bars]
    figure.update_xaxes(
        type="category", categoryorder="array", categoryarray=starts, nticks=MAX_TICKS
    )
    figure.update_layout(
        title=escape(title),
        template="plotly_white",
        hovermode="x unified",
        xaxis_rangeslider_visible=False,
        yaxis_title="price",
        yaxis2_title="volume",
        legend_orientation="h",
    )
    return figure


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


def _vwap(bars: Sequence[ServedBar]) -> Any:
    from plotly.graph_objects import Scatter

    return Scatter(
        name="vwap",
        x=[utc(bar.start_ns) for bar in bars],
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
