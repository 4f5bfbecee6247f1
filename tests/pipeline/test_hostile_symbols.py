"""Symbols with every sign that a store, a query or a page could misread, through the whole loop.

Real Kafka, lake and InfluxDB, a driver of the speed layer, the console and Grafana's queries: each
symbol comes back as it went in, and none takes the rows of another.
"""

from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from markupsafe import escape

import truetape
from support.build import trade
from support.drivers import read_all, running
from support.grafana import HOUR_S, answer, chosen, query_of
from support.loop import own_settings, send, served, truth
from truetape.console.app import create
from truetape.console.chart import BAR_FIELDS
from truetape.drift.ledger import DriftLedger
from truetape.feeds.native import encode
from truetape.feeds.records import Record
from truetape.history.explain import explain_bar
from truetape.host import calendars
from truetape.host.settings import Secret, Settings
from truetape.host.venues import venues
from truetape.market.resolution import SECOND_NS, Resolution
from truetape.market.trades import Event
from truetape.pipeline.sessions import finalize_sessions
from truetape.serving.backends import open_store
from truetape.serving.http import InfluxHttp

pytestmark = pytest.mark.real

SESSION = calendars.session(venues()["XASE"], date(2024, 8, 14))
SYMBOLS = (
    "BRK.B", "BRKXB", "BRK B", "BTC/USDT:USDT", "币安人生USDT", "O:SPY261218C00650000", "@107",
    "SPY   261218C00650000", "ES=F", "^GSPC", "M&M", "A'B", 'A"B', "A,B", "A;B", "A|B", "<b>x</b>",
    "100%", "#1", "a+b", "$ {x}", "x{{y}}", "ÖMV", "..", "?", "*", ".*", "A(B", "A)B", "A[B]",
    "$symbol", "' OR 1=1 --", "\uff21\uff22", "e\u0301t\u00e9", "\U0001d538", "%2e%2e%2f", "-",
    "_", "\"", "=", "a=b,c d",
)  # fmt: skip


def events() -> list[Event]:
    """Two trades of each symbol, of a price that no other has."""
    opened = SESSION.open_ns or 0
    return [
        trade(
            str(100 + number), "2", symbol=symbol, venue="XASE", id=f"{number}-{second}",
            event_ns=opened + second * SECOND_NS, received_ns=opened + second * SECOND_NS,
            offset=2 * number + second,
        )
        for number, symbol in enumerate(SYMBOLS)
        for second in (0, 1)
    ]  # fmt: skip


def test_symbols_of_any_signs_go_through_the_whole_loop(stack: Settings, tmp_path: Path) -> None:
    settings = own_settings(stack, tmp_path, speed_engine="direct", venues=("XASE",))
    happened = events()
    with closing(open_store(settings)) as store:
        store.ensure_buckets()
    with running(settings) as driver:
        send(
            settings,
            [
                Record(encode(one).encode(), one.feed, one.symbol, one.received_ns)
                for one in happened
            ],
        )
        read_all(driver, settings)
        the_speed_layer_serves_each(settings)
        _, outcomes = finalize_sessions(settings, [SESSION], "the session is over", print)

    assert [outcome.mismatches for outcome in outcomes] == [[]]
    with closing(open_store(settings)) as store:
        assert {**served(store, SESSION)} == truth(happened, SESSION)
    entries = DriftLedger(settings.lake).of_session(SESSION)
    assert {entry.symbol for entry in entries} <= set(SYMBOLS)
    for number, symbol in enumerate(SYMBOLS):
        readers_find_only_its_own_bars(settings, symbol, float(100 + number))


def record(event: Event) -> Record:
    return Record(encode(event).encode(), event.feed, event.symbol, event.received_ns)


def the_speed_layer_serves_each(settings: Settings) -> None:
    with closing(open_store(settings)) as store:
        bars = list(store.read(Resolution.MINUTE, SESSION.start_ns, SESSION.end_ns, venue="XASE"))
    assert sorted(bar.symbol for bar in bars) == sorted(SYMBOLS)


def readers_find_only_its_own_bars(settings: Settings, symbol: str, price: float) -> None:
    opened = SESSION.open_ns or 0
    frame = truetape.read_bars(symbol, "2024-08-14", "2024-08-15", settings=settings)
    trades = truetape.read_trades(symbol, "2024-08-14", "2024-08-15", settings=settings)
    lineage = explain_bar(settings, symbol, opened, Resolution.MINUTE, "XASE")
    params = {"symbol": symbol, "venue": "XASE", "day": str(SESSION.date)}
    console = TestClient(create(lambda: settings, lambda: None))
    shown = console.get("/market", params=params)
    chart = console.get("/market/chart", params=params)
    with closing(influx_http(settings)) as server:
        drawn = answer(
            server, query_of("Market", "Newest bars of $symbol"), opened + 60 * SECOND_NS, HOUR_S,
            chosen(set=settings.bucket_set, symbol=symbol, venue="XASE"),
        )  # fmt: skip

    assert list(frame["close"]) == [price]
    assert [float(each) for each in trades["price"]] == [price, price]
    assert set(trades["symbol"]) == {symbol}
    assert (shown.status_code, chart.status_code) == (200, 200)
    assert str(escape(symbol)) in shown.text
    assert "<b>x</b>" not in shown.text
    close = BAR_FIELDS.index("close")
    assert [row[close] for row in chart.json()["bars"]] == [price]
    assert lineage.bar.symbol == symbol
    (rows,) = drawn.frames
    assert rows.column("Close").numbers == [price]


def influx_http(settings: Settings) -> InfluxHttp:
    token = Secret(settings.influx_token_file.read_text().strip())
    return InfluxHttp(settings.influx_url, settings.influx_org, token, timeout_s=30, attempts=4)
