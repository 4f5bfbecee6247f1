"""The chart of drift: changed bars by cause, and the volume they moved, as SVG. Reads no ledger.

It needs no script, so a page can show it under any security policy. Colours of text and grid are
those of the page.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil
from pathlib import Path

from truetape.drift.attribution import Cause
from truetape.drift.ledger import BarDrift
from truetape.market.resolution import Resolution
from truetape.serving.table import utc

SEVERAL = "several causes"
"""The stack of bars that more than one cause changed: each bar is counted once."""
COLOURS: Mapping[str, str] = {
    Cause.MISSING: "#7f7f7f",
    Cause.LATE: "#3b7dd8",
    Cause.DUPLICATE: "#24908f",
    Cause.CORRECTION: "#b8770a",
    Cause.CANCEL: "#d9534f",
    Cause.ELIGIBILITY: "#3a9145",
    Cause.REVERT: "#a07a3a",
    Cause.UNEXPLAINED: "#e0115f",
    SEVERAL: "#8b6fc0",
}
"""Each has a contrast of 3:1 on a light and on a dark page."""
SLOT = Resolution.FIVE_MINUTES
"""The chart of one session counts its bars in slots of this width."""
MAX_TICKS = 12
WIDTH, LEFT, RIGHT = 960, 70, 10
ROWS = ((34, 190), (262, 130))
"""Top and height of the two rows, in the units of the drawing."""
HEIGHT = 430
Stack = Mapping[str, float]
"""The parts of one column, by name, in the order of `COLOURS`."""


@dataclass(frozen=True, slots=True)
class DriftStacks:
    """What the chart draws: for each place on its time axis, the bars changed and the volume moved.

    The parts of `bars` add up to the changed bars of a place, each counted once. Those of `volume`
    add up to its change, of one resolution only: each resolution counts the same trades again.
    """

    places: tuple[str, ...]
    bars: tuple[Stack, ...]
    volume: tuple[Stack, ...]
    volume_of: Resolution


def stacks(entries: Sequence[BarDrift], cause: Cause | None = None) -> DriftStacks:
    """Count changed bars and their volume by cause; with a cause, only what it changed.

    A place is a time of day for one session, else a session.
    """
    shown = [entry for entry in entries if cause is None or cause in entry.causes]
    is_one_session = len({(entry.session, entry.venue) for entry in entries}) == 1
    places = tuple(sorted({_place(entry, is_one_session) for entry in shown}))
    widths = {entry.resolution for entry in shown}
    volume_of = Resolution.MINUTE if len(widths) != 1 else next(iter(widths))
    bars: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    volume: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for entry in shown:
        place = _place(entry, is_one_session)
        bars[place][_name(entry, cause)] += 1
        if entry.resolution is volume_of:
            for name, delta in _volume(entry, cause).items():
                volume[place][name] += delta
    return DriftStacks(
        places,
        tuple(_ordered(bars[place]) for place in places),
        tuple(_ordered(volume[place]) for place in places),
        volume_of,
    )


def write_drift_chart(
    entries: Sequence[BarDrift], title: str, path: Path, cause: Cause | None = None
) -> None:
    """Write an HTML page with the chart; it needs no network and no script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title></head>\n<body><h1>{escape(title)}</h1>\n"
        f"{svg(stacks(entries, cause))}\n</body></html>\n",
        "utf-8",
    )


def svg(drawn: DriftStacks) -> str:
    """Return the chart as an SVG element. Hovering over a part of a column reads it."""
    names = [name for name in COLOURS if any(name in stack for stack in drawn.bars + drawn.volume)]
    titles = (
        "bars changed",
        f"volume of {drawn.volume_of.value} bars, recomputed minus served",
    )
    content = [
        *_legend(names),
        *_row(ROWS[0], titles[0], drawn.places, drawn.bars),
        *_row(ROWS[1], titles[1], drawn.places, drawn.volume),
        *_labels(drawn.places),
    ]
    label = "Changed bars by cause, and the volume that they moved"
    return (
        '<svg class="drift-chart" xmlns="http://www.w3.org/2000/svg"'
        f' viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}"'
        f' font-size="13" fill="currentColor">{"".join(content)}</svg>'
    )


def _row(
    place: tuple[int, int], title: str, places: Sequence[str], columns: Sequence[Stack]
) -> Iterator[str]:
    """Yield one row of columns: parts above zero upwards, parts below zero downwards."""
    top, height = place
    high = max((sum(max(part, 0) for part in stack.values()) for stack in columns), default=0) or 1
    low = min((sum(min(part, 0) for part in stack.values()) for stack in columns), default=0)
    scale = height / (high - low)
    yield f'<text x="{LEFT}" y="{top - 6}">{escape(title)}</text>'
    for value in dict.fromkeys((high, 0, low)):
        y = top + (high - value) * scale
        yield (
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
            ' stroke="currentColor" stroke-opacity="0.35"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,.10g}</text>'
        )
    step = (WIDTH - LEFT - RIGHT) / max(1, len(places))
    wide = min(step * 0.8, 60)
    for number, stack in enumerate(columns):
        x = LEFT + step * (number + 0.5) - wide / 2
        up = down = 0.0
        for name, part in stack.items():
            edge = up + part if part > 0 else down
            up, down = (up + part, down) if part > 0 else (up, down + part)
            yield (
                f'<rect x="{x:.1f}" y="{top + (high - edge) * scale:.1f}" width="{wide:.1f}"'
                f' height="{abs(part) * scale:.1f}" fill="{COLOURS[name]}"><title>'
                f"{escape(places[number])}, {escape(name)}: {part:,.10g}</title></rect>"
            )


def _legend(names: Sequence[str]) -> Iterator[str]:
    x = LEFT + 330
    for name in names:
        yield f'<rect x="{x}" y="8" width="12" height="12" fill="{COLOURS[name]}"/>'
        yield f'<text x="{x + 16}" y="19">{escape(name)}</text>'
        x += 30 + 7 * len(name)


def _labels(places: Sequence[str]) -> Iterator[str]:
    """Yield the time of day for one session, whose date the page shows; else date above venue."""
    step = (WIDTH - LEFT - RIGHT) / max(1, len(places))
    every = max(1, ceil(len(places) / MAX_TICKS))
    for number in range(0, len(places), every):
        place, x = places[number], LEFT + step * (number + 0.5)
        parts = [place[11:16]] if "T" in place[:11] else place.split(" ")
        for line, text in enumerate(parts):
            y = ROWS[1][0] + ROWS[1][1] + 18 + 15 * line
            yield f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{escape(text)}</text>'


def _place(entry: BarDrift, is_one_session: bool) -> str:
    if is_one_session:
        return utc(SLOT.start_of(entry.start_ns))
    return f"{entry.session.isoformat()} {entry.venue}"


def _name(entry: BarDrift, cause: Cause | None) -> str:
    """Return the stack in which a bar is counted."""
    if cause is not None:
        return cause
    causes = list(entry.causes) or [Cause.UNEXPLAINED]
    return causes[0] if len(causes) == 1 else SEVERAL


def _volume(entry: BarDrift, cause: Cause | None) -> dict[str, float]:
    """Return what each cause, or only one, adds to the volume of a bar."""
    parts = (part for drift in entry.fields if drift.field == "volume" for part in drift.parts)
    return {part.cause: float(part.delta) for part in parts if cause in (None, part.cause)}


def _ordered(stack: Mapping[str, float]) -> Stack:
    return {name: stack[name] for name in COLOURS if stack.get(name)}
