"""The contract of bar stores, run on the embedded store and on a real InfluxDB."""

import math
import random
import sys
from dataclasses import replace

import pytest

from serving.conftest import OpenStore
from support.build import NOON, at
from support.serving import MINUTE_NS, bar, bars, indicators, speed_batch
from truetape.host.errors import ConfigError
from truetape.market.resolution import Resolution
from truetape.serving import indicator_table
from truetape.serving.bar_table import bars_of, table_of
from truetape.serving.digest import digests_of
from truetape.serving.store import BarStore, Digest, IndicatorRow, ServedBar, WriteReport

MINUTE = Resolution.MINUTE
ALWAYS = (-(2**63), 2**63 - 1)
EXTREMES = {
    "largest float": {"volume": sys.float_info.max},
    "smallest float": {"vwap": 5e-324},
    "negative price": {"open": -37.63, "low": -40.32, "close": -37.63},
    "not exact in binary": {"open": 0.1, "high": 0.30000000000000004, "low": 1e-07},
    "sixteen digits": {"close": 9007199254740993.0, "vwap": 123456.78901234567},
    "largest ints": {"trades": 2**63 - 1, "rev": 2**63 - 1, "seq": 2**63 - 1},
    "smallest ints": {"trades": -(2**63), "rev": -(2**63), "seq": -(2**63)},
    "before 1970": {"start_ns": at("1962-01-02T14:30:00")},
    "odd nanosecond": {"start_ns": NOON + 1},
    "provisional": {"layer": "speed", "final": False, "rev": 0},
}
GOOD_SYMBOLS = [
    "BRK.B",
    "ES=F",
    "BTC/USD",
    "^GSPC",
    "a,b",
    "a b",
    " ",
    'q"uote',
    "it's",
    "back\\slash",
    "back\\,slash",
    "back\\ slash",
    "pi|pe",
    "#1",
    "$x",
    "/re/",
    "Ünï€😀",
    "line\u2028separator",
    "'; DROP MEASUREMENT bar; --",
]
BAD_SYMBOLS = {
    "empty": "",
    "line feed": "A\nB",
    "carriage return": "A\rB",
    "tab": "A\tB",
    "nul": "A\x00B",
    "ends in backslash": "A\\",
    "half a surrogate pair": "\ud800",
    "far too long": "A" * 2_000,
}


def write_indicators(store: BarStore, *rows: IndicatorRow) -> WriteReport:
    return store.write_indicators(MINUTE, indicator_table.table_of(rows))


def read_all(store: BarStore, resolution: Resolution = MINUTE) -> list[ServedBar]:
    return list(store.read(resolution, *ALWAYS))


@pytest.mark.parametrize("fields", EXTREMES.values(), ids=list(EXTREMES))
def test_a_bar_is_read_exactly_as_it_was_written(
    store: BarStore, fields: dict[str, object]
) -> None:
    wanted = bar(**fields)

    report = store.write(MINUTE, [wanted])

    assert (report.sent, report.stored, report.rejected) == (1, 1, ())
    assert read_all(store) == [wanted]


@pytest.mark.parametrize("resolution", list(Resolution), ids=lambda item: item.value)
def test_each_resolution_has_its_own_bars(store: BarStore, resolution: Resolution) -> None:
    store.write(resolution, [bar()])

    assert {item: len(read_all(store, item)) for item in Resolution} == {
        item: int(item is resolution) for item in Resolution
    }


def test_a_later_write_replaces_the_whole_row(store: BarStore) -> None:
    store.write(MINUTE, [bar(rev=0, layer="speed", final=False, volume=900.0)])

    store.write(MINUTE, [bar(rev=2)])

    assert read_all(store) == [bar(rev=2)]


def test_a_table_is_stored_as_its_rows_are(store: BarStore) -> None:
    wanted = [bar(symbol=symbol) for symbol in sorted(GOOD_SYMBOLS)]
    odd = [bar(**fields) for name, fields in EXTREMES.items() if "start_ns" in fields]

    report = store.write_table(MINUTE, table_of([*wanted, *odd]))

    assert (report.sent, report.stored, report.rejected) == (len(wanted) + 2, len(wanted) + 2, ())
    assert list(bars_of(store.read_table(MINUTE, *ALWAYS))) == read_all(store)
    assert sorted(map(repr, read_all(store))) == sorted(map(repr, [*wanted, *odd]))


@pytest.mark.parametrize("fields", EXTREMES.values(), ids=list(EXTREMES))
def test_a_table_keeps_every_bit(store: BarStore, fields: dict[str, object]) -> None:
    store.write_table(MINUTE, table_of([bar(**fields)]))

    assert read_all(store) == [bar(**fields)]


@pytest.mark.parametrize("changed", [("final",), ("rev", "layer", "final")], ids="+".join)
def test_a_write_of_some_fields_leaves_the_others_as_they_are(
    store: BarStore, changed: tuple[str, ...]
) -> None:
    """Also over several requests."""
    before = bars(12_000, rev=0, layer="speed", final=False)
    others = bars(3, symbol="MSFT", final=False)
    store.write(MINUTE, [*before, *others])
    after = [replace(row, rev=4, layer="batch", final=True, close=1.0) for row in before]

    report = store.write_table(MINUTE, table_of(after), changed)

    assert (report.sent, report.stored) == (12_000, 12_000)
    wanted = [
        replace(old, **{name: getattr(new, name) for name in changed})
        for old, new in zip(before, after, strict=True)
    ]
    assert read_all(store) == [*wanted, *others]


def test_bad_rows_of_a_table_are_dead_lines(store: BarStore) -> None:
    rows = [
        bar(symbol="A"), bar(symbol="B\nC"), bar(symbol="D", close=math.nan), bar(symbol="E\\"),
        bar(symbol="F", layer="other"), bar(symbol="G", start_ns=-(2**63)), bar(symbol="H"),
    ]  # fmt: skip

    report = store.write_table(MINUTE, table_of(rows))

    assert (report.sent, report.stored) == (7, 2)
    assert [dead.reason.partition(" is ")[0] for dead in report.rejected] == [
        "tag symbol", "field close", "tag symbol", "layer", "time"
    ]  # fmt: skip
    assert [row.symbol for row in read_all(store)] == ["A", "H"]


def test_final_rows_are_counted_by_symbol(store: BarStore) -> None:
    store.write(MINUTE, [*bars(3), *bars(2, symbol="KO", final=False), bar(symbol="MSFT")])
    store.write_table(MINUTE, table_of(bars(1, final=False)), ("final",))

    counts = store.final_counts(MINUTE, "XNYS", *ALWAYS)

    assert counts == {"IBM": 2, "MSFT": 1}
    assert store.final_counts(MINUTE, "XNYS", *ALWAYS, symbols=["KO", "MSFT"]) == {"MSFT": 1}
    assert store.final_counts(MINUTE, "XNYS", NOON, NOON + 2 * MINUTE_NS)["IBM"] == 1


def test_the_later_of_two_rows_with_one_key_in_a_write_wins(store: BarStore) -> None:
    report = store.write(MINUTE, [bar(close=1.0), bar(close=2.0)])

    assert (report.sent, report.stored) == (2, 2)
    assert [row.close for row in read_all(store)] == [2.0]


def test_bars_are_read_in_order_of_symbol_venue_and_start(store: BarStore) -> None:
    """BRK comes before BRK.B; InfluxQL itself would sort "BRK.B|XNYS" before "BRK|XNYS"."""
    wanted = [
        bar(symbol=symbol, venue=venue, start_ns=start)
        for symbol in ("BRK", "BRK A", "BRK.B", "BRKX", "Z")
        for venue in ("ARCX", "XNYS")
        for start in (NOON, NOON + MINUTE_NS)
    ]
    shuffled = random.Random(3).sample(wanted, len(wanted))

    store.write(MINUTE, shuffled)

    assert read_all(store) == wanted


def test_the_time_range_of_a_read_is_half_open(store: BarStore) -> None:
    rows = bars(4)
    store.write(MINUTE, rows)

    read = store.read(MINUTE, rows[1].start_ns, rows[3].start_ns)

    assert list(read) == rows[1:3]


def test_reads_filter_by_venue_and_symbols(store: BarStore) -> None:
    store.write(
        MINUTE, [bar(symbol=symbol, venue=venue) for symbol in "ABC" for venue in ("X", "Y")]
    )

    def keys(**filters: object) -> list[tuple[str, str]]:
        return [(row.symbol, row.venue) for row in store.read(MINUTE, *ALWAYS, **filters)]  # type: ignore[arg-type]

    assert keys(venue="Y") == [("A", "Y"), ("B", "Y"), ("C", "Y")]
    assert keys(symbols=["C", "A", "nope"]) == [("A", "X"), ("A", "Y"), ("C", "X"), ("C", "Y")]
    assert keys(venue="X", symbols=["B"]) == [("B", "X")]
    assert keys(symbols=[]) == []
    assert keys(symbols=[f"S{number}" for number in range(1_200)] + ["B"]) == [
        ("B", "X"),
        ("B", "Y"),
    ]


def test_many_odd_symbols_are_selected_exactly(store: BarStore) -> None:
    """More symbols than alternatives in one condition; each looks like a pattern or a quotation."""
    odd = [
        f"{symbol}{sign}" for symbol in GOOD_SYMBOLS for sign in (".", "*", "+", "[A]", "(", "^$/")
    ]
    wanted = sorted({*GOOD_SYMBOLS, *odd})
    others = ["AxB", "BRKxB", "q", "x"]
    store.write(MINUTE, [bar(symbol=symbol) for symbol in (*wanted, *others)])

    for venue in (None, "XNYS"):
        read = store.read(MINUTE, *ALWAYS, venue=venue, symbols=wanted)
        assert [row.symbol for row in read] == wanted
    assert len(list(store.read(MINUTE, *ALWAYS))) == len(wanted) + len(others)
    assert set(store.digests(MINUTE, "XNYS", *ALWAYS, symbols=wanted)) == set(wanted)
    assert set(store.final_counts(MINUTE, "XNYS", *ALWAYS, symbols=wanted)) == set(wanted)


def test_every_valid_symbol_is_stored_separately(store: BarStore) -> None:
    report = store.write(MINUTE, [bar(symbol=symbol) for symbol in GOOD_SYMBOLS])

    assert report.rejected == ()
    assert [row.symbol for row in read_all(store)] == sorted(GOOD_SYMBOLS)
    for symbol in GOOD_SYMBOLS:
        read = store.read(MINUTE, *ALWAYS, symbols=[symbol])
        assert list(read) == [bar(symbol=symbol)]
        assert store.tail(MINUTE, symbol, 1) == [bar(symbol=symbol)]


@pytest.mark.parametrize("symbol", BAD_SYMBOLS.values(), ids=list(BAD_SYMBOLS))
def test_an_invalid_symbol_is_a_dead_line(store: BarStore, symbol: str) -> None:
    report = store.write(MINUTE, [bar(symbol="A"), bar(symbol=symbol), bar(symbol="Z")])

    assert (report.sent, report.stored) == (3, 2)
    assert [dead.reason.startswith("tag symbol") for dead in report.rejected] == [True]
    assert [row.symbol for row in read_all(store)] == ["A", "Z"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize("field", ["open", "high", "low", "close", "volume", "vwap"])
def test_nan_and_infinity_are_dead_lines(store: BarStore, field: str, value: float) -> None:
    report = store.write(MINUTE, [bar(**{field: value}), bar(symbol="MSFT")])

    assert [dead.reason for dead in report.rejected] == [
        f"field {field} is {value!r}, not a float that can be stored"
    ]
    assert [row.symbol for row in read_all(store)] == ["MSFT"]


def test_an_empty_write_stores_nothing(store: BarStore) -> None:
    assert store.write(MINUTE, []).sent == 0
    assert store.write_indicators(MINUTE, indicator_table.NO_ROWS).sent == 0
    assert store.write_points([]).sent == 0
    assert read_all(store) == []
    assert store.digests(MINUTE, "XNYS", *ALWAYS) == {}
    assert store.tail(MINUTE, "IBM", 5) == []


def test_twenty_thousand_rows_are_read_back(store: BarStore) -> None:
    wanted = [
        replace(row, close=100 + row.seq / 7)
        for symbol in range(50)
        for row in bars(400, symbol=f"S{symbol:02}")
    ]

    report = store.write(MINUTE, iter(wanted))

    assert (report.sent, report.stored) == (20_000, 20_000)
    assert read_all(store) == wanted


def test_rows_older_than_the_retention_are_refused_before_any_write(
    open_store: OpenStore,
) -> None:
    store = open_store("live")
    old = at("2013-10-07T14:00:00")

    with pytest.raises(ConfigError) as refused:
        store.write(MINUTE, [bar(), bar(start_ns=old)])

    message = str(refused.value)
    assert "bars_1m keeps 400 days" in message
    assert "2013-10-07T14:00:00" in message
    assert "TRUETAPE_BUCKET_SET=history" in message
    assert read_all(store) == []
    with pytest.raises(ConfigError, match="bars_1m"):
        store.write_table(MINUTE, table_of([bar(), bar(start_ns=old)]))
    assert read_all(store) == []
    with pytest.raises(ConfigError, match="bars_1m"):
        write_indicators(store, indicators(start_ns=old, sma_20=1.0))
    with pytest.raises(ConfigError, match="pipeline"):
        store.write_points([speed_batch(time_ns=old)])


def test_daily_bars_are_never_too_old(open_store: OpenStore) -> None:
    store = open_store("live")
    wanted = bar(start_ns=at("1962-01-02T14:30:00"))

    store.write(Resolution.DAY, [wanted])

    assert read_all(store, Resolution.DAY) == [wanted]


def test_digests_count_the_bars_in_the_range(store: BarStore) -> None:
    store.write(
        MINUTE,
        [
            bar(seq=0, trades=10, rev=1),
            bar(seq=1, trades=20, rev=3, start_ns=NOON + MINUTE_NS, final=False),
            bar(seq=2, trades=0, start_ns=NOON + 2 * MINUTE_NS, void=True, layer="speed"),
            bar(seq=3, trades=99, start_ns=NOON + 3 * MINUTE_NS),
            bar(symbol="MSFT", venue="XNAS"),
        ],
    )

    digests = store.digests(MINUTE, "XNYS", NOON, NOON + 3 * MINUTE_NS)

    assert set(digests) == {"IBM"}
    assert replace(digests["IBM"], fingerprint=0) == Digest(
        bars=3,
        trades=30,
        seq=3,
        rev_sum=5,
        rev_max=3,
        final=2,
        void=1,
        batch=2,
        fingerprint=0,
    )


def test_digests_of_some_symbols_are_those_of_all(store: BarStore) -> None:
    names = [f"S{number}" for number in range(450)]
    store.write(MINUTE, [bar(symbol=name, seq=number) for number, name in enumerate(names)])
    every = store.digests(MINUTE, "XNYS", *ALWAYS)

    for chosen in (names[:1], names[100:440], [*names[:3], "absent"], []):
        found = store.digests(MINUTE, "XNYS", *ALWAYS, symbols=chosen)
        assert found == {name: every[name] for name in chosen if name in every}


def test_the_store_and_python_compute_equal_digests(store: BarStore) -> None:
    """Four years of bars, so that InfluxDB adds many shards; float sums depend on the order."""
    dice = random.Random(17)
    week = 7 * 24 * 60 * MINUTE_NS
    wanted = [
        bar(
            symbol=f"S{symbol}",
            start_ns=NOON - number * week,
            seq=number,
            open=dice.uniform(-50, 100_000),
            close=dice.uniform(0.000001, 1),
            volume=dice.uniform(0, 1e9),
            vwap=round(dice.uniform(0, 1_000), 8),
        )
        for symbol in range(5)
        for number in range(200)
    ]

    store.write(MINUTE, wanted)

    assert store.digests(MINUTE, "XNYS", *ALWAYS) == digests_of(table_of(wanted))


CHANGES: dict[str, dict[str, object]] = {
    "open": {"open": 100.000000001},
    "high": {"high": 101.49},
    "low": {"low": 99.26},
    "close": {"close": 100.51},
    "volume": {"volume": 1_200.00000001},
    "vwap": {"vwap": 100.12345679},
    "trades": {"trades": 18},
    "rev": {"rev": 2},
    "seq": {"seq": 151},
    "layer": {"layer": "speed"},
    "final": {"final": False},
    "void": {"void": True},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_one_changed_field_changes_the_digest(store: BarStore, change: dict[str, object]) -> None:
    store.write(MINUTE, [bar(), bar(symbol="B"), bar(symbol="B", start_ns=NOON + MINUTE_NS)])
    before = store.digests(MINUTE, "XNYS", *ALWAYS)

    store.write(MINUTE, [bar(**change)])

    after = store.digests(MINUTE, "XNYS", *ALWAYS)
    assert after["IBM"] != before["IBM"]
    assert after["B"] == before["B"]


def test_the_tail_is_the_last_bars_of_each_venue(store: BarStore) -> None:
    rows = bars(5)
    store.write(MINUTE, [*rows, bar(venue="ARCX"), bar(symbol="MSFT", start_ns=NOON + MINUTE_NS)])

    assert store.tail(MINUTE, "IBM", 2) == [bar(venue="ARCX"), *rows[3:]]
    assert store.tail(MINUTE, "IBM", 2, venue="XNYS", end_ns=rows[3].start_ns) == rows[1:3]
    assert store.tail(MINUTE, "IBM", 50, venue="XNYS") == rows


def test_symbols_lists_each_symbol_once(store: BarStore) -> None:
    names = ["A B", "BRK.B", "ES=F", 'q"uote', "Ω"]
    store.write(MINUTE, [bar(symbol=name, venue=venue) for name in names for venue in ("X", "Y")])
    store.write(Resolution.DAY, [bar(symbol="OTHER")])

    assert store.symbols(MINUTE) == sorted(names)
    assert store.symbols(Resolution.HOUR) == []


def test_a_void_row_replaces_the_bar_it_voids(store: BarStore) -> None:
    numbers = dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), 0.0)
    void = bar(**numbers, trades=0, seq=0, rev=2, void=True)
    store.write(MINUTE, [bar()])

    store.write(MINUTE, [void])

    assert read_all(store) == [void]


def test_indicators_are_read_with_exactly_their_values(store: BarStore) -> None:
    wanted = [
        indicators(),
        indicators(NOON + MINUTE_NS, sma_20=100.1),
        indicators(NOON + 2 * MINUTE_NS, sma_20=0.1 + 0.2, rsi_14=55.5, macd=-0.25),
        indicators(symbol="MSFT", session_vwap=1e-07),
    ]

    report = write_indicators(store, *reversed(wanted))

    assert (report.sent, report.stored) == (4, 4)
    assert list(store.read_indicators(MINUTE, *ALWAYS)) == wanted
    table = store.read_indicator_table(MINUTE, *ALWAYS, venue="XNYS")
    assert list(indicator_table.rows_of(table)) == wanted
    assert list(store.read_indicators(MINUTE, *ALWAYS, symbols=["MSFT"])) == wanted[3:]
    assert list(store.read_indicators(MINUTE, NOON, NOON + MINUTE_NS, venue="XNYS")) == [
        wanted[0],
        wanted[3],
    ]
    assert read_all(store) == []


def test_an_indicator_that_a_new_row_lacks_is_deleted(store: BarStore) -> None:
    others = [
        indicators(NOON - MINUTE_NS, sma_20=1.0),
        indicators(NOON + MINUTE_NS, sma_20=3.0),
        indicators(symbol="it's", sma_20=5.0),
    ]
    write_indicators(
        store,
        *others,
        indicators(sma_20=2.0, ema_12=9.0, rsi_14=50.0),
        indicators(symbol="MSFT", sma_20=7.0),
    )

    report = write_indicators(store, indicators(sma_20=2.5, macd=1.0))

    assert report.rejected == ()
    assert list(store.read_indicators(MINUTE, *ALWAYS, symbols=["IBM", "it's"])) == [
        others[0],
        indicators(sma_20=2.5, macd=1.0),
        others[1],
        others[2],
    ]


def test_many_rows_can_lose_an_indicator_in_one_write(store: BarStore) -> None:
    times = [NOON + number * MINUTE_NS for number in range(250)]
    write_indicators(store, *(indicators(time, sma_20=1.0, macd=2.0) for time in times))

    write_indicators(store, *(indicators(time, sma_20=1.5) for time in times))

    assert list(store.read_indicators(MINUTE, *ALWAYS)) == [
        indicators(time, sma_20=1.5) for time in times
    ]


def test_an_indicator_that_is_no_number_is_a_dead_line(store: BarStore) -> None:
    report = write_indicators(
        store, indicators(sma_20=math.nan), indicators(symbol="", macd=1.0), indicators(symbol="KO")
    )

    assert [dead.reason.split(";")[0] for dead in report.rejected] == [
        "field sma_20 is nan, not a float that can be stored",
        "tag symbol is empty",
    ]
    assert list(store.read_indicators(MINUTE, *ALWAYS)) == [indicators(symbol="KO")]


def test_pipeline_points_are_read_as_they_were_written(store: BarStore) -> None:
    wanted = [
        speed_batch(query="archive"),
        speed_batch(),
        speed_batch(time_ns=NOON + 5, records=0, seconds=0.1),
    ]

    report = store.write_points(reversed(wanted))

    assert (report.sent, report.stored) == (3, 3)
    assert list(store.read_points("speed_batch", NOON, NOON + 6)) == wanted
    assert list(store.read_points("speed_batch", NOON + 1, NOON + 5)) == []


def test_text_in_points_may_be_empty_or_have_quotes_and_backslashes(store: BarStore) -> None:
    point = speed_batch()
    publication = replace(
        point,
        measurement="publication",
        tags={"venue": "XNYS"},
        fields={
            "session": 'a"b\\c,d =e',
            "rev": 1,
            "bars": 2,
            "edits": 3,
            "indicators": 0,
            "seconds": 4.5,
            "who": "",
        },
    )

    report = store.write_points([publication])

    assert report.stored == 1
    assert list(store.read_points("publication", NOON, NOON + 1)) == [publication]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"measurement": "weather"}, "unknown measurement 'weather'"),
        ({"tags": {}}, "tags of speed_batch are query, not []"),
        ({"tags": {"query": "a", "run": "b"}}, "tags of speed_batch are query, not"),
        ({"fields": {"batch": 1}}, "field records is missing"),
    ],
    ids=["measurement", "no tag", "tag too many", "field missing"],
)
def test_points_outside_the_schema_are_dead_lines(
    store: BarStore, change: dict[str, object], reason: str
) -> None:
    report = store.write_points([replace(speed_batch(), **change), speed_batch()])  # type: ignore[arg-type]

    assert [dead.reason.startswith(reason) for dead in report.rejected] == [True]
    assert report.stored == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("records", 2.0), ("records", True), ("seconds", "0.5"), ("seconds", False), ("bars", 2**63)],
    ids=["int as float", "int as bool", "float as text", "float as bool", "int too large"],
)
def test_a_field_of_the_wrong_type_is_a_dead_line(
    store: BarStore, field: str, value: object
) -> None:
    report = store.write_points([speed_batch(**{field: value})])

    assert [dead.reason.startswith(f"field {field} is {value!r}") for dead in report.rejected] == [
        True
    ]


def test_ensure_buckets_changes_nothing_the_second_time(store: BarStore) -> None:
    assert store.ensure_buckets() == []


def test_ping_writes_one_row_and_reads_it(store: BarStore) -> None:
    before = store.traffic

    assert store.ping() >= 0

    assert store.traffic.rows_written == before.rows_written + 1
    assert store.traffic.rows_read == before.rows_read + 1


def test_traffic_counts_requests_and_rows(store: BarStore) -> None:
    before = store.traffic
    store.write(MINUTE, bars(3))
    read_all(store)

    assert store.traffic.requests > before.requests
    assert store.traffic.rows_written - before.rows_written == 3
    assert store.traffic.rows_read - before.rows_read == 3
