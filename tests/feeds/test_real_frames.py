"""Captured frames of five venues: the contracts give what a plain reading of the files gives.

The reading here knows nothing of contracts: JSON, and the fields that the vendors' pages name.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from support.build import READ_MS
from support.data import real_data
from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import Limits
from truetape.feeds.files import decode_file
from truetape.market.trades import Trade

Plain = tuple[str, Decimal, Decimal]
"""Symbol, price and size."""


def binance(frame: Any) -> list[Plain]:
    data = frame.get("data", frame)
    is_trade = data.get("e") in ("aggTrade", "trade")
    return [(data["s"], Decimal(data["p"]), Decimal(data["q"]))] if is_trade else []


def bitstamp(frame: Any) -> list[Plain]:
    if frame.get("event") != "trade":
        return []
    data, symbol = frame["data"], frame["channel"].removeprefix("live_trades_").upper()
    return [(symbol, Decimal(data["price_str"]), Decimal(data["amount_str"]))]


def coinbase(frame: Any) -> list[Plain]:
    if frame.get("type") not in ("match", "last_match"):
        return []
    return [(frame["product_id"], Decimal(frame["price"]), Decimal(frame["size"]))]


def kraken(frame: Any) -> list[Plain]:
    if not isinstance(frame, list) or frame[-2] != "trade":
        return []
    return [(frame[-1], Decimal(price), Decimal(size)) for price, size, *_ in frame[1]]


FILES: list[tuple[str, str, Callable[[Any], list[Plain]]]] = [
    ("BINANCE_FUTURES.jsonl", "binance-futures", binance),
    ("BINANCE_US.jsonl", "binance", binance),
    ("BITSTAMP.jsonl", "bitstamp", bitstamp),
    ("COINBASE.jsonl", "coinbase", coinbase),
    ("KRAKEN.jsonl", "kraken", kraken),
]


def plainly(path: Path, trades_in: Callable[[Any], list[Plain]]) -> list[Plain]:
    frames = (json.loads(line)["raw"] for line in path.read_text("utf-8").splitlines())
    parsed = (json.loads(frame, parse_float=str) for frame in frames)
    return [trade for frame in parsed for trade in trades_in(frame)]


@pytest.mark.parametrize(("name", "feed", "trades_in"), FILES, ids=[name for name, *_ in FILES])
def test_trades_order_and_sums_are_those_of_a_plain_reading(
    name: str, feed: str, trades_in: Callable[[Any], list[Plain]]
) -> None:
    path = real_data("crypto_raw_ws_frames", name)
    expected = plainly(path, trades_in)

    found = [
        (item.symbol, item.price, item.size)
        for _, items in decode_file(path, load_contract(feed), Limits(), READ_MS)
        for item in items
        if isinstance(item, Trade)
    ]

    assert found == expected
    assert len(found) > 0
    assert sum(size for *_, size in found) == sum(size for *_, size in expected)


def test_a_page_of_trades_is_read_as_plainly() -> None:
    path = real_data("kraken_xbtusdt_2025-11-10", "http_trades.json")
    page = json.loads(path.read_text("utf-8"), parse_float=str)["result"]
    expected = [
        (symbol, Decimal(price), Decimal(size), str(identity))
        for symbol, rows in page.items()
        if symbol != "last"
        for price, size, _, _, _, _, identity in rows
    ]

    found = [
        (item.symbol, item.price, item.size, item.id)
        for _, items in decode_file(path, load_contract("kraken-rest"), Limits(), READ_MS)
        for item in items
        if isinstance(item, Trade)
    ]

    assert found == expected
    assert len(found) == 1_000
