"""CSV in the kernel: every payload is read as the reference reads it, ordinary ones quickly."""

import csv
import random
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest

from feeds.test_csv_records import AFTER, BEFORE, ERAS, acme
from kernel.test_decode_agrees import assert_alike, by_kernel
from support.payloads import ReceivedPayload, damaged, edits
from truetape.feeds.contract import contract_names, load_contract
from truetape.feeds.files import read

T = "1795185070218"
ROWS = (
    f"{T},25.5,100,,ABC",
    f'{T},25.5,100,"12,37",ABC',
    f'"{T}","25.5","100","12","ABC"',
    f'{T},25.5,100,"",ABC',
    f'{T},25.5,100,"a""b",ABC',
    f'{T},"25,5",100,,ABC',
    f'{T},25.5,100,,"A,B"',
    f'{T},25.5,100,12" 5,ABC',
    f'{T},25.5,100,"12,ABC',
    f"{T},25.5,100,\t,ABC",
    f"{T},25.5,100,\x1f,ABC",
    f"{T},25.5,price,size,ABC",
    f"{T},25.5,100,price,ABC",
    "time,price,size,conditions,symbol",
    f"{T},25.5,100,ABC",
    "",
)
HEADERS = (
    "",
    "time,price,size,conditions,symbol\n",
    "time,price,size,conditions,symbol\r\n",
    "\ufefftime,price,size,conditions,symbol\n",
    '"time","price","size","conditions","symbol"\n',
    "price,time,size,conditions,symbol\n",
    "time,price,size,conditions,symbol,new\n",
    "time,price,size,conditions\n",
    "time,price,price,conditions,symbol\n",
    "a,b,c,d,e\n",
    "\n",
)
ENDS = ("", "\n", "\r\n", "\n\n", f"\n{T},1,2,,ABC")


@pytest.mark.parametrize("option", ["", ", header: required", ", ignore_case: true"])
def test_rows_below_every_header_are_read_alike(tmp_path: Path, option: str) -> None:
    contract = acme(tmp_path, ("symbol]", f"symbol]{option}"))
    texts = [header + row + end for header in HEADERS for row in ROWS for end in ENDS]
    asked = [ReceivedPayload(text.encode()) for text in texts]

    assert assert_alike(contract, asked) > 0


@pytest.mark.parametrize("delimiter", ['";"', '"|"', "tab"])
def test_other_delimiters_are_read_alike(tmp_path: Path, delimiter: str) -> None:
    contract = acme(tmp_path, ("csv: {", f"csv: {{delimiter: {delimiter}, "))
    mark = "\t" if delimiter == "tab" else delimiter.strip('"')
    texts = [(header + row).replace(",", mark) for header in HEADERS for row in ROWS]

    assert assert_alike(contract, [ReceivedPayload(text.encode()) for text in texts]) > 0


def test_ordinary_rows_stay_on_the_fast_lane(tmp_path: Path) -> None:
    contract = acme(tmp_path)
    rows = [f'{T},25.5,{size},"12,37",ABC' for size in range(1, 200)]
    rows += [f"symbol,new,time,price,size\nABC,x,{T},25.5,{size}" for size in range(1, 200)]

    assert assert_alike(contract, [ReceivedPayload(row.encode()) for row in rows]) == len(rows)


def test_eras_by_event_time_are_chosen_alike(tmp_path: Path) -> None:
    one_layout = ERAS.replace("    csv: {columns: [symbol, price, size, conditions, time]}\n", "")
    times = (BEFORE, AFTER, "1735689600000", "1735689599999999", "x", "", "1735689599999.9")
    for eras, fast in ((ERAS, 1), (one_layout, 3)):
        contract = acme(tmp_path, ("samples:", eras))
        asked = [ReceivedPayload(f"{time},1,2,,ABC".encode()) for time in times]
        asked += [ReceivedPayload(f"ABC,1,2,,{time}".encode()) for time in times]
        asked.append(ReceivedPayload(f"{BEFORE},1,2,,ABC\n{AFTER},1,2,,ABC".encode()))

        assert assert_alike(contract, asked) >= fast


def test_symbols_with_a_suffix_are_read_alike(tmp_path: Path) -> None:
    contract = acme(tmp_path, ("symbol: symbol", "symbol: {path: symbol, suffix: size}"))
    parts = ("", "A", "1.50", " B", '"A,B"', "x" * 63, "2")
    rows = [f"{T},1,{suffix},,{root}" for root in parts for suffix in parts]

    assert assert_alike(contract, [ReceivedPayload(row.encode()) for row in rows]) > 0


NOTES = ("", "x", "a,b", 'say "x"', "two\nlines", "é", " ", "12,37")


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_files_are_read_as_a_plain_reader_reads_them(
    tmp_path: Path, quoting: Literal[0, 1, 2], line_end: str
) -> None:
    """Columns in any order, among others, with a second header halfway."""
    rnd = random.Random()  # others in each run
    file = tmp_path / "day.csv"
    expected = []
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened, quoting=quoting, lineterminator=line_end)
        for _ in range(2):
            columns = rnd.sample(
                ["time", "price", "size", "conditions", "symbol", "note", "side"], 7
            )
            writer.writerow(columns)
            for _ in range(200):
                row = {
                    "time": T, "price": f"{rnd.randint(1, 10**9) / 10**6:.6f}",
                    "size": str(rnd.randint(0, 10**6)), "symbol": rnd.choice(("ABC", "D/E", "F.G")),
                    "conditions": rnd.choice(("", "12", "12,37")), "note": rnd.choice(NOTES),
                    "side": rnd.choice(("buy", "sell")),
                }  # fmt: skip
                writer.writerow([row[name] for name in columns])
                expected.append((row["symbol"], Decimal(row["price"]), Decimal(row["size"])))
    contract = acme(tmp_path)

    asked = [ReceivedPayload(record.payload) for record in read(file, contract)]
    events = [outcome for outcome in by_kernel(contract, asked)[0] if outcome[2] == "trade"]

    assert [(event[3], event[8], event[9]) for event in events] == expected
    assert assert_alike(contract, asked) > 0


CLOCKS = (
    "9:30:00", "09:30:00.1", "23:59:59.999999999", "0:00:00", "24:00:00", "9:60:00", "9:30:60",
    "9:30", "093000", "9:30:00.1234567890", "9:30:00,5", " 9:30:00", "-9:30:00", "",
)  # fmt: skip
DATES = (
    "20180103", "2018-01-03", "2018-1-3", "20180230", "18-01-03", "2018-11-04", "20180311",
    "19700101", '"20180103"', "", "x",
)  # fmt: skip


def test_dates_and_clocks_of_two_columns_are_read_alike(tmp_path: Path) -> None:
    time = "event_time: {date: day, path: time, shape: clock, zone: America/New_York}"
    changes = (("event_time: {path: time, shape: epoch-ms}", time), ("[time,", "[day, time,"))
    asked = [
        ReceivedPayload(f"{header}{day},{clock},1,2,,ABC".encode())
        for header in ("", "day,time,price,size,conditions,symbol\n")
        for day in DATES
        for clock in CLOCKS
    ]

    assert assert_alike(acme(tmp_path, *changes), asked) > 0


@pytest.mark.parametrize("feed", [feed for feed in contract_names() if load_contract(feed).csv])
def test_trades_of_shipped_feeds_stay_on_the_fast_lane(feed: str) -> None:
    contract = load_contract(feed)
    trades = [
        ReceivedPayload(sample.payload.encode(), sample.key, sample.day, sample.received_ns)
        for sample in contract.samples
        if all('"kind":"trade"' in line for line in sample.native)
    ]

    assert trades
    assert assert_alike(contract, trades) == len(trades)


@pytest.mark.parametrize("feed", ["polygon-flat", "taq", "binance-trades-csv", "databento-pretty"])
def test_whole_and_damaged_rows_of_shipped_feeds_are_read_alike(feed: str) -> None:
    contract = load_contract(feed)
    rnd = random.Random()  # others in each run; a test that fails prints the payload
    samples = [ReceivedPayload(one.payload.encode(), one.key) for one in contract.samples]

    assert_alike(contract, [damaged(rnd.choice(samples), edits(rnd)) for _ in range(1_500)])
