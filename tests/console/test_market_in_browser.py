"""The market page in a real browser: what its chart shows, and what its buttons do."""

import re
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from support.console_browser import (
    HOSTILE,
    IN_BOTH_SCHEMES,
    MARKET,
    NIGHT,
    BrowserLog,
    minutes,
    open_chart,
)
from support.serving import bar
from support.session_lake import FRIDAY
from support.session_lake import NOON as LAKE_NOON
from support.wait import until
from truetape.host.settings import Settings
from truetape.market.resolution import SECOND_NS, Resolution
from truetape.serving.backends import open_store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.real  # a browser

MINUTE_NS = 60 * SECOND_NS
CHART = "document.getElementById('chart').candleChart"
LEAST_CONTRAST = 3.0
"""WCAG 2.2, success criterion 1.4.11: graphical objects."""


def place_of(page: "Page", number: int) -> tuple[float, float]:
    """Return where a bar is on the page: its middle, at the height of its close."""
    x, y = page.evaluate(
        f"""() => {{
            const chart = {CHART}, bar = chart.ordered[{number}];
            return [chart.chart.timeScale().timeToCoordinate(bar.time),
                    chart.candles.priceToCoordinate(bar.close)];
        }}"""
    )
    box = page.locator("#chart").bounding_box()
    assert box
    return box["x"] + x, box["y"] + y


def hover(page: "Page", number: int) -> str:
    """Move the crosshair to a bar; return the readout."""
    page.mouse.move(*place_of(page, number))
    until(lambda: page.evaluate(f"{CHART}.pointed === {CHART}.ordered[{number}]"), 10)
    return page.inner_text("#readout").replace("\n", " ")


def bar_count(page: "Page") -> int:
    return int(page.get_attribute("#chart", "data-bars") or 0)


def test_the_readout_follows_the_crosshair(console: str, page: "Page") -> None:
    """The bar of 17:01 had one trade of 30 at 101 and one of 10 at 100 before."""
    open_chart(page, console + MARKET)
    newest = page.inner_text("#readout").replace("\n", " ")

    first = hover(page, 0)

    assert newest.startswith("2024-11-22 17:02 ")
    assert first.startswith("2024-11-22 17:00 O 100.00 H 100.00 L 100.00 C 100.00")
    assert re.search(r"V \d+ VWAP 100\.0000 1 trade final, rev 1", first)
    page.mouse.move(5, 5)
    until(lambda: page.inner_text("#readout").replace("\n", " ") == newest, 10)


def test_a_changed_bar_shows_its_values_before_and_why_it_changed(
    console: str, page: "Page"
) -> None:
    open_chart(page, console + MARKET)

    text = hover(page, 2)

    assert "C 100.00 → 102.00" in text
    assert "by correction" in text
    assert page.evaluate(f"{CHART}.ghost.data().map(candle => candle.close)") == [100]
    hover(page, 0)
    assert page.evaluate(f"{CHART}.ghost.data()") == []


def test_a_click_on_a_candle_or_its_volume_opens_its_trades(console: str, page: "Page") -> None:
    open_chart(page, console + MARKET)
    x, y = place_of(page, 1)
    box = page.locator("#chart").bounding_box()
    assert box

    page.mouse.click(x, y)
    page.wait_for_url("**/market/bar?**", timeout=15_000)
    assert f"start_ns={LAKE_NOON + MINUTE_NS}" in page.url
    page.go_back()
    page.wait_for_selector("#chart[data-drawn=yes]", timeout=30_000)
    page.mouse.click(x, box["y"] + box["height"] - 40)
    page.wait_for_url("**/market/bar?**", timeout=15_000)

    assert "Trades that made it" in page.inner_text("main")


def test_arrow_keys_read_the_bars_and_enter_opens_one(console: str, page: "Page") -> None:
    open_chart(page, console + MARKET)
    page.focus("#chart")

    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    until(lambda: page.inner_text("#readout").startswith("2024-11-22 17:01"), 10)
    page.keyboard.press("Enter")

    page.wait_for_url("**/market/bar?**", timeout=15_000)
    assert f"start_ns={LAKE_NOON + MINUTE_NS}" in page.url


def test_a_resolution_acts_at_once_and_stays_in_the_address(console: str, page: "Page") -> None:
    open_chart(page, console + f"{MARKET}&resolution=2m")
    assert bar_count(page) == 2

    page.click("[data-resolution='1m'][aria-pressed]")
    until(lambda: "resolution=1m" in page.url and bar_count(page) == 3, 15)
    page.reload()
    page.wait_for_selector("#chart[data-drawn=yes]", timeout=30_000)

    assert page.get_attribute("[data-resolution='1m'][aria-pressed]", "aria-pressed") == "true"
    assert bar_count(page) == 3


@pytest.mark.parametrize(
    ("button", "lines", "panes"),
    [
        ("sma_20", "sma_20", 2),
        ("rsi", "rsi_14", 3),
        ("macd", "macd", 3),
    ],
)
def test_an_indicator_is_drawn_and_removed_by_its_button(
    console: str, page: "Page", button: str, lines: str, panes: int
) -> None:
    """RSI and MACD have a pane of their own below the volume."""
    open_chart(page, console + f"market?symbol={NIGHT}")
    before = page.get_attribute("#chart", "data-lines")

    page.click(f"[data-indicator={button}]")
    drawn = page.get_attribute("#chart", "data-lines"), page.get_attribute("#chart", "data-panes")
    page.click(f"[data-indicator={button}]")

    assert before == "session_vwap"
    assert drawn == (f"session_vwap {lines}", str(panes))
    assert page.get_attribute("#chart", "data-lines") == before
    assert page.get_attribute("#chart", "data-panes") == "2"


def test_an_indicator_without_values_says_why_and_draws_no_axis(console: str, page: "Page") -> None:
    open_chart(page, console + "market?symbol=LIVE&show=")

    page.click("[data-indicator=rsi]")

    assert "RSI 14 needs 15 final bars in a row; this chart has 1." in page.inner_text("#missing")
    assert page.get_attribute("#chart", "data-panes") == "2"


@IN_BOTH_SCHEMES
def test_candles_can_be_told_from_their_ground_final_or_provisional(
    console: str, page: "Page"
) -> None:
    """Every colour of the chart has the contrast of a graphical object."""
    open_chart(page, console + "market?symbol=LIVE")

    contrasts = page.evaluate(
        """() => {
            const chart = document.getElementById("chart").candleChart;
            const context = document.createElement("canvas").getContext("2d");
            const painted = (...colors) => {
                for (const color of colors) {
                    context.fillStyle = color;
                    context.fillRect(0, 0, 1, 1);
                }
                return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
            };
            const light = (color) => {
                const [r, g, b] = color.map(part => part / 255)
                    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const contrast = (one, other) => {
                const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
                return (high + 0.05) / (low + 0.05);
            };
            const back = getComputedStyle(document.body).backgroundColor;
            const grounds = [painted(back), painted(back, chart.color.provisional)];
            const { line, provisional, ...drawn } = chart.color;
            return Object.fromEntries(Object.entries(drawn).map(([name, color]) =>
                [name, Math.min(...grounds.map(ground => contrast(painted(color), ground)))]));
        }"""
    )

    assert {name for name, value in contrasts.items() if value < LEAST_CONTRAST} == set()
    assert {"up", "down", "mark"} <= contrasts.keys()


def test_provisional_bars_stand_on_a_ground_of_their_own(console: str, page: "Page") -> None:
    open_chart(page, console + "market?symbol=LIVE")

    grounds = page.evaluate(f"{CHART}.band.data().map(point => point.time)")
    provisional = page.evaluate(f"{CHART}.ordered.filter(bar => !bar.final).map(bar => bar.time)")

    assert page.inner_text("#state").startswith("1 final and 1 provisional bars")
    assert grounds == provisional
    assert hover(page, 1).endswith("provisional")


def test_candle_and_volume_have_one_colour(console: str, page: "Page") -> None:
    """Also where the open equals the close, which the chart library draws as a rise."""
    open_chart(page, console + MARKET)

    bars: list[list[Any]] = page.evaluate(
        f"""() => {CHART}.volume.data().map((point, place) =>
            [point.color, {CHART}.ordered[place].open, {CHART}.ordered[place].close])"""
    )
    up, down = page.evaluate(f"[{CHART}.color.up, {CHART}.color.down]")

    assert bars
    assert all(color == (up if close >= opened else down) for color, opened, close in bars)
    assert any(opened == close for _, opened, close in bars)


def test_marks_tell_changed_prices_from_changed_volumes(console: str, page: "Page") -> None:
    """IBM had a cancel, a late trade and a correction in a minute each; KO had none."""
    open_chart(page, console + MARKET)
    marks = f"{CHART}.marks.markers().map(mark => mark.shape)"

    assert page.evaluate(marks) == ["circle", "arrowDown", "arrowDown"]
    open_chart(page, console + f"market?symbol=KO&session={FRIDAY.date}")
    assert page.evaluate(marks) == []


def test_a_night_leaves_no_gap_and_a_halt_does(console: str, page: "Page", home: Settings) -> None:
    open_chart(page, console + f"market?symbol={NIGHT}")
    places = [place_of(page, number)[0] for number in range(4)]
    starts = (LAKE_NOON, LAKE_NOON + 3 * MINUTE_NS)
    halted = [bar(symbol="HALT", start_ns=start) for start in starts]
    with closing(open_store(home)) as store:
        store.write(Resolution.MINUTE, halted)

    open_chart(page, console + "market?symbol=HALT")

    steps = [after - before for before, after in pairwise(places)]
    assert len(minutes()) == 4
    assert steps == pytest.approx([steps[0]] * 3, abs=0.5)
    assert page.get_attribute("#chart", "data-empty") == "2"
    assert "2 intervals without trades" in page.inner_text("#state")
    slots = page.evaluate(f"{CHART}.shown.map(({{ bar }}) => Boolean(bar))")
    assert slots == [True, False, False, True]


def test_times_are_those_of_the_exchange_or_utc(console: str, page: "Page") -> None:
    open_chart(page, console + MARKET)
    utc = page.inner_text("#readout")[:16]

    page.click("[data-zone=exchange]")

    assert utc == "2024-11-22 17:02"
    assert page.inner_text("#readout")[:16] == "2024-11-22 12:02"
    assert "times in America/New_York" in page.inner_text("#state")
    assert "time=exchange" in page.url
    assert page.inner_text("#venue") == "XNYS · New York Stock Exchange"


@pytest.mark.parametrize("symbol", ["ZONED"])
def test_an_hour_that_the_clock_repeats_is_drawn_in_order(
    console: str, page: "Page", home: Settings, log: BrowserLog, symbol: str
) -> None:
    """New York's clock is set back at 06:00 UTC on 2024-11-03: 01:30 comes twice."""
    sunday = 1_730_611_800 * SECOND_NS  # 05:30 UTC
    rows = [bar(symbol=symbol, start_ns=sunday + hours * 3_600 * SECOND_NS) for hours in range(3)]
    with closing(open_store(home)) as store:
        store.write(Resolution.MINUTE, rows)

    open_chart(page, console + f"market?symbol={symbol}&time=exchange")

    times = page.evaluate(f"{CHART}.ordered.map(bar => bar.time)")
    assert sorted(set(times)) == times
    assert len(times) == 3
    assert log.messages == []


def test_a_chart_as_of_an_instant_shows_what_was_known(console: str, page: "Page") -> None:
    open_chart(page, console + MARKET)

    page.fill("#as-of", "2024-11-22T17:03:10")
    page.locator("#as-of").dispatch_event("change")

    until(lambda: "as known at 2024-11-22 17:03:10 UTC" in page.inner_text("#state"), 20)
    assert "as_of=2024-11-22T17" in page.url
    assert page.inner_text("#state").startswith("0 final and ")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("market?symbol=IBM&session=2024-11-28", "XNYS is closed on 2024-11-28, a holiday"),
        ("market?symbol=IBM&session=2024-11-23", "XNYS is closed on 2024-11-23, a Saturday"),
        ("market?symbol=IBM&session=2100-11-19", "the window is in the future"),
        ("market?symbol=LIVE&resolution=5m", "No 5m bars of LIVE on XNYS yet"),
        ("market?symbol=NOPE", "No bars of NOPE on any venue"),
    ],
    ids=["holiday", "weekend", "future", "no such width", "no such symbol"],
)
def test_a_chart_without_bars_is_a_sentence_and_no_axes(
    console: str, page: "Page", path: str, why: str
) -> None:
    page.goto(console + path)
    page.wait_for_selector("#chart[data-drawn=no]", state="attached", timeout=30_000)

    assert why in page.inner_text("#empty")
    assert not page.is_visible("#chart")


def test_a_new_bar_appears_by_itself_and_the_view_stays(
    console: str, page: "Page", home: Settings
) -> None:
    """Without a reload, and where the viewer has scrolled to; a bar that loses its trades goes."""
    open_chart(page, console + "market?symbol=LIVE")
    page.evaluate("window.marker = 1")
    later = int(page.evaluate(f"{CHART}.ordered[1].start")) + MINUTE_NS
    more = [
        bar(symbol="LIVE", start_ns=later + number * MINUTE_NS, layer="speed", final=False, rev=0)
        for number in range(3)
    ]
    width = f"{CHART}.chart.timeScale().options().barSpacing"
    page.evaluate(f"{CHART}.chart.timeScale().applyOptions({{ barSpacing: 20 }})")

    with closing(open_store(home)) as store:
        store.write(Resolution.MINUTE, more)
    try:
        until(lambda: "4 provisional" in page.inner_text("#state"), 20)
        after = page.evaluate(f"[window.marker, {width}]")
    finally:
        with closing(open_store(home)) as store:
            store.write(Resolution.MINUTE, [replace(bar, void=True) for bar in more])
    until(lambda: "1 provisional" in page.inner_text("#state"), 20)

    assert after == [1, 20]


def test_older_bars_are_loaded_as_the_reader_drags(
    console: str, page: "Page", home: Settings
) -> None:
    """More bars than one answer has; the view does not jump when they arrive."""
    count = 2_400
    first = LAKE_NOON - 100 * 86_400 * SECOND_NS
    rows = [bar(symbol="DEEP", start_ns=first + number * MINUTE_NS) for number in range(count)]
    with closing(open_store(home)) as store:
        store.write(Resolution.MINUTE, rows)
    open_chart(page, console + "market?symbol=DEEP&show=")
    assert bar_count(page) == 2_000

    page.mouse.move(*place_of(page, 1_950))
    page.mouse.wheel(0, 10)
    page.evaluate(f"{CHART}.chart.timeScale().setVisibleLogicalRange({{ from: 10, to: 110 }})")
    until(lambda: bar_count(page) == count, 20)

    seen = page.evaluate(f"{CHART}.chart.timeScale().getVisibleRange().from")
    assert seen == (first + 410 * MINUTE_NS) // SECOND_NS


def test_a_symbol_is_found_in_the_list_and_opened(
    console: str, page: "Page", log: BrowserLog
) -> None:
    page.goto(console + MARKET)
    page.click("#symbols summary")
    page.fill("#symbols input[type=search]", "img")

    shown = page.locator("#symbols li:visible").all_inner_texts()
    page.click("#symbols li:visible a")
    page.wait_for_selector("#chart[data-drawn=yes]", timeout=30_000)

    assert shown == [HOSTILE]
    assert page.inner_text("h1").startswith(HOSTILE)
    assert page.locator("main img").count() == 0
    assert log.messages == []


def test_a_typed_symbol_is_opened_whatever_its_case(console: str, page: "Page") -> None:
    page.goto(console + MARKET)
    page.click("#symbols summary")
    page.fill("#symbols input[type=search]", "ko")
    page.keyboard.press("Enter")
    page.wait_for_selector("#chart[data-drawn=yes]", timeout=30_000)

    assert page.inner_text("h1").startswith("KO ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_chart_fits_a_phone(console: str, browser: "Browser", scheme: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    open_chart(page, console + f"market?symbol={NIGHT}&show=session_vwap,rsi")

    width = page.evaluate("document.documentElement.scrollWidth")
    box = page.locator("#chart").bounding_box()
    context.close()

    assert width <= 390
    assert box
    assert box["width"] > 340


def test_a_refresh_that_fails_says_that_the_chart_is_old(console: str, page: "Page") -> None:
    open_chart(page, console + "market?symbol=LIVE")

    page.route("**/market/chart?**", lambda route: route.abort())

    until(lambda: "This chart is old" in page.inner_text("#state"), 10)
    assert page.is_visible("#chart")
