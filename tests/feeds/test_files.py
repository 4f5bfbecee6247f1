"""Trade files: payload bytes unchanged, with key, day and receipt from names and envelopes."""

import gzip
import io
import zipfile
from datetime import date
from pathlib import Path

import pytest

from support.data import real_data
from truetape.feeds.contract import load_contract
from truetape.feeds.files import FileRecord, read, read_lines
from truetape.host.errors import ConfigError

LEAN = load_contract("lean-equity-tick")


def test_a_lean_zip_gives_symbol_and_day(tmp_path: Path) -> None:
    folder = tmp_path / "ibm"
    folder.mkdir()
    with zipfile.ZipFile(folder / "20131007_trade.zip", "w") as archive:
        archive.writestr("20131007_ibm_Trade_Tick.csv", "1,2,3,P,0,0\r\n4,5,6,P,0,0")

    records = list(read(folder / "20131007_trade.zip", LEAN))

    day = date(2013, 10, 7)
    assert records == [
        FileRecord(b"1,2,3,P,0,0", "ibm", day, None, 1),
        FileRecord(b"4,5,6,P,0,0", "ibm", day, None, 2),
    ]


def test_captured_frames_give_their_receipt_time(tmp_path: Path) -> None:
    path = tmp_path / "KRAKEN.jsonl"
    path.write_text('{"exchange":"KRAKEN","recv_ts":"1618678142.592855","raw":"{\\"a\\":1}"}\n')

    assert list(read(path, load_contract("kraken"))) == [
        FileRecord(b'{"a":1}', None, None, 1_618_678_142_592_855_000, 1)
    ]


def test_a_line_without_an_envelope_is_a_payload(tmp_path: Path) -> None:
    path = tmp_path / "native.jsonl"
    path.write_bytes(b'{"kind":"trade"}\n{"exchange":1\n')

    payloads = [record.payload for record in read(path, load_contract("truetape"))]

    assert payloads == [b'{"kind":"trade"}', b'{"exchange":1']


def test_gzip_is_unpacked_and_a_header_line_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "2026-11-20.csv.gz"
    path.write_bytes(
        gzip.compress(b"time,price,size,exchange,conditions,suspicious\n1,2,3,P,0,0\n")
    )

    assert list(read(path, LEAN)) == [FileRecord(b"1,2,3,P,0,0", None, date(2026, 11, 20), None, 2)]


def test_a_page_is_one_payload(tmp_path: Path) -> None:
    path = tmp_path / "http_trades.json"
    path.write_bytes(b'{\n"result": {}\n}\n')

    assert [record.payload for record in read(path, load_contract("kraken-rest"))] == [
        path.read_bytes()
    ]


def test_a_line_over_the_limit_is_cut_and_the_next_line_is_complete() -> None:
    lines = io.BytesIO(b"x" * 1_000 + b"\nnext\r\n" + b"y" * 10 + b"\nlast")

    assert list(read_lines(lines, 10)) == [b"x" * 11, b"next", b"y" * 10, b"last"]


@pytest.mark.parametrize("name", ["absent.csv", "broken.zip"])
def test_the_error_of_an_unreadable_file_names_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".zip":
        path.write_bytes(b"no zip")

    with pytest.raises(ConfigError, match=name):
        list(read(path, LEAN))


@pytest.mark.data
def test_a_real_day_has_all_its_ticks() -> None:
    path = real_data("lean_us_equity_2013-10", "tick", "ibm", "20131007_trade.zip")

    assert sum(1 for _ in read(path, LEAN)) == 24_293
