"""The chart of drift: what its columns count, and that they can be seen."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import pytest

from support.build import NOON, SECOND
from truetape.drift.attribution import Cause, FieldDrift, Part
from truetape.drift.chart import COLOURS, SEVERAL, stacks, svg, write_drift_chart
from truetape.drift.ledger import BarDrift
from truetape.market.resolution import Resolution
from truetape.publish.diff import Change

FRIDAY = date(2026, 11, 20)
LEAST_CONTRAST = 3.0
GROUNDS = ("#ffffff", "#f5f7f9", "#14191f", "#1d242c")
"""The colours of pages and cards, in light and dark."""


def entry(
    minute: int,
    *causes: tuple[Cause, int],
    resolution: Resolution = Resolution.MINUTE,
    session: date = FRIDAY,
) -> BarDrift:
    """Build a bar whose volume these causes changed, each by a number."""
    parts = tuple(Part(cause, Decimal(delta)) for cause, delta in causes)
    total = sum(part.delta for part in parts)
    volume = FieldDrift("volume", Decimal(0), Decimal(total), parts)
    start = NOON + minute * 60 * SECOND
    return BarDrift(
        "XNYS", session, 1, "IBM", resolution, start, Change.CHANGE, (volume,)
    )  # fmt: skip


ENTRIES = [
    entry(0, (Cause.LATE, 30)),
    entry(1, (Cause.LATE, 20), (Cause.CANCEL, -50)),
    entry(2, (Cause.CANCEL, -10)),
    entry(6, (Cause.CORRECTION, 5)),
    entry(0, (Cause.LATE, 50), (Cause.CANCEL, -60), resolution=Resolution.FIVE_MINUTES),
]


def test_the_columns_add_up_to_the_changed_bars() -> None:
    """A bar with two causes is counted once, in a part of its own."""
    drawn = stacks(ENTRIES)

    assert drawn.places == ("2026-11-20T17:00:00Z", "2026-11-20T17:05:00Z")
    assert drawn.bars == (
        {Cause.LATE: 1, Cause.CANCEL: 1, SEVERAL: 2},
        {Cause.CORRECTION: 1},
    )
    assert sum(sum(stack.values()) for stack in drawn.bars) == len(ENTRIES)


def test_the_volume_counts_each_trade_in_one_resolution() -> None:
    drawn = stacks(ENTRIES)

    assert drawn.volume_of is Resolution.MINUTE
    assert drawn.volume == ({Cause.LATE: 50, Cause.CANCEL: -60}, {Cause.CORRECTION: 5})
    assert "volume of 1m bars" in svg(drawn)


def test_bars_of_one_other_resolution_have_their_own_volume() -> None:
    drawn = stacks(ENTRIES[-1:])

    assert drawn.volume_of is Resolution.FIVE_MINUTES
    assert drawn.volume == ({Cause.LATE: 50, Cause.CANCEL: -60},)


def test_a_cause_limits_the_chart_to_what_it_changed() -> None:
    drawn = stacks(ENTRIES, Cause.CANCEL)

    assert drawn.places == ("2026-11-20T17:00:00Z",)
    assert drawn.bars == ({Cause.CANCEL: 3},)
    assert drawn.volume == ({Cause.CANCEL: -60},)


def test_several_sessions_are_a_column_each() -> None:
    later = entry(0, (Cause.LATE, 1), session=date(2026, 11, 23))

    assert stacks([ENTRIES[0], later]).places == ("2026-11-20 XNYS", "2026-11-23 XNYS")


@pytest.mark.parametrize("entries", [[], ENTRIES], ids=["nothing", "drift"])
def test_the_drawing_is_well_formed_and_within_its_frame(entries: list[BarDrift]) -> None:
    root = ElementTree.fromstring(svg(stacks(entries)))  # noqa: S314 - our own drawing
    columns = [rect for rect in root.iter() if rect.tag.endswith("rect")]

    assert bool(columns) == bool(entries)
    assert all(float(rect.attrib["height"]) > 0 for rect in columns)
    assert all(0 <= float(rect.attrib["y"]) <= 430 for rect in columns)
    assert not [rect for rect in root.iter() if "style" in rect.attrib]


def test_the_title_of_a_file_is_escaped(tmp_path: Path) -> None:
    write_drift_chart(ENTRIES, "<b>&", tmp_path / "deep" / "drift.html")

    assert "<h1>&lt;b&gt;&amp;</h1>" in (tmp_path / "deep" / "drift.html").read_text("utf-8")


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("name", COLOURS)
def test_a_colour_stands_out_from_light_and_dark_pages(name: str, ground: str) -> None:
    low, high = sorted((luminance(COLOURS[name]), luminance(ground)))

    assert (high + 0.05) / (low + 0.05) >= LEAST_CONTRAST


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
