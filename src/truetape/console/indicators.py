"""The indicators of a chart: those that publications stored, and the session's VWAP of the rest.

Says for each indicator without any value why it has none. Draws nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from truetape.host.timeframes import session_at
from truetape.market.resolution import Resolution
from truetape.market.timeframe import Timeframe
from truetape.serving.store import BarStore, ServedBar


@dataclass(frozen=True, slots=True)
class Indicator:
    """An indicator that a chart offers: its button, its lines, and the bars that it needs."""

    key: str
    name: str
    lines: tuple[str, ...]
    needs: int
    has_own_axis: bool = False


INDICATORS = (
    Indicator("session_vwap", "Session VWAP", ("session_vwap",), 1),
    Indicator("sma_20", "SMA 20", ("sma_20",), 20),
    Indicator("sma_50", "SMA 50", ("sma_50",), 50),
    Indicator("ema_12", "EMA 12", ("ema_12",), 12),
    Indicator("ema_26", "EMA 26", ("ema_26",), 26),
    Indicator("bollinger", "Bollinger 20, 2", ("bollinger_upper", "bollinger_lower"), 20),
    Indicator("rsi", "RSI 14", ("rsi_14",), 15, True),
    Indicator("macd", "MACD 12, 26, 9", ("macd", "macd_signal", "macd_histogram"), 26, True),
)
"""In the order of their buttons. Those with an axis of their own are drawn below the volume."""
MAX_SESSION_BARS = 3_000
"""The most bars that are read to compute the VWAP of a session from its beginning."""


@dataclass(frozen=True, slots=True)
class ChartIndicators:
    """Lines by name, with one value or None a bar; and why an indicator has no value, by key."""

    lines: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


def indicators_of(
    store: BarStore, timeframe: Timeframe, bars: Sequence[ServedBar], *, is_past: bool
) -> ChartIndicators:
    """Return the indicators of bars of one symbol and venue, in order.

    Publications store them with final bars; `is_past` bars, as known at an instant, have none.
    """
    lines: dict[str, list[float | None]] = {}
    if timeframe.stored is not None and not is_past:
        lines = _stored(store, timeframe.stored, bars)
        if vwap := _session_vwap(store, timeframe.stored, bars, lines.get("session_vwap")):
            lines["session_vwap"] = vwap
    missing = {
        each.key: _why(each, timeframe, bars, is_past=is_past)
        for each in INDICATORS
        if not any(name in lines for name in each.lines)
    }
    return ChartIndicators(lines, missing)


def _stored(
    store: BarStore, resolution: Resolution, bars: Sequence[ServedBar]
) -> dict[str, list[float | None]]:
    window = (bars[0].start_ns, bars[-1].start_ns + 1)
    rows = store.read_indicators(resolution, *window, venue=bars[0].venue, symbols=[bars[0].symbol])
    by_start = {row.start_ns: row.values for row in rows if not row.void}
    drawn = [name for each in INDICATORS for name in each.lines]
    lines = {name: [by_start.get(bar.start_ns, {}).get(name) for bar in bars] for name in drawn}
    return {name: values for name, values in lines.items() if set(values) - {None}}


def _session_vwap(
    store: BarStore,
    resolution: Resolution,
    bars: Sequence[ServedBar],
    stored: Sequence[float | None] | None,
) -> list[float | None]:
    """Return the stored VWAP of the session, and for later bars without one the served bars' own.

    That needs the session from its beginning; a session of more bars than `MAX_SESSION_BARS` has
    none. Daily bars have no running VWAP.
    """
    values = list(stored or [None] * len(bars))
    behind = [number for number, value in enumerate(values) if value is None]
    if resolution is Resolution.DAY or not behind:
        return values if stored else []
    session = session_at(bars[-1].venue, bars[-1].start_ns)
    wanted = [number for number in behind if session.contains(bars[number].start_ns)]
    if not wanted:
        return values if stored else []
    read = store.read(
        resolution, session.start_ns, bars[-1].start_ns + 1,
        venue=bars[-1].venue, symbols=[bars[-1].symbol],
    )  # fmt: skip
    served = [bar for bar, _ in zip(read, range(MAX_SESSION_BARS + 1), strict=False)]
    if len(served) <= MAX_SESSION_BARS:
        running = _running_vwap([bar for bar in served if not bar.void], session.start_ns)
        for number in wanted:
            values[number] = running.get(bars[number].start_ns)
    return values if set(values) - {None} else []


def _running_vwap(bars: Sequence[ServedBar], session_ns: int) -> dict[int, float | None]:
    """Return the VWAP of a session up to each of its bars, by start, as publications compute it."""
    import numpy as np

    from truetape.publish.indicator_values import IndicatorInput, session_vwap

    columns = IndicatorInput(
        np.array([bar.start_ns for bar in bars], np.int64),
        np.full(len(bars), session_ns, np.int64),
        np.array([bar.close for bar in bars]),
        np.array([bar.volume for bar in bars]),
        np.array([bar.vwap for bar in bars]),
    )
    starts = [bar.start_ns for bar in bars]
    values = session_vwap(columns).tolist()
    return {
        start: None if value != value else value  # noqa: PLR0124 - NaN: no priced volume yet
        for start, value in zip(starts, values, strict=True)
    }


def _why(each: Indicator, timeframe: Timeframe, bars: Sequence[ServedBar], *, is_past: bool) -> str:
    if is_past:
        return f"{each.name}: indicators are kept for served bars, not for earlier instants."
    if timeframe.stored is None:
        return f"{each.name}: bars of {timeframe.value} are rolled up and have no indicators."
    final = sum(bar.final for bar in bars)
    if final == 0:
        return f"{each.name}: computed when the session is published; these bars are provisional."
    if final < each.needs:
        return f"{each.name} needs {each.needs} final bars in a row; this chart has {final}."
    return f"{each.name}: the publication of these bars stored no value."
