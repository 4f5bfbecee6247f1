"""`truetape.read_bars` and `truetape.read_trades`."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import truetape
from history.conftest import Read
from support.build import NOON, SECOND, at
from support.drifting import DAY, publish_and_record
from support.serving import bar, bars
from support.session_lake import FRIDAY, lake_session
from support.session_lake import NOON as LAKE_NOON
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.market.resolution import Resolution
from truetape.serving.store import BarStore

MINUTE, DAILY = Resolution.MINUTE, Resolution.DAY


def test_a_bar_has_final_layer_and_rev_beside_its_values(read: Read, store: BarStore) -> None:
    store.write(
        MINUTE, [bar(), bar(start_ns=NOON + 60 * SECOND, layer="speed", final=False, rev=0)]
    )

    frame = read("IBM", "2026-11-20", "2026-11-21")

    assert frame.index.tolist() == [
        pd.Timestamp("2026-11-20 17:00", tz="UTC"), pd.Timestamp("2026-11-20 17:01", tz="UTC"),
    ]  # fmt: skip
    assert frame[["open", "high", "low", "close", "volume", "vwap", "trades"]].iloc[0].tolist() == [
        100.0, 101.5, 99.25, 100.5, 1_200.0, 100.12345678, 17,
    ]  # fmt: skip
    assert frame["final"].tolist() == [True, False]
    assert frame["layer"].tolist() == ["batch", "speed"]
    assert frame["rev"].tolist() == [1, 0]


def test_types_are_the_same_with_and_without_bars(read: Read, store: BarStore) -> None:
    store.write(MINUTE, bars(2))

    full, empty = read("IBM", "2026-11-20"), read("NONE", "2026-11-20")

    assert len(empty) == 0
    assert full.drop(columns=["symbol", "venue", "layer"]).dtypes.equals(
        empty.drop(columns=["symbol", "venue", "layer"]).dtypes
    )
    assert {str(full[name].dtype) for name in ("symbol", "venue", "layer")} == {"category"}
    assert full["trades"].dtype == np.int64
    assert str(full.index.dtype) == "datetime64[ns, UTC]"
    assert full.index.name == empty.index.name == "start"


def test_final_only_leaves_out_provisional_bars(read: Read, store: BarStore) -> None:
    store.write(MINUTE, [bar(), bar(start_ns=NOON + 60 * SECOND, layer="speed", final=False)])

    assert len(read("IBM", "2026-11-20", final_only=True)) == 1


def test_void_bars_are_left_out_and_a_vwap_without_volume_is_nan(
    read: Read, store: BarStore
) -> None:
    store.write(MINUTE, [bar(void=True), bar(start_ns=NOON + 60 * SECOND, vwap=0.0)])

    frame = read("IBM", "2026-11-20")

    assert len(frame) == 1
    assert np.isnan(frame["vwap"].iloc[0])


def test_the_session_index_is_date_and_ordinal_of_the_bar(read: Read, store: BarStore) -> None:
    day = 86_400 * SECOND
    store.write(MINUTE, [bar(seq=1_020), bar(start_ns=NOON + 3 * day, seq=1_020)])

    frame = read("IBM", "2026-11-20", index="session")

    assert frame.index.names == ["session", "seq"]
    assert [(str(day.date()), seq) for day, seq in frame.index] == [
        ("2026-11-20", 1_020), ("2026-11-23", 1_020),
    ]  # fmt: skip
    assert "start" in frame.columns


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-11-20", "2026-11-21", ["XNYS"]),
        ("2026-11-21", "2026-11-22", ["KRAKEN"]),
        ("2026-11-20T00:00:00Z", "2026-11-22T00:00:00Z", ["KRAKEN", "XNYS"]),
        (date(2026, 11, 21), None, ["KRAKEN"]),
        (datetime(2026, 11, 21, tzinfo=UTC), None, ["KRAKEN", "XNYS"]),
        (pd.Timestamp("2026-11-21 00:30Z"), "2026-11-21T00:30:01+00:00", ["KRAKEN", "XNYS"]),
    ],
    ids=["New York's Friday", "Kraken's Saturday", "instants", "a date", "a datetime", "pandas"],
)  # fmt: skip
def test_a_day_is_a_day_of_each_bar_s_own_market(
    read: Read, store: BarStore, start: Any, end: Any, expected: list[str]
) -> None:
    """19:30 in New York on Friday is half past midnight of Kraken's Saturday."""
    evening = NOON + 7 * 3_600 * SECOND + 1_800 * SECOND
    store.write(MINUTE, [bar(start_ns=evening), bar(start_ns=evening, venue="KRAKEN")])

    assert read("IBM", start, end)["venue"].tolist() == expected


def test_a_day_of_a_session_over_midnight_begins_on_the_evening_before(
    read: Read, store: BarStore
) -> None:
    """Monday 9 March 2026 of Globex: from Sunday 17:00 in Chicago, after clocks went forward."""
    begins, ends = at("2026-03-08T22:00:00"), at("2026-03-09T22:00:00")
    minute = 60 * SECOND
    starts = [begins - minute, begins, ends - minute, ends]
    store.write(MINUTE, [bar(start_ns=start, venue="XCME") for start in starts])
    store.write(DAILY, [bar(start_ns=begins, venue="XCME")])

    minutes = read("IBM", "2026-03-09", "2026-03-10")
    days = read("IBM", "2026-03-09", "2026-03-10", resolution="1d")

    assert [start.value for start in minutes.index] == starts[1:3]
    assert [start.value for start in days.index] == [begins]
    assert [str(day.date()) for day in [*minutes["session"], *days["session"]]] == [
        "2026-03-09"
    ] * 3


def test_bars_are_ordered_by_symbol_and_venue_and_can_be_limited_to_one_venue(
    read: Read, store: BarStore
) -> None:
    store.write(DAILY, [bar(symbol=name) for name in ("KO", "IBM", "X")])
    store.write(DAILY, [bar(symbol="IBM", venue="BATS")])

    frame = read(["KO", "IBM"], "2026-11-20", resolution="1d")

    assert [*zip(frame["symbol"], frame["venue"], strict=True)] == [
        ("IBM", "BATS"), ("IBM", "XNYS"), ("KO", "XNYS"),
    ]  # fmt: skip
    assert len(read(["KO", "IBM"], "2026-11-20", resolution="1d", venue="BATS")) == 1


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (datetime(2026, 11, 20), None, "has no zone"),  # noqa: DTZ001 - the mistake that is tested
        ("yesterday", None, "write it like"),
        ("2026-11-31", None, "is not a date"),
        ("2026-11-20T14:30:00", None, "offset"),
        ("2026-11-21", "2026-11-20", "its end must be later"),
    ],
    ids=["no zone", "words", "impossible day", "no offset", "backwards"],
)
def test_an_invalid_period_is_refused_with_the_reason(
    read: Read, start: Any, end: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read("IBM", start, end)


@pytest.mark.parametrize(
    "unknown",
    [{"venue": "MOON"}, {"resolution": "7m"}, {"venue": "MOON", "as_of": "2026-11-20T18:00:00Z"}],
    ids=["venue", "resolution", "venue as of"],
)
def test_an_unknown_venue_or_resolution_is_named(
    read: Read, store: BarStore, unknown: dict[str, str]
) -> None:
    store.write(MINUTE, bars(1))

    with pytest.raises(ConfigError, match=r"no venue 'MOON'|7m does not divide a day"):
        read("IBM", "2026-11-20", **unknown)


def test_as_of_returns_the_bars_of_events_received_by_then(
    here: Settings, store: BarStore, read: Read
) -> None:
    """A print of the second minute was five minutes late; the day was published an hour later."""
    lake_session(DAY).write(here.lake)
    publish_and_record(here.lake, store)
    before, after = LAKE_NOON + 240 * SECOND, LAKE_NOON + 3_601 * SECOND
    period = (str(FRIDAY.date), "2024-11-23")

    as_known, now = read("IBM", *period, as_of=before), read("IBM", *period)

    assert as_known["high"].tolist() == [100.0, 100.0, 100.0]
    assert now["high"].tolist() == [100.0, 101.0, 102.0]
    assert not as_known["final"].any()
    assert now["final"].all()
    assert len(read("IBM", *period, as_of=after)) == 3


def test_the_package_lists_its_readers_without_importing_their_libraries() -> None:
    assert {"read_bars", "read_trades"} <= set(truetape.__all__)
    with pytest.raises(AttributeError, match="read_all"):
        _ = truetape.read_all


def test_trades_are_returned_in_the_order_of_their_bars(here: Settings) -> None:
    lake_session(DAY).write(here.lake)

    frame = truetape.read_trades("IBM", str(FRIDAY.date), settings=here)

    assert frame["id"].tolist() == ["1", "61", "62", "63", "121"]
    assert frame["price"].tolist() == [100.0, 100.0, 100.0, 101.0, 102.0]
    assert frame["late"].tolist() == [False, False, False, True, False]
    assert frame["corrected"].tolist() == [False] * 4 + [True]
    assert str(frame.index.dtype) == "datetime64[ns, UTC]"


def test_cancelled_trades_and_exact_prices_are_returned_on_request(here: Settings) -> None:
    lake_session(DAY).write(here.lake)

    frame = truetape.read_trades(
        ["IBM", "KO"], str(FRIDAY.date), in_force_only=False, exact=True, settings=here
    )

    assert frame.loc[frame["cancelled"], "id"].tolist() == ["2"]
    assert str(frame["price"].iloc[0]) == "100.000000000000000000"
    assert frame["symbol"].tolist() == ["IBM"] * 6 + ["KO"] * 2


def test_reading_trades_before_any_recompute_names_the_command_to_run(
    tmp_path: Path, here: Settings
) -> None:
    with pytest.raises(ConfigError, match="truetape recompute"):
        truetape.read_trades("IBM", "2024-11-22", settings=here)
