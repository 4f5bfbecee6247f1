"""The trades of a session that explain its drift: read once for the same minutes."""

import pytest

from support.session_lake import FRIDAY, good_events, lake_session
from truetape.drift import bar_trades
from truetape.drift.bar_trades import BarKey, BarNumbering, SessionTrades
from truetape.lake.delta import LakeTable
from truetape.market.resolution import Resolution


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A lake with one recomputed session."""
    folder = str(tmp_path_factory.mktemp("lake"))
    lake_session(good_events()).write(folder)
    return folder


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[LakeTable]:
    """The scans of the lake so far."""
    done: list[LakeTable] = []
    batches = LakeTable.batches
    monkeypatch.setattr(
        LakeTable,
        "batches",
        lambda table, *chosen, **bounds: done.append(table) or batches(table, *chosen, **bounds),
    )
    return done


def bars_of(lake: str, resolution: Resolution) -> list[BarKey]:
    """Return the bars that have trades, by symbol and start."""
    rows = bar_trades.open_table(lake, bar_trades.Table.TRADES).rows(None, ["symbol", "event_ns"])
    keys = {(row["symbol"], resolution.start_of(row["event_ns"])) for row in rows.to_pylist()}
    return [(resolution, symbol, start) for symbol, start in sorted(keys)]


def positions(source: SessionTrades, bars: list[BarKey]) -> list[tuple[object, ...]]:
    """Return the coordinates of the trades of some bars."""
    rows = source.of(BarNumbering.of(FRIDAY, bars))
    columns = ("symbol", "partition", "offset", "index")
    return sorted(tuple(row[name] for name in columns) for row in rows.to_pylist())


def test_other_symbols_in_the_same_minutes_need_no_scan(lake: str, scans: list[LakeTable]) -> None:
    bars = bars_of(lake, Resolution.MINUTE)
    symbols = sorted({symbol for _, symbol, _ in bars})
    source = SessionTrades(lake, FRIDAY)

    kept = [positions(source, [bar for bar in bars if bar[1] == symbol]) for symbol in symbols]

    assert len(symbols) > 1
    assert len(scans) < len(symbols) + 1
    assert kept == [
        positions(SessionTrades(lake, FRIDAY), [bar for bar in bars if bar[1] == symbol])
        for symbol in symbols
    ]


@pytest.mark.parametrize("resolution", [Resolution.SECOND, Resolution.MINUTE, Resolution.HOUR])
def test_the_trades_are_those_of_the_bars_however_few_are_kept(
    lake: str, monkeypatch: pytest.MonkeyPatch, resolution: Resolution
) -> None:
    bars = bars_of(lake, resolution)[::2]
    kept = positions(SessionTrades(lake, FRIDAY), bars)

    monkeypatch.setattr(bar_trades, "MAX_KEPT", 0)

    assert kept
    assert positions(SessionTrades(lake, FRIDAY), bars) == kept


def test_more_trades_than_may_be_kept_are_read_anew(
    lake: str, scans: list[LakeTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bar_trades, "MAX_KEPT", 1)
    bars = bars_of(lake, Resolution.MINUTE)
    source = SessionTrades(lake, FRIDAY)

    assert positions(source, bars) == positions(source, bars)
    assert len(scans) == 2
