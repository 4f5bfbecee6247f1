"""Bars of any timeframe equal the fold of the trades: from a store to the float, from the lake
exactly.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from history.conftest import Read
from support.build import VENUES, at, trade
from support.ledger import publication
from support.serving import bar
from support.session_lake import FRIDAY, good_events, in_places, lake_session
from truetape.history.timeframe_bars import BarReader
from truetape.host.calendars import sessions
from truetape.host.errors import ConfigError
from truetape.host.profiles import load
from truetape.host.settings import Settings
from truetape.host.timeframes import require_timeframe
from truetape.lake.bars_lineage import record_basis
from truetape.lake.delta import open_table
from truetape.lake.publications import record_publication
from truetape.lake.tables import Table
from truetape.market.amount_bars import amount_bars, parse_amount
from truetape.market.bars import Bar
from truetape.market.bars import bars as fold
from truetape.market.canonical import canonical
from truetape.market.resolution import Resolution
from truetape.market.timeframe import Timeframe
from truetape.serving.store import BarStore, ServedBar

MONTH = {"XNYS": sessions(VENUES["XNYS"], date(2024, 11, 1), date(2024, 11, 30))}
NUMBERS = ("open", "high", "low", "close", "volume", "vwap")


WIDTHS = [
    require_timeframe("15s"), require_timeframe("3m"), require_timeframe("15m"),
    require_timeframe("4h"), require_timeframe("1h", "open"), require_timeframe("15m", "open"),
    require_timeframe("1d"), require_timeframe("1w"), require_timeframe("1M"),
]  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS, ids=lambda width: f"{width.value} {width.origin}")
def test_bars_rolled_up_from_the_store_equal_the_fold_of_the_trades_to_the_float(
    here: Settings, store: BarStore, width: Timeframe
) -> None:
    """The profile `all` counts every print for everything, so that no volume is without a price."""
    events, profile = good_events(), load("all")
    settled = canonical(events, VENUES).trades
    for resolution in Resolution:
        served = fold(settled, profile, resolution, MONTH)
        store.write(resolution, [_served(one) for one in served])

    reader = BarReader(here, width)
    read = list(reader.read(store, at("2024-11-01T00:00:00"), at("2024-12-01T00:00:00")))

    expected = fold(settled, profile, width, MONTH)
    assert [(one.symbol, one.start_ns, one.trades) for one in read] == [
        (one.symbol, one.start_ns, one.trades) for one in expected
    ]
    for one, exact in zip(read, expected, strict=True):
        for name in ("open", "high", "low", "close"):
            assert getattr(one, name) == float(getattr(exact, name))
        assert one.volume == float(exact.volume)
        assert one.vwap == pytest.approx(float(exact.vwap or 0), rel=1e-15, abs=0)


def _served(one: Bar) -> ServedBar:
    return bar(
        symbol=one.symbol, venue=one.venue, start_ns=one.start_ns, volume=float(one.volume),
        vwap=float(one.vwap or 0), trades=one.trades,
        **{name: float(getattr(one, name)) for name in ("open", "high", "low", "close")},
    )  # fmt: skip


ODD = in_places([
    *good_events(),
    trade("77", "30", symbol="THIN", id="1", event_ns=at("2024-11-22T15:01:00"),
          conditions=("@", "I"), tape="A"),
    trade("78", "100", symbol="THIN", id="2", event_ns=at("2024-11-22T15:20:00"),
          conditions=("@",), tape="A"),
    trade("79", "20", symbol="THIN", id="3", event_ns=at("2024-11-22T15:50:00"),
          conditions=("@", "I"), tape="A"),
])  # fmt: skip
"""With a symbol whose first and last five minutes have odd lots only, which set no price."""


@pytest.mark.parametrize("width", WIDTHS, ids=lambda width: f"{width.value} {width.origin}")
def test_exact_bars_of_the_lake_equal_the_fold_of_the_trades_to_the_last_digit(
    here: Settings, read: Read, width: Timeframe
) -> None:
    lake_session(ODD).write(here.lake)

    frame = read(
        ["IBM", "KO", "SOLO", "THIN"], "2024-11-01", "2024-12-01", exact=True,
        resolution=width.value, origin=width.origin.value,
    )  # fmt: skip

    folded = fold(canonical(ODD, VENUES).trades, load("sip"), width, MONTH)
    expected = [one for one in folded if one.is_served]
    assert len(frame) == len(expected)
    for (start, row), one in zip(frame.iterrows(), expected, strict=True):
        assert (row["symbol"], start.value, row["trades"]) == (one.symbol, one.start_ns, one.trades)
        assert [row[name] for name in NUMBERS] == [getattr(one, name) for name in NUMBERS]
        assert isinstance(row["vwap"], Decimal)


def test_odd_lots_alone_count_for_the_volume_of_an_exact_bar(here: Settings, read: Read) -> None:
    lake_session(ODD).write(here.lake)

    frame = read("THIN", "2024-11-22", resolution="1h", exact=True, index="session")

    assert [str(number.normalize()) for number in frame["volume"]] == ["1.5E+2"]
    assert frame.index.tolist() == [(pd.Timestamp("2024-11-22"), 10)]


@pytest.mark.parametrize(
    ("published", "state"),
    [
        ([], (False, 0)),
        ([{"rev": 1}], (True, 1)),
        ([{"rev": 1}, {"rev": 2}], (True, 2)),
        ([{"rev": 1}, {"rev": 2, "restores": 1}], (False, 0)),
        ([{"rev": 1, "bars_version": -1}], (False, 0)),
    ],
    ids=["never published", "published", "twice", "reverted", "recomputed since then"],
)
@pytest.mark.parametrize(
    "options", [{"exact": True}, {"by": "trades=7"}], ids=["exact bars", "bars by amount"]
)
def test_bars_of_the_lake_are_final_if_the_lake_is_as_published(
    here: Settings,
    read: Read,
    published: Sequence[Mapping[str, Any]],
    state: tuple[bool, int],
    options: Mapping[str, Any],
) -> None:
    lake_session(good_events()).write(here.lake)
    record_basis(here.lake, FRIDAY, ("raw", 0), None)
    version = open_table(here.lake, Table.BARS).version()
    for values in published:
        row = {"session": FRIDAY.date, "bars_version": version} | dict(values)
        record_publication(here.lake, publication(**row))

    frame = read("IBM", "2024-11-22", **options)

    assert {*zip(frame["final"], frame["rev"], strict=True)} == {state}
    assert len(read("IBM", "2024-11-22", final_only=True, **options)) == len(frame) * state[0]


def test_a_week_of_the_lake_is_final_if_all_its_sessions_are_published(
    here: Settings, read: Read
) -> None:
    lake_session(good_events()).write(here.lake)
    record_basis(here.lake, FRIDAY, ("raw", 0), None)
    record_publication(here.lake, publication(3, session=FRIDAY.date, bars_version=99))

    frame = read("IBM", "2024-11-01", resolution="1w", exact=True)

    assert frame[["final", "rev"]].iloc[0].tolist() == [False, 3]


@pytest.mark.parametrize("options", [{"fill": "previous"}, {"as_of": "2024-11-22T15:00:00Z"}])
def test_exact_bars_are_of_the_last_recompute_only(
    here: Settings, read: Read, options: Mapping[str, str]
) -> None:
    with pytest.raises(ConfigError, match="leave out as_of and fill"):
        read("IBM", "2024-11-22", exact=True, **options)


def test_without_a_recompute_exact_bars_name_the_command_to_run(
    tmp_path: Path, here: Settings, read: Read
) -> None:
    with pytest.raises(ConfigError, match="truetape recompute"):
        read("IBM", "2024-11-22", exact=True)


def test_exact_bars_of_no_symbol_are_none(here: Settings, read: Read) -> None:
    lake_session(good_events()).write(here.lake)

    assert len(read("NONE", "2024-11-22", exact=True)) == 0
    assert len(read("IBM", "2025-11-22", exact=True)) == 0


@pytest.mark.parametrize("amount", ["trades=7", "volume=1000", "notional=100000"])
def test_bars_by_amount_are_those_of_the_lake_s_trades(
    here: Settings, read: Read, amount: str
) -> None:
    lake = lake_session(good_events())
    lake.before = []
    lake.write(here.lake)

    frame = read(["IBM", "KO", "SOLO"], "2024-11-22", by=amount, index="session")
    exact_frame = read(["IBM", "KO", "SOLO"], "2024-11-22", by=amount, exact=True)

    settled = canonical(good_events(), VENUES).trades
    expected = amount_bars(settled, load("sip"), parse_amount(amount), VENUES)
    assert len(frame) == len(expected) > 5
    for (key, row), exact in zip(frame.iterrows(), expected, strict=True):
        assert key == (pd.Timestamp(exact.session), exact.seq)
        assert (row["symbol"], row["start"].value, row["end"].value) == (
            exact.symbol, exact.start_ns, exact.end_ns,
        )  # fmt: skip
        for name in NUMBERS:
            assert row[name] == float(getattr(exact, name))
        assert row["trades"] == exact.trades
    for name in NUMBERS:
        assert exact_frame[name].tolist() == [getattr(one, name) for one in expected]


def test_a_bar_by_amount_counts_from_the_beginning_of_its_session(
    here: Settings, read: Read
) -> None:
    """The period only selects which bars are returned, by their start."""
    lake_session(good_events()).write(here.lake)

    whole = read("IBM", "2024-11-22", by="trades=7")
    later = read("IBM", "2024-11-22T15:00:00Z", by="trades=7")

    pd.testing.assert_frame_equal(whole[whole.index >= "2024-11-22 15:00Z"], later)
    assert 0 < len(later) < len(whole)


def test_bars_by_amount_have_their_types_without_any_bar(here: Settings, read: Read) -> None:
    lake_session(good_events()).write(here.lake)

    some, none = read("IBM", "2024-11-22", by="trades=7"), read("NONE", "2024-11-22", by="trades=7")

    assert len(none) == 0
    numbers = some.columns.difference(["symbol", "venue", "layer"])
    assert some[numbers].dtypes.equals(none[numbers].dtypes)
