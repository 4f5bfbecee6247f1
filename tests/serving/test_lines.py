"""Line protocol: an independent parser of the specification reads back every encoded row."""

import math
import struct
from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.build import NOON
from support.serving import bar, indicators, speed_batch
from truetape.serving import lines
from truetape.serving.bar_table import bars_of, table_of
from truetape.serving.line_table import BARS as LINES_OF_BARS
from truetape.serving.line_table import checked, float_texts, table_lines
from truetape.serving.store import DeadLine, IndicatorRow, ServedBar

INT64 = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
BARS = st.builds(
    ServedBar,
    symbol=st.text(),
    venue=st.text(),
    start_ns=INT64,
    open=NUMBERS,
    high=NUMBERS,
    low=NUMBERS,
    close=NUMBERS,
    volume=NUMBERS,
    vwap=NUMBERS,
    trades=INT64,
    rev=INT64,
    seq=INT64,
    layer=st.sampled_from(["speed", "batch"]),
    final=st.booleans(),
    void=st.booleans(),
)


def test_a_bar_is_one_line_with_sorted_tags_and_typed_fields() -> None:
    assert lines.bar(bar()) == (
        "bar,symbol=IBM,venue=XNYS open=100.0,high=101.5,low=99.25,close=100.5,volume=1200.0,"
        'vwap=100.12345678,trades=17i,rev=1i,seq=150i,layer="batch",final=true,void=false '
        "1795194000000000000"
    )


def test_an_indicator_row_has_only_the_values_that_exist() -> None:
    row = IndicatorRow("ES=F", "X Y", 5, {"sma_20": 1.5, "macd": -1e-07}, rev=2, void=False)

    assert lines.indicator(row) == (
        "indicator,symbol=ES\\=F,venue=X\\ Y rev=2i,void=false,sma_20=1.5,macd=-1e-07 5"
    )


def test_a_point_is_one_line_with_its_tags_and_fields() -> None:
    assert lines.point(speed_batch(time_ns=9)) == (
        "speed_batch,query=bars batch=7i,records=2000i,late=1i,bars=40i,fenced=0i,mended=0i,lag=3i,"
        "seconds=0.36,rows_per_s=5555.5 9"
    )


@given(BARS)
def test_every_bar_is_one_complete_line_or_a_dead_line(row: ServedBar) -> None:
    text = lines.bar(row)

    if isinstance(text, DeadLine):
        assert must_be_refused(row)
    else:
        assert "\n" not in text
        assert "\r" not in text
        assert bits(parse_bar(text)) == bits(row)


def test_an_int_in_a_float_field_is_encoded_as_a_float() -> None:
    """mypy allows an int for a float; InfluxDB would read a number without the point as a float."""
    text = lines.bar(bar(open=100, volume=0))

    assert isinstance(text, str)
    assert "open=100.0," in text
    assert "volume=0.0," in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"open": math.nan}, "field open is nan, not a float"),
        ({"vwap": math.inf}, "field vwap is inf, not a float"),
        ({"close": "1"}, "field close is '1', not a float"),
        ({"close": Decimal(1)}, "field close is Decimal('1'), not a float"),
        ({"close": None}, "field close is None, not a float"),
        ({"low": True}, "field low is True, not a float"),
        ({"volume": 2**60}, "field volume is 1152921504606846976, not a float"),
        ({"trades": 1.0}, "field trades is 1.0, not a int"),
        ({"rev": True}, "field rev is True, not a int"),
        ({"seq": 2**63}, "field seq is 9223372036854775808, not a int"),
        ({"final": 1}, "field final is 1, not a bool"),
        ({"void": None}, "field void is None, not a bool"),
        ({"layer": "both"}, "layer is 'both', not"),
        ({"start_ns": None}, "time is None, not"),
        ({"start_ns": 1.5e18}, "time is 1.5e+18, not"),
        ({"start_ns": 2**63}, "time is 9223372036854775808, not"),
        ({"symbol": ""}, "tag symbol is empty"),
        ({"symbol": None}, "tag symbol is None, not text"),
        ({"symbol": "A\nB"}, "tag symbol is 'A\\nB' and contains a line break"),
        ({"symbol": "A\\"}, "tag symbol is 'A\\\\' and ends in a backslash"),
        ({"symbol": "é" * 513}, "tag symbol has 1026 bytes, more than the limit of 1024"),
        ({"venue": "X|Y"}, "tag venue is 'X|Y'; InfluxQL joins"),
    ],
    ids=lambda value: (
        "-".join(f"{k}={str(v)[:12]}" for k, v in value.items()) if isinstance(value, dict) else ""
    ),
)
def test_a_value_that_line_protocol_cannot_express_is_refused_and_named(
    change: dict[str, object], reason: str
) -> None:
    outcome = lines.bar(bar(**change))

    assert isinstance(outcome, DeadLine)
    assert outcome.reason.startswith(reason)
    assert outcome.line.startswith("ServedBar(symbol=")


@pytest.mark.parametrize(
    "text",
    ["two\nlines", "bell\x07", "\udfff", "x" * 70_000],
    ids=["line break", "control", "surrogate", "long"],
)
def test_text_with_control_characters_or_too_many_bytes_is_refused(text: str) -> None:
    fields = {"session": text, "rev": 1, "bars": 1, "edits": 1, "indicators": 0}
    fields |= {"seconds": 1.0, "who": ""}
    point = replace(speed_batch(), measurement="publication", tags={"venue": "X"}, fields=fields)

    outcome = lines.point(point)

    assert isinstance(outcome, DeadLine)
    assert outcome.reason.startswith("field session is ")


def test_an_unknown_indicator_is_refused_with_the_known_names() -> None:
    outcome = lines.indicator(indicators(NOON, ichimoku=1.0))

    assert isinstance(outcome, DeadLine)
    assert "no field 'ichimoku'; known: rev, void, sma_20" in outcome.reason


def must_be_refused(row: ServedBar) -> bool:
    """True if line protocol or our schema cannot express a bar, by rules written by hand."""
    tags = (row.symbol, row.venue)
    return (
        any(tag == "" or tag.endswith("\\") for tag in tags)
        or any(ord(letter) < 32 or ord(letter) == 127 for tag in tags for letter in tag)
        or any(len(tag.encode()) > 1_024 for tag in tags)
        or "|" in row.venue
        or not -(2**63) + 2 <= row.start_ns <= 2**63 - 2
    )


def parse_bar(text: str) -> ServedBar:
    """Parse one line by the published syntax, independent of the encoder."""
    head, fields, time = split(text, " ")
    measurement, *tags = split(head, ",")
    assert measurement == "bar"
    values: dict[str, object] = {}
    for tag in tags:
        name, value = split(tag, "=")
        values[name] = unescape(value)
    assert list(values) == ["symbol", "venue"]
    for field in fields.split(","):
        name, _, value = field.partition("=")
        values[name] = typed(value)
    return ServedBar(**values, start_ns=int(time))  # type: ignore[arg-type]


def split(text: str, separator: str) -> list[str]:
    """Split at separators that no backslash precedes."""
    parts, start = [], 0
    for place, letter in enumerate(text):
        if letter == separator and (place == 0 or text[place - 1] != "\\"):
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def unescape(text: str) -> str:
    return text.replace("\\,", ",").replace("\\=", "=").replace("\\ ", " ")


def typed(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    if text.startswith('"'):
        return text[1:-1]
    return int(text[:-1]) if text.endswith("i") else float(text)


def bits(row: ServedBar) -> object:
    """Return a bar with its floats as bit patterns, so that -0.0 is not 0.0."""
    floats = (row.open, row.high, row.low, row.close, row.volume, row.vwap)
    return row, [struct.pack(">d", value) for value in floats]


@given(st.lists(BARS, max_size=30))
def test_a_table_has_the_lines_of_its_rows(rows: list[ServedBar]) -> None:
    """The same text and the same reasons, for symbols and numbers of any kind."""
    table = table_of([row for row in rows if is_text(row.symbol) and is_text(row.venue)])
    encoded = list(map(lines.bar, bars_of(table)))

    good, dead = checked(LINES_OF_BARS, table)

    assert [text for text in encoded if isinstance(text, str)] == table_lines(
        LINES_OF_BARS, good, LINES_OF_BARS.fields
    )
    assert dead == [text for text in encoded if isinstance(text, DeadLine)]


def is_text(value: str) -> bool:
    """True if a text can be UTF-8: half of a surrogate pair cannot be in an Arrow table."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


@given(st.lists(NUMBERS, max_size=50))
def test_floats_of_a_column_are_written_like_single_ones(values: list[float]) -> None:
    whole = [float(round(value)) for value in values if abs(value) < 1e18]
    rounded = [round(value, 9) for value in values]
    every = [
        *values,
        *whole,
        *rounded,
        1e10,
        9999999999.5,
        1e14,
        1e15,
        1e16,
        1e-4,
        9.9e-05,
        -0.0,
        5e-324,
    ]

    assert float_texts(pa.array(every, pa.float64())).to_pylist() == list(map(repr, every))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
def test_a_row_with_a_number_that_cannot_be_stored_has_no_line(value: float) -> None:
    good, dead = checked(LINES_OF_BARS, table_of([bar(), bar(vwap=value), bar(symbol="KO")]))

    assert [row.symbol for row in bars_of(good)] == ["IBM", "KO"]
    assert dead == [lines.bar(bar(vwap=value))]
    assert table_lines(LINES_OF_BARS, good, ("final",)) == [
        "bar,symbol=IBM,venue=XNYS final=true 1795194000000000000",
        "bar,symbol=KO,venue=XNYS final=true 1795194000000000000",
    ]
