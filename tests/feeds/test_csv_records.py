"""CSV payloads: RFC 4180, columns by a header's names or in the contract's order, and eras."""

from decimal import Decimal
from pathlib import Path

import pytest

from support.build import READ_MS, at
from truetape.feeds.contract import Contract, read_contract
from truetape.feeds.decoder import Context, Limits, decode
from truetape.host.errors import ConfigError
from truetape.market.rejection import Rejected
from truetape.market.trades import Trade

ACME = """\
feed: acme
version: 1
source: https://acme.example
valid_from: 2020-01-01
ids: none
csv: {columns: [time, price, size, conditions, symbol], optional: [conditions]}
trade:
  symbol: symbol
  venue: {const: KRAKEN}
  event_time: {path: time, shape: epoch-ms}
  price: price
  size: size
  conditions: {path: conditions, form: comma}
samples: [{payload: x, native: [x]}]
"""


def acme(folder: Path, *changes: tuple[str, str]) -> Contract:
    text = ACME
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "acme.yaml").write_text(text)
    return read_contract(folder / "acme.yaml")


def decoded(contract: Contract, payload: str) -> list[object]:
    """Return trades as (price, size, conditions), rejections as (reason, detail)."""
    context = Context("acme", None, None, None, "t", 0, 0, READ_MS)
    return [
        (str(item.reason), item.detail)
        if isinstance(item, Rejected)
        else (str(item.price), str(item.size), ",".join(item.conditions))
        for item in decode(payload.encode(), contract, context, Limits())
        if isinstance(item, Rejected | Trade)
    ]


T = "1795185070218"
TRADE = [("25.5", "100", "12,37")]


@pytest.mark.parametrize(
    "payload",
    [
        f'{T},25.5,100,"12,37",ABC',
        f'"{T}","25.5","100","12,37","ABC"',
        f'{T},25.5,100,"12,37",ABC\r\n',
        f'\ufeff{T},25.5,100,"12,37",ABC',
        f'price,time,size,symbol,conditions\n25.5,{T},100,ABC,"12,37"',
        f'price,time,size,symbol,conditions\r\n25.5,{T},100,ABC,"12,37"\r\n',
        f'"price", time ,note,size,symbol,conditions\n25.5,{T},"a ""b"",\r\nc",100,ABC,"12,37"',
        f'time,price,size,conditions,symbol,new\n{T},25.5,100,"12,37",ABC,x',
        f'price,time,size,symbol,conditions\n\n25.5,{T},100,ABC,"12,37"\n\n',
    ],
    ids=["bare", "all quoted", "crlf", "bom", "header", "crlf header", "escapes", "new", "blank"],
)
def test_every_way_to_write_a_row_gives_the_same_trade(tmp_path: Path, payload: str) -> None:
    assert decoded(acme(tmp_path), payload) == TRADE


def test_each_row_of_a_payload_is_a_record_and_a_header_names_those_after_it(
    tmp_path: Path,
) -> None:
    rows = f"{T},1,2,,ABC\nprice,size,time,symbol\n3,4,{T},ABC\n5,6\n7,8,{T},ABC"

    assert decoded(acme(tmp_path), rows) == [
        ("1", "2", ""),
        ("3", "4", ""),
        ("not-csv", "2 columns in place of 4"),
        ("7", "8", ""),
    ]


@pytest.mark.parametrize(
    ("payload", "reason", "detail"),
    [
        (f'{T},25.5,1"0,,ABC', "not-csv", "the cell at character 20 has a stray quote"),
        (f'{T},25.5,"10,,ABC', "not-csv", "the cell at character 20 has a stray quote"),
        (f'{T},"25.5"5,10,,ABC', "not-csv", "the cell at character 15 has a stray quote"),
        (f"{T},25.5,10,\x07,ABC", "not-csv", "has the control character"),
        (f"{T},25.5,10,ABC", "not-csv", "4 columns in place of 5"),
        (f'{T},"25,500.0",10,,ABC', "bad-number", "price is '25,500.0'"),
        ("time,price,size,conditions,symbol", "not-a-trade", "a header without rows"),
        (f"time,price,price\n{T},1,2", "not-csv", "the header has the column price twice"),
        (f"time,price,symbol\n{T},1,ABC", "not-csv", "the header lacks size"),
        (f"time,size,price\n{T},1,2", "not-csv", "the header lacks symbol"),
    ],
    ids=lambda value: value[-20:],
)
def test_what_is_no_row_or_lacks_a_column_says_why(
    tmp_path: Path, payload: str, reason: str, detail: str
) -> None:
    [(found, why)] = decoded(acme(tmp_path), payload)

    assert found == reason
    assert detail in why


@pytest.mark.parametrize(
    ("delimiter", "mark"), [('";"', ";"), ('"|"', "|"), ("tab", "\t"), (r'"\t"', "\t")]
)
def test_other_delimiters_leave_commas_alone(tmp_path: Path, delimiter: str, mark: str) -> None:
    contract = acme(tmp_path, ("csv: {", f"csv: {{delimiter: {delimiter}, "))

    assert decoded(contract, mark.join((T, "25.5", "100", "12,37", "ABC"))) == TRADE
    assert decoded(contract, mark.join((T, f'"25{mark}5"', "1", "", "ABC")))[0][0] == "bad-number"  # type: ignore[index]


def test_a_feed_may_need_a_header(tmp_path: Path) -> None:
    contract = acme(tmp_path, ("symbol]", "symbol], header: required"))

    assert decoded(contract, f"{T},1,2,,ABC") == [
        ("not-csv", "no header names the columns of this row")
    ]
    assert decoded(contract, f"size,price,time,symbol\n2,1,{T},ABC") == [("1", "2", "")]


def test_a_column_may_have_further_names_and_any_case(tmp_path: Path) -> None:
    contract = acme(tmp_path, ("symbol]", "symbol], aliases: {Trade Price: price, Qty.: size}"))
    payload = f"Qty.,Trade Price,time,symbol\n2,1,{T},ABC"

    assert decoded(contract, payload) == [("1", "2", "")]
    assert decoded(contract, payload.replace("Trade Price", "trade price"))[0][0] == "not-csv"  # type: ignore[index]
    ignoring = acme(
        tmp_path,
        ("symbol]", "symbol], ignore_case: true, aliases: {Trade Price: price, Qty.: size}"),
    )
    assert decoded(ignoring, payload.upper().replace("ABC", "ABC")) == [("1", "2", "")]


ERAS = """\
eras_by: event-time
eras:
  - since: 2025-01-01
    csv: {columns: [symbol, price, size, conditions, time]}
    trade: {event_time: {path: time, shape: epoch-us}}
samples:"""
BEFORE, AFTER = "1735689599999", "1735689600000000"
"""The last millisecond of 2024 and the first microsecond of 2025."""


@pytest.mark.parametrize(
    ("payload", "outcome"),
    [
        (f"{BEFORE},1,2,,ABC", ("1", "2", "")),
        (f"ABC,1,2,,{AFTER}", ("1", "2", "")),
        (f"price,size,symbol,time\n1,2,ABC,{BEFORE}", ("1", "2", "")),
        (f"price,size,symbol,time\n1,2,ABC,{AFTER}", ("1", "2", "")),
        (f"price,size,symbol,time\n0,2,ABC,{BEFORE}", ("out-of-range", "price is 0")),
        ("price,size,symbol,time\n1,2,ABC,1735689600000", ("implausible-event-time", "2001 to")),
        ("price,size,symbol,time\n1,2,ABC,1735689599999999", ("implausible-event-time", "era")),
    ],
    ids=["old order", "new order", "old", "new", "bad price", "ms in the new", "us in the old"],
)
def test_the_era_is_that_of_the_trades_own_day(
    tmp_path: Path, payload: str, outcome: tuple[str, ...]
) -> None:
    [found] = decoded(acme(tmp_path, ("samples:", ERAS)), payload)

    assert isinstance(found, tuple)
    assert found[0] == outcome[0]
    assert outcome[1] in found[1]


def test_a_date_and_a_clock_in_two_columns_make_a_time(tmp_path: Path) -> None:
    time = "event_time: {date: day, path: time, shape: clock, zone: America/New_York}"
    contract = acme(
        tmp_path,
        ("event_time: {path: time, shape: epoch-ms}", time),
        ("[time,", "[day, time,"),
    )
    context = Context("acme", None, None, None, "t", 0, 0, READ_MS)

    times = [
        decode(f"{day},{clock},1,2,,ABC".encode(), contract, context, Limits())[0]
        for day, clock in (
            ("20180103", "9:30:00.123"),
            ("2018-01-03", "09:30:00.123456789"),
            ("2018-07-03", "9:30:00"),
            ("2018-11-04", "1:30:00"),
            ("20180103", "24:00:00"),
            ("20180103", "9:30"),
            ("20180230", "9:30:00"),
            ("", "9:30:00"),
        )
    ]

    assert [item.event_ns if isinstance(item, Trade) else str(item.reason) for item in times] == [  # type: ignore[union-attr]
        at("2018-01-03T14:30:00.123"),
        at("2018-01-03T14:30:00.123") + 456_789,
        at("2018-07-03T13:30:00"),
        "ambiguous-local-time",
        *["bad-event-time"] * 3,
        "missing-field",
    ]


def test_a_suffix_of_its_own_is_joined_where_it_is_there(tmp_path: Path) -> None:
    suffix = "symbol: {path: symbol, suffix: {path: conditions, after: /}}"
    contract = acme(tmp_path, ("symbol: symbol", suffix))
    context = Context("acme", None, None, None, "t", 0, 0, READ_MS)

    symbols = [
        item.symbol
        for row in (f"{T},1,2,B,BRK", f"{T},1,2,,IBM")
        for item in decode(row.encode(), contract, context, Limits())
        if isinstance(item, Trade)
    ]

    assert symbols == ["BRK/B", "IBM"]


def test_codes_of_another_feed_are_shared(tmp_path: Path) -> None:
    contract = acme(tmp_path, ("form: comma}", "form: comma, codes_of: polygon}"))

    assert decoded(contract, f'{T},1,2,"12,41,99",ABC') == [("1", "2", "T,p99")]


@pytest.mark.parametrize(
    ("old", "new", "place", "problem"),
    [
        ("symbol]", "price]", (6, "csv.columns.4"), "each plain name once"),
        ("symbol]", "symbol], delimiter: x", (6, "csv.delimiter"), "write one of"),
        ("symbol]", "symbol], aliases: {px: pric}", (6, "csv.aliases.px"), "the columns are"),
        ("symbol]", "symbol], header: maybe", (6, "csv.header"), "optional, required"),
        ("symbol]", "symbol, Time], ignore_case: true", (6, "csv.ignore_case"), "only by case"),
        ("[conditions]", "[nothing]", (6, "csv.optional.0"), "the columns are"),
        ("path: time,", "date: time, path: time,", (10, "trade.event_time.date"), "has no use"),
        ("form: comma", "form: comma, codes_of: kraken", (13, "trade.conditions.codes_of"), "feed"),
        ("ids: none", "ids: none\nfile_name: '[A-Z]+'", (6, "file_name"), "name groups"),
        ("ids: none", "ids: none\nfile_name: '(?P<symbol>'", (6, "file_name"), "no regular"),
        (
            "ids: none",
            "ids: none\nfile_name: '(?P<symbol>[A-Z]+)'\nfile_name_example: abc.csv",
            (7, "file_name_example"),
            "which no file_name fits",
        ),
    ],
    ids=lambda value: str(value)[:24],
)
def test_an_error_of_the_layout_names_file_line_and_field(
    tmp_path: Path, old: str, new: str, place: tuple[int, str], problem: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        acme(tmp_path, (old, new))

    assert f"line {place[0]}: {place[1]}" in str(refused.value)
    assert problem in str(refused.value)


def test_decimals_of_rows_are_exact(tmp_path: Path) -> None:
    context = Context("acme", None, None, None, "t", 0, 0, READ_MS)
    [trade] = decode(f"{T},0.123456789012345678,1,,ABC".encode(), acme(tmp_path), context, Limits())

    assert isinstance(trade, Trade)
    assert trade.price == Decimal("0.123456789012345678")
