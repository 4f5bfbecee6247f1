"""What a candle chart shows: bars, holes, indicators, marks, and a sentence where there is none."""

from datetime import date
from typing import Any

import pytest
from fastapi.testclient import TestClient

from support.build import NOON, SECOND
from support.drifting import DAY, publish_and_record
from support.serving import bar, bars, indicators
from support.session_lake import FRIDAY, lake_session
from support.session_lake import NOON as LAKE_NOON
from truetape.console import chart_script
from truetape.console.chart import BAR_FIELDS, decimals
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.market.resolution import Resolution
from truetape.serving.indicator_table import table_of
from truetape.serving.store import BarStore

MINUTE = Resolution.MINUTE
MINUTE_NS = 60 * SECOND
SESSION = "2026-11-20"


def chart(client: TestClient, **params: object) -> dict[str, Any]:
    answer = client.get("/market/chart", params={"symbol": "IBM", **params})
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def column(answer: dict[str, Any], name: str) -> list[Any]:
    return [row[BAR_FIELDS.index(name)] for row in answer["bars"]]


def test_bars_are_final_or_provisional_and_void_ones_are_left_out(
    client: TestClient, store: BarStore
) -> None:
    store.write(MINUTE, bars(3))
    store.write(MINUTE, [bar(start_ns=NOON + 3 * MINUTE_NS, layer="speed", final=False, rev=0)])
    store.write(MINUTE, [bar(start_ns=NOON + 4 * MINUTE_NS, void=True)])

    answer = chart(client)

    assert column(answer, "final") == [1, 1, 1, 0]
    assert column(answer, "rev") == [1, 1, 1, 0]
    assert column(answer, "start")[0] == str(NOON)
    assert answer["bars"][0][1:8] == [100.0, 101.5, 99.25, 100.5, 1_200.0, 100.12345678, 17]
    assert (answer["venue"], answer["venueName"]) == ("XNYS", "New York Stock Exchange")
    assert answer["zone"] == "America/New_York"


def test_a_bar_without_a_priced_trade_has_no_vwap(client: TestClient, store: BarStore) -> None:
    store.write(MINUTE, [bar(vwap=0.0)])

    assert column(chart(client), "vwap") == [None]


@pytest.mark.parametrize(
    ("prices", "wanted"),
    [([100.0, 101.5], 2), ([100.0, 101.505], 3), ([1e-7, 0.5], 7), ([1 / 3], 8), ([1e9], 2)],
    ids=["whole", "tenths of a cent", "tiny", "endless", "large"],
)
def test_prices_have_the_decimals_that_the_symbol_s_need(prices: list[float], wanted: int) -> None:
    shown = [bar(open=price, high=price, low=price, close=price) for price in prices]

    assert decimals(shown) == wanted


def test_a_halt_leaves_empty_intervals_and_a_night_leaves_none(
    client: TestClient, store: BarStore
) -> None:
    """Trading stops after 12:01 New York and goes on at 12:04; the next bar is of the next day."""
    starts = [NOON, NOON + MINUTE_NS, NOON + 4 * MINUTE_NS]
    evening = NOON + 239 * MINUTE_NS
    monday = NOON + 3 * 24 * 60 * MINUTE_NS - 150 * MINUTE_NS
    store.write(MINUTE, [bar(start_ns=start) for start in starts])
    halted = chart(client)["empty"]
    store.write(MINUTE, [bar(start_ns=start) for start in (evening, monday)])

    with_a_night = chart(client)["empty"]

    assert halted == [(NOON + minutes * MINUTE_NS) // SECOND for minutes in (2, 3)]
    assert max(with_a_night) < evening // SECOND
    assert len(with_a_night) == 2 + 234


def test_a_long_hole_is_drawn_at_a_bounded_width(client: TestClient, store: BarStore) -> None:
    store.write(Resolution.SECOND, [bar(), bar(start_ns=NOON + 7_200 * SECOND)])

    assert len(chart(client, resolution="1s")["empty"]) == 600


def test_a_chart_of_another_width_is_rolled_up_and_says_why_it_has_no_indicators(
    client: TestClient, store: BarStore
) -> None:
    store.write(MINUTE, [*bars(4), bar(start_ns=NOON + 240 * SECOND, layer="speed", final=False)])
    store.write_indicators(MINUTE, table_of([indicators(sma_20=100.5)]))

    answer = chart(client, resolution="2m")

    assert column(answer, "volume") == [2_400.0, 2_400.0, 1_200.0]
    assert column(answer, "final") == [1, 1, 0]
    assert answer["indicators"] == {}
    assert answer["missing"]["rsi"] == "RSI 14: bars of 2m are rolled up and have no indicators."
    assert answer["hasPages"] is False


def test_the_origin_counts_bars_from_the_open(client: TestClient, store: BarStore) -> None:
    for served in (MINUTE, Resolution.FIVE_MINUTES):
        store.write(served, [bar(), bar(start_ns=NOON + 1_800 * SECOND)])

    answer = chart(client, resolution="1h", origin="open", session=SESSION)

    assert column(answer, "start") == [str(NOON - 1_800 * SECOND), str(NOON + 1_800 * SECOND)]


def test_a_week_is_charted_for_any_of_its_sessions(client: TestClient, store: BarStore) -> None:
    monday = NOON - 4 * 86_400 * SECOND - 9_000 * SECOND
    store.write(Resolution.DAY, [bar(start_ns=monday), bar(start_ns=NOON - 9_000 * SECOND)])

    answer = chart(client, resolution="1w", session="2026-11-18")

    assert column(answer, "start") == [str(monday)]


def test_older_and_newer_bars_are_read_apart(client: TestClient, store: BarStore) -> None:
    """What the page asks for as the reader drags, and each second."""
    store.write(MINUTE, bars(5))

    assert column(chart(client, before_ns=NOON + 2 * MINUTE_NS), "start") == [
        str(NOON),
        str(NOON + MINUTE_NS),
    ]
    assert column(chart(client, from_ns=NOON + 3 * MINUTE_NS), "start") == [
        str(NOON + 3 * MINUTE_NS),
        str(NOON + 4 * MINUTE_NS),
    ]
    assert chart(client, before_ns=NOON)["why"] == "there are no older bars"


def test_stored_indicators_are_lines_and_the_others_say_why_not(
    client: TestClient, store: BarStore
) -> None:
    store.write(MINUTE, bars(2))
    rows = [
        indicators(NOON, macd=0.5, macd_signal=0.4, macd_histogram=0.1),
        indicators(NOON + MINUTE_NS, macd=0.6, macd_signal=0.4, macd_histogram=0.2),
    ]
    store.write_indicators(MINUTE, table_of(rows))

    answer = chart(client)

    assert answer["indicators"]["macd"] == [0.5, 0.6]
    assert answer["indicators"]["macd_histogram"] == [0.1, 0.2]
    assert "macd" not in answer["missing"]
    assert answer["missing"]["rsi"] == "RSI 14 needs 15 final bars in a row; this chart has 2."


def test_provisional_bars_have_a_session_vwap_and_say_why_they_have_nothing_else(
    client: TestClient, store: BarStore
) -> None:
    """By hand: (10 x 100 + 30 x 104) / 40 = 103. A bar without priced volume adds nothing."""
    speed = {"layer": "speed", "final": False, "rev": 0}
    store.write(
        MINUTE,
        [
            bar(vwap=100.0, volume=10.0, **speed),
            bar(start_ns=NOON + MINUTE_NS, vwap=0.0, volume=5.0, **speed),
            bar(start_ns=NOON + 2 * MINUTE_NS, vwap=104.0, volume=30.0, **speed),
        ],
    )

    answer = chart(client)
    newest = chart(client, from_ns=NOON + 2 * MINUTE_NS)

    assert answer["indicators"] == {"session_vwap": [100.0, 100.0, 103.0]}
    assert newest["indicators"] == {"session_vwap": [103.0]}
    assert answer["missing"]["sma_20"] == (
        "SMA 20: computed when the session is published; these bars are provisional."
    )


def test_changed_bars_have_their_causes_their_size_and_their_values_before(
    client: TestClient, drifted: None
) -> None:
    """IBM's cancel took a trade at the price of the others; the correction moved a price by 2 %."""
    answer = chart(client, session=str(FRIDAY.date), venue="XNYS")

    marks = [answer["changed"][start] for start in column(answer, "start")]
    assert [mark["causes"] for mark in marks] == ["cancel", "late", "correction"]
    assert [mark["kind"] for mark in marks] == ["volume", "price", "price"]
    assert [mark["size"] for mark in marks] == [3, 3, 3]
    assert marks[2]["before"]["close"] == 100.0
    assert marks[2]["before"]["volume"] == 10.0
    assert not any(mark["isNew"] for mark in marks)


def test_a_bar_that_was_not_shown_before_its_publication_is_marked_as_new(
    here: Settings, client: TestClient, store: BarStore
) -> None:
    lake_session(DAY).write(here.lake)
    store.write(MINUTE, [bar(start_ns=LAKE_NOON + MINUTE_NS, layer="speed", final=False)])
    publish_and_record(here.lake, store)

    answer = chart(client, session=str(FRIDAY.date), venue="XNYS")

    assert [mark["isNew"] for mark in answer["changed"].values()].count(True) >= 1


def test_a_rolled_up_bar_is_marked_where_a_part_of_it_changed(
    client: TestClient, drifted: None
) -> None:
    answer = chart(client, session=str(FRIDAY.date), resolution="2m")

    causes = {start: mark["causes"] for start, mark in answer["changed"].items()}
    assert list(causes) == [str(LAKE_NOON), str(LAKE_NOON + 2 * MINUTE_NS)]
    assert "late" in causes[str(LAKE_NOON)]
    assert "correction" in causes[str(LAKE_NOON + 2 * MINUTE_NS)]
    assert [mark["before"] for mark in answer["changed"].values()] == [{}, {}]


def test_bars_as_of_an_instant_are_those_known_then(client: TestClient, drifted: None) -> None:
    """The correction arrived later; then no bar was published, so none is final or has a mark."""
    now = chart(client, session=str(FRIDAY.date))
    instant = "2024-11-22T17:03:10"

    past = chart(client, session=str(FRIDAY.date), as_of=instant)

    assert column(past, "start") == column(now, "start")
    assert set(column(past, "final")) == {0}
    assert column(past, "close") != column(now, "close")
    assert past["changed"] == {}
    assert "kept for served bars" in past["missing"]["rsi"]
    assert chart(client, as_of=f"{instant}Z")["bars"] == past["bars"]


def test_a_chart_of_an_instant_before_any_bar_says_so(client: TestClient, drifted: None) -> None:
    answer = chart(client, as_of="2024-11-01T00:00")

    assert answer["why"] == "no bars of IBM were known at 2024-11-01T00:00:00Z"


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({"session": "2026-11-26"}, "no 1m bars of IBM: XNYS is closed on 2026-11-26, a holiday"),
        ({"session": "2026-11-21"}, "no 1m bars of IBM: XNYS is closed on 2026-11-21, a Saturday"),
        ({"session": "2100-11-19"}, "no 1m bars of IBM: the window is in the future"),
        ({"session": "2026-11-18"}, "no 1m bars of IBM on XNYS in that window"),
        ({"resolution": "5m"}, "no 5m bars of IBM on XNYS yet; there are 1m on XNYS up to"),
        ({"resolution": "30m"}, "no 30m bars of IBM on XNYS in that window, which are rolled up"),
    ],
    ids=["holiday", "weekend", "future", "other day", "no such width", "no parts"],
)
def test_a_chart_without_bars_says_why(
    client: TestClient, store: BarStore, params: dict[str, str], wanted: str
) -> None:
    store.write(MINUTE, bars(1))

    answer = chart(client, **params)

    assert answer["bars"] == []
    assert answer["why"].startswith(wanted)


def test_an_unknown_symbol_has_no_chart(client: TestClient, store: BarStore) -> None:
    store.write(MINUTE, bars(1))

    answer = client.get("/market/chart", params={"symbol": "NOPE"})

    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("no bars of NOPE on any venue in the")


def test_the_neighbours_of_a_session_are_sessions_of_the_past(
    client: TestClient, store: BarStore
) -> None:
    """Without a chosen session they are those of the last bar's. No link leads to the future."""
    store.write(MINUTE, [bar(start_ns=LAKE_NOON)])

    friday = chart(client)
    future = chart(client, session="2100-11-19")

    assert (friday["before"], friday["after"]) == ("2024-11-21", "2024-11-25")
    assert future["after"] is None
    assert chart(client, session=str(date(2024, 11, 23)))["after"] == "2024-11-25"


def test_the_page_offers_each_choice_and_keeps_those_of_its_address(
    client: TestClient, store: BarStore
) -> None:
    store.write(MINUTE, [*bars(1), bar(symbol="KO")])

    page = client.get(
        "/market",
        params={
            "symbol": "ibm",
            "resolution": "2m",
            "origin": "open",
            "session": SESSION,
            "as_of": "2026-11-20T18:00",
        },
    ).text

    for text in (
        'data-symbol="IBM"',
        'data-resolution="2m" aria-pressed="true"',
        '<option value="open" selected>',
        f'data-session="{SESSION}"',
        'data-as_of="2026-11-20T18:00:00"',
        'data-indicator="session_vwap"',
        'href="market?symbol=KO&amp;resolution=2m"',
        "TradingView",
    ):
        assert text in page, text


@pytest.mark.parametrize("name", ["as_of", "from_ns", "before_ns", "origin"])
def test_a_wrong_choice_is_a_client_error(client: TestClient, store: BarStore, name: str) -> None:
    store.write(MINUTE, bars(1))

    answer = client.get("/market/chart", params={"symbol": "IBM", name: "noon"})

    assert answer.status_code == 400
    assert name in answer.json()["detail"]


def test_a_script_other_than_the_published_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart_script, "SHA256", "0" * 64)

    with pytest.raises(ConfigError, match=r"is not Lightweight Charts 5\.2\.0"):
        chart_script.script.__wrapped__()


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chart_script, "PACKAGE", "no_such_package")

    with pytest.raises(ConfigError, match=r"no_such_package .* uv sync"):
        chart_script.script.__wrapped__()


def test_the_script_keeps_its_licence() -> None:
    head = chart_script.script()[:400].decode()

    assert f"TradingView Lightweight Charts™ v{chart_script.VERSION}" in head
    assert "Apache License 2.0" in head
