"""The chart of drift; the only module of this room that imports plotly. Reads no ledger."""

from collections import defaultdict
from collections.abc import Sequence
from html import escape
from math import ceil
from pathlib import Path
from typing import Any

from truetape.drift.attribution import Cause
from truetape.drift.ledger import BarDrift
from truetape.market.resolution import Resolution
from truetape.serving.chart import as_json
from truetape.serving.table import utc

COLOURS = {
    Cause.MISSING: "#7f7f7f",
    Cause.LATE: "#4575b4",
    Cause.DUPLICATE: "#91bfdb",
    Cause.CORRECTION: "#fdae61",
    Cause.CANCEL: "#f46d43",
    Cause.ELIGIBILITY: "#66bd63",
    Cause.REVERT: "#d9b44a",
    Cause.UNEXPLAINED: "#d7191c",
}
SLOT = Resolution.FIVE_MINUTES
"""The chart of one session counts its bars in slots of this width."""
MAX_TICKS = 12


def write_drift_chart(entries: Sequence[BarDrift], title: str, path: Path) -> None:
    """Write an HTML page that needs no network: changed bars by cause, and the change of volume.

    The x axis is the time of day for one session, else the sessions.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = _figure(entries)
    figure.update_layout(title=escape(title), template="plotly_white")
    figure.write_html(path, include_plotlyjs=True, full_html=True)


def figure_json(entries: Sequence[BarDrift]) -> str:
    """Return the same chart as JSON for plotly.js, without the colours of page and text."""
    return as_json(_figure(entries))


def _figure(entries: Sequence[BarDrift]) -> Any:
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.6, 0.4], vertical_spacing=0.05
    )
    is_one_session = len({(entry.session, entry.venue) for entry in entries}) == 1
    places = sorted({_place(entry, is_one_session) for entry in entries})
    for cause in Cause:
        bars: dict[str, int] = defaultdict(int)
        volume: dict[str, float] = defaultdict(float)
        for entry in entries:
            if cause in entry.causes:
                place = _place(entry, is_one_session)
                bars[place] += 1
                volume[place] += _volume(entry, cause)
        if bars:
            figure.add_trace(_columns(cause, places, bars, is_named=True), row=1, col=1)
            figure.add_trace(_columns(cause, places, volume, is_named=False), row=2, col=1)
    labelled = places[:: max(1, ceil(len(places) / MAX_TICKS))]
    figure.update_xaxes(
        type="category",
        categoryorder="array",
        categoryarray=places,
        tickvals=labelled,
        ticktext=[_label(place, is_one_session) for place in labelled],
        tickangle=0,
    )
    figure.update_layout(
        barmode="relative",
        hovermode="x unified",
        yaxis_title="bars changed",
        yaxis2_title="volume, recomputed - served",
        legend_orientation="h",
    )
    return figure


def _columns(cause: Cause, places: Sequence[str], heights: Any, *, is_named: bool) -> Any:
    from plotly.graph_objects import Bar

    return Bar(
        name=str(cause),
        x=list(places),
        y=[heights.get(place, 0) for place in places],
        marker={"color": COLOURS[cause]},
        legendgroup=str(cause),
        showlegend=is_named,
    )


def _place(entry: BarDrift, is_one_session: bool) -> str:
    if is_one_session:
        return utc(SLOT.start_of(entry.start_ns))
    return f"{entry.session.isoformat()} {entry.venue}"


def _label(place: str, is_one_session: bool) -> str:
    """Return the time of day for one session, whose date the page shows; else date above venue."""
    return place[11:16] if is_one_session else place.replace(" ", "<br>")


def _volume(entry: BarDrift, cause: Cause) -> float:
    parts = (part for drift in entry.fields if drift.field == "volume" for part in drift.parts)
    return float(sum(part.delta for part in parts if part.cause is cause))
