"""Trade files: payload bytes unchanged, of every format, with what name, user or envelope add."""

import bz2
import contextlib
import gzip
import io
import json
import random
import re
import resource
import zipfile
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.data import real_data
from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import Limits
from truetape.feeds.file_log import FileLog
from truetape.feeds.file_names import NameParts
from truetape.feeds.files import MAX_PAGE_BYTES, FileRecord, decode_file, read, read_lines
from truetape.host.errors import ConfigError
from truetape.market.rejection import Rejected

LEAN = load_contract("lean-equity-tick")
NATIVE = load_contract("truetape")
FLAT = load_contract("polygon-flat")


def payloads(path: Path, feed: str, given: NameParts = NameParts()) -> list[bytes]:  # noqa: B008 - frozen
    return [record.payload for record in read(path, load_contract(feed), given)]


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def zstandard(content: bytes) -> bytes:
    return bytes(pa.compress(content, codec="zstd", asbytes=True))  # type: ignore[call-overload]


def test_a_lean_zip_gives_symbol_and_day(tmp_path: Path) -> None:
    path = tmp_path / "20131007_trade.zip"
    member = "20131007_ibm_Trade_Tick.csv"
    path.write_bytes(zipped(**{member: b"1,2,3,P,0,0\r\n4,5,6,P,0,0"}))

    day, source = date(2013, 10, 7), f"{path}!{member}"
    assert list(read(path, LEAN)) == [
        FileRecord(b"1,2,3,P,0,0", "ibm", day, None, 1, 1, source),
        FileRecord(b"4,5,6,P,0,0", "ibm", day, None, 2, 2, source),
    ]


@pytest.mark.parametrize(
    ("name", "feed", "parts"),
    [
        ("ABCUSDT-trades-2025-01-02.csv", "binance-trades-csv", ("ABCUSDT", date(2025, 1, 2))),
        ("ABCUSDT-trades-2024-12.csv", "binance-trades-csv", ("ABCUSDT", None)),
        ("ABCUSDT-trades-2024-12 (1).csv", "binance-trades-csv", ("ABCUSDT", None)),
        ("XBTUSD.csv", "kraken-csv", ("XBTUSD", None)),
        ("tick/ibm/20131007_trade.csv", "lean-equity-tick", ("ibm", date(2013, 10, 7))),
    ],
    ids=str,
)
def test_a_name_says_symbol_and_date_where_the_contract_says_how(
    tmp_path: Path, name: str, feed: str, parts: tuple[str, date | None]
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"1,2,3\n")

    [record] = read(path, load_contract(feed))

    assert (record.key, record.day) == parts


@pytest.mark.parametrize(
    ("name", "feed", "option"),
    [
        ("ABCUSDT/trades-2025-01-02.csv", "binance-trades-csv", "--symbol-is"),
        ("Downloads/trades.csv", "kraken-csv", "--symbol-is"),
        ("Downloads/my-trades-2025-01-02.csv", "binance-trades-csv", "--symbol-is"),
        ("Downloads/Kraken-EXPORT.csv", "kraken-csv", "--symbol-is"),
        ("ibm/20131007_trade.csv", "lean-equity-tick", "--symbol-is"),
        ("tick/ibm/20131307_trade.csv", "lean-equity-tick", "--date-is"),
    ],
)
def test_a_folder_or_another_name_says_nothing(
    tmp_path: Path, name: str, feed: str, option: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"1,2,3\n")

    with pytest.raises(ConfigError, match=option):
        list(read(path, load_contract(feed)))
    [record] = read(path, load_contract(feed), NameParts("ABC", date(2026, 11, 20)))
    assert (record.key, record.day) == ("ABC", date(2026, 11, 20))


def test_a_symbol_is_not_given_to_rows_that_have_one(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    path.write_bytes(b"{}\n")

    with pytest.raises(ConfigError, match="leave out --symbol-is"):
        list(read(path, NATIVE, NameParts("IBM")))


def test_captured_frames_give_their_receipt_time(tmp_path: Path) -> None:
    path = tmp_path / "KRAKEN.jsonl"
    path.write_text('{"exchange":"KRAKEN","recv_ts":"1618678142.592855","raw":"{\\"a\\":1}"}\n')

    assert list(read(path, load_contract("kraken"))) == [
        FileRecord(b'{"a":1}', None, None, 1_618_678_142_592_855_000, 1, 1, str(path))
    ]


CONTENT = b'{"a":1}\n{"a":2}\n'
WAYS: dict[str, Callable[[bytes], bytes]] = {
    "a.jsonl": lambda content: content,
    "a.jsonl.gz": gzip.compress,
    "a.jsonl.bz2": bz2.compress,
    "a.jsonl.zst": zstandard,
    "a.zip": lambda content: zipped(**{"a.jsonl": content}),
    "packed without a suffix": gzip.compress,
    "a.zip in a.zip": lambda content: zipped(**{"b.zip": zipped(**{"a.jsonl": content})}),
    "a.gz in a.zip": lambda content: zipped(**{"a.jsonl.gz": gzip.compress(content)}),
    "two parts.gz": lambda content: gzip.compress(content[:8]) + gzip.compress(content[8:]),
    "two parts.zst": lambda content: zstandard(content[:8]) + zstandard(content[8:]),
    "a byte order mark": lambda content: b"\xef\xbb\xbf" + content,
}


@pytest.mark.parametrize("name", WAYS)
def test_every_packing_gives_the_same_payloads(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(WAYS[name](CONTENT))

    assert payloads(path, "truetape") == [b'{"a":1}', b'{"a":2}']


def test_every_member_of_a_zip_is_read_in_order_with_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "Kraken_Trading_History.zip"
    members = {
        "XBTUSD.csv": b"1,2,3\n", "__MACOSX/._XBTUSD.csv": b"\x00", "all/ETHEUR.csv": b"4,5,6\n",
        ".DS_Store": b"\x00",
    }  # fmt: skip
    path.write_bytes(zipped(**members))

    records = list(read(path, load_contract("kraken-csv")))

    assert [(item.key, item.payload, item.line, item.source) for item in records] == [
        ("XBTUSD", b"1,2,3", 1, f"{path}!XBTUSD.csv"),
        ("ETHEUR", b"4,5,6", 1, f"{path}!all/ETHEUR.csv"),
    ]


PAGE = {"error": [], "result": {"ABC": [["1", "2", 3.5]]}}


@pytest.mark.parametrize(
    ("feed", "content", "found"),
    [
        ("kraken-rest", b'{\n "result": {}\n}\n', [(1, b'{\n "result": {}\n}')]),
        ("kraken-rest", b'{"a":\n1}\n\n {"b":\n2}', [(1, b'{"a":\n1}'), (4, b'{"b":\n2}')]),
        ("kraken", b'[\n 7,[["1"]]\n]', [(1, b'[\n 7,[["1"]]\n]')]),
        ("truetape", b'[{"a":1},{"a":2}]', [(1, b'{"a":1}'), (1, b'{"a":2}')]),
        ("truetape", b'[\n{"a":1},\n{"a":"]"} ]\n', [(1, b'{"a":1}'), (1, b'{"a":"]"}')]),
        (
            "truetape",
            b'{"a":1}\n{"a":\n{"a":3}\n',
            [(1, b'{"a":1}'), (2, b'{"a":'), (3, b'{"a":3}')],
        ),
        ("truetape", b'{"a":\n{"a":3}\n', [(1, b'{"a":'), (2, b'{"a":3}')]),
        ("truetape", b'not json\n{"a":\r\n\n\n', [(1, b"not json"), (2, b'{"a":')]),
        ("truetape", b"\n\n", []),
        ("truetape", b"", []),
        ("truetape", b'{"a":"\xff"}\n', [(1, b'{"a":"\xff"}')]),
        ("truetape", b"[" * 100_000 + b"\n", [(1, b"[" * 100_000)]),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_json_is_read_over_lines_if_the_whole_file_is_json_values(
    tmp_path: Path, feed: str, content: bytes, found: list[tuple[int, bytes]]
) -> None:
    path = tmp_path / "page.json"
    path.write_bytes(content)

    records = list(read(path, load_contract(feed)))

    assert [(item.line, item.payload) for item in records] == found
    assert [item.number for item in records] == list(range(1, len(found) + 1))


def test_large_json_over_lines_is_an_error_and_damaged_large_lines_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("truetape.feeds.files.MAX_PAGE_BYTES", 100)
    (tmp_path / "page.json").write_bytes(b'{\n "a": [\n' + b"1,\n" * 100 + b"1]}\n")
    (tmp_path / "day.jsonl").write_bytes(b'{"a":\n' + b'{"a":1}\n' * 100)

    with pytest.raises(ConfigError, match=r"page.json: is JSON over lines of more than 100 bytes"):
        payloads(tmp_path / "page.json", "truetape")
    assert len(payloads(tmp_path / "day.jsonl", "truetape")) == 101
    (tmp_path / "one.json").write_bytes(b"[" + b"1," * 100 + b"1]")
    assert len(payloads(tmp_path / "one.json", "truetape")) == 1


def test_a_header_is_put_before_each_row_until_the_next(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_bytes(
        b"ticker,price,size,sip_timestamp\r\nABC,1,2,3\r\n\r\nABC,4,5,6\r\n"
        b'price,size,note,sip_timestamp\n7,8,"a\nb",9\n'
    )

    records = list(read(path, FLAT))

    first, second = b"ticker,price,size,sip_timestamp\n", b"price,size,note,sip_timestamp\n"
    assert [(item.line, item.payload) for item in records] == [
        (2, first + b"ABC,1,2,3"),
        (3, first),
        (4, first + b"ABC,4,5,6"),
        (6, second + b'7,8,"a\nb",9'),
    ]


def test_a_header_that_says_what_the_contract_says_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ABCUSDT-trades-2025-01-02.csv"
    path.write_bytes(
        b"id,price,qty,quote_qty,time,is_buyer_maker,is_best_match\n1,2,3,6,4,True,True\n"
    )

    assert payloads(path, "binance-trades-csv") == [b"1,2,3,6,4,True,True"]


@pytest.mark.parametrize("before", [b"", b"1795185070,25.5,0.4\n"], ids=["first", "later"])
def test_a_header_of_unknown_names_is_an_error_not_a_row(tmp_path: Path, before: bytes) -> None:
    """Its rows may have price and volume the other way round."""
    path = tmp_path / "XBTUSD.csv"
    path.write_bytes(before + b"Timestamp,Volume,Price\n1795185070,0.4,25.5\n")

    with pytest.raises(ConfigError, match=r"XBTUSD.csv: line [12] looks like a header"):
        payloads(path, "kraken-csv")


@pytest.mark.parametrize("mark", [";", "|", "\t"])
def test_a_delimiter_that_is_not_the_contract_s_is_named(tmp_path: Path, mark: str) -> None:
    header, row = ("time,price,volume".replace(",", mark), "1795185070,25.5,4".replace(",", mark))
    (tmp_path / "XBTUSD.csv").write_text(f"{header}\n{row}\n")
    (tmp_path / "ETHUSD.csv").write_text(f"{row}\n")
    contract = load_contract("kraken-csv")

    with pytest.raises(
        ConfigError, match=r"XBTUSD.csv: line 1 is a header .* seems to be"
    ) as refused:
        list(read(tmp_path / "XBTUSD.csv", contract))
    [(_, [rejected])] = decode_file(tmp_path / "ETHUSD.csv", contract, Limits(), 0)

    assert f"seems to be {mark!r}, in place of the contract's ','" in str(refused.value)
    assert isinstance(rejected, Rejected)
    assert rejected.detail == (
        f"1 column in place of 3; the delimiter seems to be {mark!r}, in place of ','"
    )


@pytest.mark.parametrize(
    "content", [b"1,2,3\r4,5,6\r7,8,9", b"time,price,volume\r1,2,3\r", b"1,2,3\r4,5,6\n7,8,9\n"]
)
def test_lines_that_end_with_cr_alone_are_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "XBTUSD.csv").write_bytes(content)

    with pytest.raises(ConfigError, match=r"XBTUSD.csv: line 1 .* has CR without LF"):
        payloads(tmp_path / "XBTUSD.csv", "kraken-csv")


def test_a_stray_cr_in_a_later_row_rejects_that_row_alone(tmp_path: Path) -> None:
    (tmp_path / "XBTUSD.csv").write_bytes(b"1795185070,2,3\r\n4,5\r,6\n1795185070,8,9\r\n")

    outcomes = decode_file(tmp_path / "XBTUSD.csv", load_contract("kraken-csv"), Limits(), 2**42)

    items = [item for _, found in outcomes for item in found]
    assert [getattr(item, "detail", "") for item in items] == ["", "has CR without LF", ""]


@pytest.mark.parametrize("before", [b"", b"1795185070,25.5,4\n"], ids=["first", "later"])
def test_a_header_that_is_not_utf8_is_an_error_of_its_own_line(
    tmp_path: Path, before: bytes
) -> None:
    header = "time,price,volume,w\u00e4hrung\n".encode("latin-1")
    (tmp_path / "XBTUSD.csv").write_bytes(before + header + b"1795185070,25.5,4,EUR\n")

    line = before.count(b"\n") + 1
    with pytest.raises(
        ConfigError, match=rf"XBTUSD.csv: line {line}, a header, is not UTF-8 at byte"
    ):
        payloads(tmp_path / "XBTUSD.csv", "kraken-csv")


def test_a_line_of_words_that_is_no_header_is_a_payload(tmp_path: Path) -> None:
    path = tmp_path / "XBTUSD.csv"
    path.write_bytes(b"1795185070,25.5,0.4\n,,\nend of file\na,b\n")

    assert payloads(path, "kraken-csv")[1:] == [b",,", b"end of file", b"a,b"]


def test_a_quote_that_is_never_closed_takes_no_other_row_with_it(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    rows = [b"ABC,%d" % number for number in range(200)]
    path.write_bytes(b'price,sip_timestamp\n"1,2\n' + b"\n".join(rows))

    assert [payload.split(b"\n")[1] for payload in payloads(path, "polygon-flat")] == [
        b'"1,2',
        *rows,
    ]


TABLE = pa.table(
    {
        "kind": ["trade", "trade"],
        "symbol": pa.array(["ABC", "DEF"]).dictionary_encode(),
        "event_time": pa.array([1_795_185_070_218_218_853] * 2, pa.timestamp("ns", "UTC")),
        "price": pa.array([Decimal("25.50"), None], pa.decimal128(38, 18)),
        "size": pa.array([100.0, 0.1]),
        "sequence": pa.array([1, 2**62]),
        "conditions": [["@", "I"], []],
        "half": pa.array([0.1, 2.5], pa.float32()),
        "clock": pa.array([34_200_000_000_001, 0], pa.time64("ns")),
        "local": pa.array([1_767_323_045] * 2, pa.timestamp("s")),
        "aware": pa.array([1_767_312_000_000] * 2, pa.timestamp("ms", "UTC")),
        "day": [date(2026, 1, 2), None],
    }
)


def test_a_parquet_row_is_an_object_for_a_feed_of_objects(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "day.parquet")

    first, second = (json.loads(item) for item in payloads(tmp_path / "day.parquet", "truetape"))

    assert first == {
        "kind": "trade", "symbol": "ABC", "event_time": "2026-11-20T14:31:10.218218853Z",
        "price": "25.500000000000000000", "size": "100.0", "sequence": "1",
        "conditions": ["@", "I"], "half": "0.1", "clock": "09:30:00.000000001",
        "local": "2026-01-02T03:04:05", "aware": "2026-01-02T00:00:00Z", "day": "2026-01-02",
    }  # fmt: skip
    assert (second["price"], second["sequence"], second["conditions"]) == (None, str(2**62), [])


def test_a_parquet_row_is_a_row_below_a_header_for_a_feed_of_columns(tmp_path: Path) -> None:
    path = tmp_path / "day.zip"
    file = io.BytesIO()
    pq.write_table(TABLE.select(["symbol", "price", "conditions", "sequence"]), file)
    path.write_bytes(zipped(**{"day.parquet": file.getvalue()}))

    header = b"symbol,price,conditions,sequence\n"
    assert payloads(path, "polygon-flat") == [
        header + b'ABC,25.500000000000000000,"@,I",1',
        header + b"DEF,,,4611686018427387904",
    ]


def test_parquet_without_rows_is_a_file_without_a_record(tmp_path: Path) -> None:
    pq.write_table(TABLE.slice(0, 0), tmp_path / "day.parquet")
    log = FileLog()

    assert list(read(tmp_path / "day.parquet", NATIVE, log=log)) == []
    assert log.empty == [str(tmp_path / "day.parquet")]


def test_parquet_needs_a_feed_of_columns_or_objects(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "day.parquet")

    with pytest.raises(ConfigError, match="write a contract with the columns"):
        payloads(tmp_path / "day.parquet", "kraken")


@pytest.mark.parametrize(
    ("feed", "column", "kind", "shape"),
    [
        ("kraken-csv", "time", pa.timestamp("ms"), "iso8601-local"),
        ("polygon-flat", "sip_timestamp", pa.timestamp("ns", "UTC"), "iso8601"),
        ("truetape", "event_time", pa.timestamp("us"), "iso8601-local"),
    ],
)
def test_a_parquet_column_of_times_under_another_shape_is_an_error(
    tmp_path: Path, feed: str, column: str, kind: pa.DataType, shape: str
) -> None:
    path = tmp_path / "XBTUSD.parquet"
    pq.write_table(pa.table({column: pa.array([1], kind), "price": ["1"]}), path)

    with pytest.raises(
        ConfigError, match=rf"XBTUSD.parquet: the column {column} .*write shape: "
    ) as refused:
        payloads(path, feed)
    assert f"write shape: {shape} in" in str(refused.value)


OTHERS = {
    "a.xz": (b"\xfd7zXZ\x00\x00\x04", "xz"),
    "a.7z": (b"7z\xbc\xaf\x27\x1c\x00\x04", "7-Zip"),
    "a.rar": (b"Rar!\x1a\x07\x00", "RAR"),
    "a.Z": (b"\x1f\x9d\x90", "compress"),
    "a.feather": (b"ARROW1\x00\x00", "Arrow IPC"),
    "a.orc": (b"ORC\x0a\x00", "ORC"),
    "a.avro": (b"Obj\x01\x04", "Avro"),
    "a.npy": (b"\x93NUMPY\x01\x00", "NumPy"),
    "a.pkl": (b"\x80\x04\x95\x00\x00", "pickle"),
    "a.dta": (b"<stata_dta><header>", "Stata"),
    "a.sqlite": (b"SQLite format 3\x00", "SQLite"),
    "a.duckdb": (b"\x01" * 8 + b"DUCK\x40", "DuckDB"),
    "a.dbn": (b"DBN\x02\x00\x00", "DBN"),
    "a.h5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "a.pcap": (b"\xd4\xc3\xb2\xa1\x02\x00", "network packets"),
    "a.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel"),
    "a.xlsx": (zipped(**{"[Content_Types].xml": b"<x/>", "xl/a.xml": b"<x/>"}), "Excel"),
    "a.docx": (zipped(**{"[Content_Types].xml": b"<x/>", "word/a.xml": b"<x/>"}), "Office"),
    "a.ods": (zipped(**{"mimetype": b"x", "META-INF/manifest.xml": b"<x/>"}), "OpenDocument"),
    "a.numbers": (zipped(**{"Index/Document.iwa": b"x", "a.jpg": b"x"}), "Numbers"),
    "a.npz": (zipped(**{"a.npy": b"\x93NUMPY\x01\x00"}), "npy: is a NumPy array"),
    "a.pdf": ("%PDF-1.7\n%\u00e2\u00e3\n1 0 obj".encode("latin-1"), "a PDF"),
    "a.rtf": (b"{\\rtf1\\ansi a}", "RTF"),
    "a.png": (b"\x89PNG\r\n\x1a\n", "picture"),
    "a.jpg": (b"\xff\xd8\xff\xe0", "picture"),
    "a.tar": (b"a.csv".ljust(257, b"\x00") + b"ustar", "tar"),
    "a.tar.gz": (gzip.compress(b"a.csv".ljust(257, b"\x00") + b"ustar"), "tar"),
    "a.pdf.gz": (gzip.compress(b"%PDF-1.7\n"), "a PDF"),
    "a.csv": (b"<!DOCTYPE html>\n<html>", "HTML"),
    "d.csv": (b"\xef\xbb\xbf\n<?xml", "HTML or XML"),
    "b.csv": ("time,price\n".encode("utf-16"), "UTF-16"),
    "e.csv": ("time,price\n".encode("utf-16-be"), "UTF-16"),
    "f.csv": ("time,price\n".encode("utf-32"), "UTF-32"),
    "g.csv": ("time,price\n".encode("utf-32-be"), "UTF-32"),
    "h.csv": (b"\x00\x00\xfe\xff" + "time".encode("utf-32-be"), "UTF-32"),
    "c.csv": (b"a\x00b", "binary"),
    "a.zip": (b"no zip", "not packed as its name says"),
    "b.zip": (zipped(), "the zip file is empty"),
    "c.zip": (b"PK\x07\x08PK\x03\x04", "not packed as its name says"),
    "a.z01": (b"PK\x07\x08PK\x03\x04", "a part of a split zip file"),
    "a.csv.gz": (gzip.compress(b"1,2,3\n" * 1_000)[:-20], "cannot be read"),
    "a.csv.zst": (zstandard(b"1,2,3\n" * 1_000)[:-4], "cannot be read"),
    "b.csv.zip": (zipped(a=b"1,2,3\n" * 100)[:-10], "cannot be read"),
    "a.parquet": (b"time,price\n", "not Parquet"),
    "b.parquet": (b"PAR1 and no more", "cannot be read"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_error_names_the_file_and_what_it_is(tmp_path: Path, name: str) -> None:
    content, kind = OTHERS[name]
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ConfigError, match=kind) as refused:
        payloads(tmp_path / name, "kraken-csv", NameParts("ABC"))
    assert name in str(refused.value)


def altered(content: bytes, place: bytes, value: int, at: int) -> bytes:
    """Return a zip with two bytes changed, `at` behind each of its headers that begin so."""
    changed = bytearray(content)
    for match in re.finditer(re.escape(place), content):
        changed[match.start() + at] = value
    return bytes(changed)


def locked(content: bytes) -> bytes:
    return altered(altered(content, b"PK\x03\x04", 1, 6), b"PK\x01\x02", 1, 8)


def of_method(content: bytes, method: int) -> bytes:
    return altered(altered(content, b"PK\x03\x04", method, 8), b"PK\x01\x02", method, 10)


ROWS = zipped(**{"XBTUSD.csv": b"1,2,3\n4,5,6\n"})
NESTED: dict[str, tuple[bytes, str]] = {
    "zip in zip": (zipped(**{"a.zip": ROWS, "b/ETHUSD.csv": b"7,8,9\n"}), ""),
    "gz in zip": (zipped(**{"XBTUSD.csv.gz": gzip.compress(b"1,2,3\n")}), ""),
    "GZ in ZIP": (zipped(**{"XBTUSD.CSV.GZ": gzip.compress(b"1,2,3\n")}), ""),
    "bz2 in zip": (zipped(**{"XBTUSD.csv.bz2": bz2.compress(b"1,2,3\n")}), ""),
    "zst of a zip": (zstandard(ROWS), ""),
    "gz of a zip": (gzip.compress(ROWS), ""),
    "bz2 of a zip": (bz2.compress(ROWS), ""),
    "gz of a gz of a zip": (gzip.compress(gzip.compress(ROWS)), ""),
    "folders": (zipped(**{"a/": b"", "a/b/": b"", "a/b/XBTUSD.csv": b"1,2,3\n"}), ""),
    "paths": (zipped(**{"../up/XBTUSD.csv": b"1,2,3\n", "/abs/ETHUSD.csv": b"4,5,6\n"}), ""),
    "empty in zip": (zipped(**{"a.zip": zipped()}), r"!a\.zip: the zip file is empty"),
    "folders only": (zipped(**{"a/": b""}), "the zip file is empty"),
    "encrypted": (locked(ROWS), r"!XBTUSD\.csv: is encrypted; unpack it with its password"),
    "encrypted in zip": (zipped(**{"a.zip": locked(ROWS)}), r"!a\.zip!XBTUSD\.csv: is encrypted"),
    "deflate64": (of_method(ROWS, 9), r"!XBTUSD\.csv: cannot be read \(.*unpack it first"),
    "damaged": (zipped(**{"a.gz": gzip.compress(b"1,2,3\n" * 99)[:-9]}), r"!a\.gz: cannot be read"),
    "damaged zip": (zipped(**{"a.zip": ROWS[:-9]}), r"!a\.zip: cannot be read"),
    "notes": (zipped(**{"a.md": b"1", "b.md": b"1"}), r"has no trade file; skipped, .*!a\.md"),
    "deep": (gzip.compress(gzip.compress(gzip.compress(gzip.compress(b"1")))), "more than 3"),
}


@pytest.mark.parametrize("name", NESTED)
def test_an_archive_in_an_archive_is_read_or_its_member_is_named(tmp_path: Path, name: str) -> None:
    content, error = NESTED[name]
    (tmp_path / name).write_bytes(content)

    if error:
        with pytest.raises(ConfigError, match=rf"{name}.*{error}"):
            payloads(tmp_path / name, "kraken-csv", NameParts("ABC"))
    else:
        assert payloads(tmp_path / name, "kraken-csv", NameParts("ABC"))[0] == b"1,2,3"


def test_what_unpacks_to_too_much_is_refused_before_it_fills_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("truetape.feeds.streams.MAX_COPY_BYTES", 2_000_000)
    large = zipped(**{"XBTUSD.csv": b"1,2,3\n" * 1_000_000})
    (tmp_path / "a.zip").write_bytes(zipped(**{"large.zip": large}))

    with pytest.raises(ConfigError, match=r"a.zip!large.zip: has over 2,000,000 bytes"):
        payloads(tmp_path / "a.zip", "kraken-csv")


def test_a_line_without_an_end_that_unpacks_to_very_much_stays_bounded(tmp_path: Path) -> None:
    """300 MB of one line in 300 kB: memory holds no more than the longest line that is read."""
    with gzip.open(tmp_path / "XBTUSD.csv.gz", "wb", 1) as file:
        for _ in range(300):
            file.write(b"1" * 1_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    [payload] = payloads(tmp_path / "XBTUSD.csv.gz", "kraken-csv")

    assert len(payload) == MAX_PAGE_BYTES + 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250_000


def damaged(content: bytes, rnd: random.Random) -> bytes:
    """Return a copy with a byte changed, bytes put in or taken out, or its end lost."""
    place = rnd.randrange(len(content))
    match rnd.randrange(4):
        case 0:
            return content[:place] + rnd.randbytes(1) + content[place + 1 :]
        case 1:
            return content[:place] + rnd.randbytes(4) + content[place:]
        case 2:
            return content[:place] + content[place + rnd.randint(1, 20) :]
        case _:
            return content[:place]


@pytest.mark.parametrize("feed", ["truetape", "polygon-flat", "kraken"])
def test_a_damaged_file_is_read_or_refused_but_nothing_else(tmp_path: Path, feed: str) -> None:
    rnd = random.Random()  # others in each run; a test that fails leaves the file
    table = io.BytesIO()
    pq.write_table(TABLE, table)
    text = b'{"a":1}\n[{"a":"x"}]\n"q",1,"b\n' * 20
    whole = {
        "a.csv": text, "a.gz": gzip.compress(text), "a.bz2": bz2.compress(text),
        "a.zst": zstandard(text), "a.parquet": table.getvalue(),
        "a.zip": zipped(**{"a.csv": text, "b.gz": gzip.compress(text)}),
    }  # fmt: skip
    for _ in range(100):
        for name, content in whole.items():
            (tmp_path / name).write_bytes(damaged(content, rnd))
            with contextlib.suppress(ConfigError):
                payloads(tmp_path / name, feed)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent"):
        payloads(tmp_path / "absent.csv", "truetape")


@pytest.mark.parametrize("symbol", ["DBN", "ORC", "PARE", "PKX", "BZH", "FEA1", "PGDMP", "GIF89a"])
def test_symbols_that_begin_like_a_binary_file_are_text(tmp_path: Path, symbol: str) -> None:
    (tmp_path / "day.csv").write_bytes(f"{symbol},1\n{symbol}\nX,2\n".encode())

    assert len(payloads(tmp_path / "day.csv", "polygon-flat")) == 3


def test_a_line_over_the_limit_is_cut_and_the_next_line_is_complete() -> None:
    lines = io.BytesIO(b"x" * 1_000 + b"\nnext\r\n" + b"y" * 10 + b"\nlast")

    assert list(read_lines(lines, 10)) == [b"x" * 11, b"next", b"y" * 10, b"last"]


@pytest.mark.data
def test_a_real_day_has_all_its_ticks() -> None:
    path = real_data("lean_us_equity_2013-10", "tick", "ibm", "20131007_trade.zip")

    assert sum(1 for _ in read(path, LEAN)) == 24_293
