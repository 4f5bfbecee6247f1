"""Replay: which files are refused before anything is sent."""

import hashlib
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pytest

from support.build import READ_MS, at
from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import Context, Limits, decode
from truetape.feeds.records import Record
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.market.resolution import MS_NS
from truetape.market.trades import Trade
from truetape.tour.replay import ReplayLedger, require_past, send

TRADE = '{"kind":"trade","symbol":"IBM","venue":"XNYS","event_time":"%s","price":"1","size":"1"}\n'
BEGIN = "2026-11-20T14:31:10"
BEGIN_MS = at(BEGIN) // MS_NS


def written(folder: Path, *lines: str) -> Path:
    file = folder / "day.jsonl"
    file.write_text("".join(lines))
    return file


@pytest.mark.parametrize("read_ms", [BEGIN_MS - 1_000, BEGIN_MS, BEGIN_MS + 1])
def test_a_file_that_begins_in_the_past_is_sent(tmp_path: Path, read_ms: int) -> None:
    """Later records, and the last second before the clock, do not matter."""
    file = written(tmp_path, "no trade\n", TRADE % f"{BEGIN}Z", TRADE % "2098-01-02T15:00:00Z")

    require_past(file, "truetape", Limits(), read_ms)


def test_a_file_that_begins_in_the_future_is_refused(tmp_path: Path) -> None:
    """It could never be sent again, and each of its records would be a dead letter."""
    file = written(tmp_path, "no trade\n", TRADE % f"{BEGIN}Z")

    with pytest.raises(ConfigError, match=f"day.jsonl begins at {BEGIN}Z, which is in the future"):
        require_past(file, "truetape", Limits(), BEGIN_MS - 1_001)


def test_a_file_without_an_event_is_sent_to_become_dead_letters(tmp_path: Path) -> None:
    require_past(written(tmp_path, "no trade\n"), "truetape", Limits(), BEGIN_MS)


@pytest.fixture
def sent(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The payloads that were sent; Kafka acknowledges each."""
    payloads: list[bytes] = []

    def send_all(_: str, __: str, records: Iterable[Record], **___: object) -> None:
        payloads.extend(record.payload for record in records)

    monkeypatch.setattr("truetape.tour.replay.send_all", send_all)
    return payloads


def test_a_file_is_sent_once_and_again_only_when_told(
    settings: Settings, tmp_path: Path, sent: list[bytes]
) -> None:
    file = written(tmp_path, TRADE % f"{BEGIN}Z")

    for again in (False, False, True):
        total = send(settings, (file,), "truetape", None, lambda _: None, again=again)
        assert total.events == 1

    assert len(sent) == 2


def test_a_file_that_was_sent_in_part_is_refused_but_for_again(
    settings: Settings, tmp_path: Path, sent: list[bytes]
) -> None:
    file = written(tmp_path, TRADE % f"{BEGIN}Z")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    ReplayLedger(settings.home / "replayed.json").begin(digest, settings.topic, file.name)

    with pytest.raises(ConfigError, match=r"day\.jsonl was interrupted: part of it is in Kafka"):
        send(settings, (file,), "truetape", None, lambda _: None)
    send(settings, (file,), "truetape", None, lambda _: None, again=True)
    send(settings, (file,), "truetape", None, lambda _: None)

    assert len(sent) == 1


FLAT = """\
ticker,price,size,sip_timestamp,sequence_number,tape,exchange,id,conditions,correction
ABC,1.5,10,1795185070218000000,2,1,4,7,"12,37",0
ABC,1.25,20,1795185070219000000,1,1,4,8,,0
"""


def test_a_row_of_csv_means_the_same_trade_alone(
    settings: Settings, tmp_path: Path, sent: list[bytes]
) -> None:
    """Each record has its header, since no other record of the topic says what its columns are."""
    file = tmp_path / "day.csv"
    file.write_text(FLAT)
    contract = load_contract("polygon-flat")
    context = Context("polygon-flat", None, None, None, "trades", 0, 0, READ_MS)

    total = send(settings, (file,), "polygon-flat", None, lambda _: None)

    alone = [decode(payload, contract, context, Limits()) for payload in sent]
    assert [
        (item.price, item.size, item.conditions)
        for items in alone
        for item in items
        if isinstance(item, Trade)
    ] == [(Decimal("1.5"), 10, ("T", "I")), (Decimal("1.25"), 20, ())]
    assert (total.records, total.events, total.rejected) == (2, 2, 0)
