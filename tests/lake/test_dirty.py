"""Dirty marks: cleared only by bars that include the marked events."""

from datetime import date
from pathlib import Path

import pytest
from deltalake import DeltaTable, write_deltalake
from pyarrow import table

from support.build import VENUES
from truetape.host.calendars import session
from truetape.host.errors import ConfigError
from truetape.lake import bars_lineage, dirty
from truetape.lake.bars_lineage import RecomputeBasis
from truetape.lake.dirty import DirtyMark
from truetape.market.sessions import Session

FRIDAY = session(VENUES["XNYS"], date(2026, 11, 20))
THURSDAY = session(VENUES["XNYS"], date(2026, 11, 19))


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path / "lake")


def mark(symbol: str, version: int, day: Session = FRIDAY, raw_id: str = "raw") -> DirtyMark:
    return DirtyMark(day.venue, day.date, symbol, 1, 0, raw_id, version, marked_ns=version)


def whole(version: int, raw_id: str = "raw") -> RecomputeBasis:
    return RecomputeBasis(raw_id, version, 0, None, version)


def some(version: int, *symbols: str) -> RecomputeBasis:
    return RecomputeBasis("raw", version, 0, symbols, version)


def test_a_lake_without_marks_has_none_pending(lake: str) -> None:
    assert dirty.pending_marks(lake) == dirty.pending_marks(lake, FRIDAY) == []
    assert dirty.clear_marks(lake, FRIDAY, [whole(7)]) == []


def test_pending_marks_are_those_of_all_sessions_or_of_one(lake: str) -> None:
    marks = [mark("KO", 4), mark("IBM", 3), mark("IBM", 3, THURSDAY)]

    assert dirty.add_marks(lake, marks) == 3

    assert dirty.pending_marks(lake, FRIDAY) == [marks[1], marks[0]]
    assert dirty.pending_marks(lake) == [marks[2], marks[1], marks[0]]


def test_more_marks_than_fit_into_one_write_are_all_written(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dirty, "MARKS_PER_WRITE", 2)

    assert dirty.add_marks(lake, (mark(f"S{number}", 1) for number in range(5))) == 5
    assert len(dirty.pending_marks(lake)) == 5


@pytest.mark.parametrize(
    ("bases", "stay"),
    [
        pytest.param([], ["IBM", "KO"], id="no recompute"),
        pytest.param([whole(2)], ["IBM", "KO"], id="recomputed before both marks"),
        pytest.param([whole(3)], ["KO"], id="one mark is newer"),
        pytest.param([whole(4)], [], id="recomputed after both marks"),
        pytest.param([some(9, "KO")], ["IBM"], id="only one symbol was recomputed"),
        pytest.param([whole(3), some(9, "KO")], [], id="all, then one symbol again"),
        pytest.param([some(9, "O'K")], ["IBM", "KO"], id="a symbol with a quote"),
        pytest.param([whole(0, "another raw")], [], id="raw was created again"),
    ],
)
def test_a_mark_is_cleared_when_the_bars_include_its_version(
    lake: str, bases: list[RecomputeBasis], stay: list[str]
) -> None:
    marks = [mark("IBM", 3), mark("KO", 4)]
    dirty.add_marks(lake, [*marks, mark("IBM", 1, THURSDAY)])

    left = dirty.clear_marks(lake, FRIDAY, bases)

    assert [one.symbol for one in left] == stay
    assert [one.symbol for one in marks if not dirty.is_included(one, bases)] == stay
    assert dirty.pending_marks(lake, FRIDAY) == left
    assert len(dirty.pending_marks(lake, THURSDAY)) == 1


def test_a_mark_added_during_a_publication_stays(lake: str) -> None:
    """The archive adds a mark while a publication clears older ones."""
    dirty.add_marks(lake, [mark("IBM", 3)])
    known = [whole(3)]

    dirty.add_marks(lake, [mark("IBM", 4)])

    assert dirty.clear_marks(lake, FRIDAY, known) == [mark("IBM", 4)]


def put(lake: str, name: str) -> None:
    write_deltalake(f"{lake}/{name}", table({"x": [1]}), mode="append")


def test_a_session_is_watched_from_its_first_recompute(lake: str) -> None:
    assert bars_lineage.watched(lake) == frozenset()

    bars_lineage.watch(lake, FRIDAY)
    bars_lineage.watch(lake, FRIDAY)

    assert bars_lineage.watched(lake) == {("XNYS", FRIDAY.date)}
    assert bars_lineage.recompute_bases(lake, FRIDAY) == []
    assert DeltaTable(f"{lake}/basis").version() == 0


def test_a_basis_names_the_raw_version_and_the_bars_version(lake: str) -> None:
    put(lake, "raw")
    put(lake, "raw")
    put(lake, "bars")
    bars_lineage.watch(lake, FRIDAY)
    raw_id, version = bars_lineage.current_raw(lake)

    bars_lineage.record_basis(lake, FRIDAY, (raw_id, version), None)
    put(lake, "bars")
    bars_lineage.record_basis(lake, FRIDAY, (raw_id, version + 1), ("IBM", "KO"))

    first, second = bars_lineage.recompute_bases(lake, FRIDAY)
    assert version == 1
    assert (first.raw_version, first.bars_version, first.symbols) == (1, 0, None)
    assert (second.raw_version, second.bars_version, second.symbols) == (2, 1, ("IBM", "KO"))
    assert bars_lineage.recompute_bases(lake, THURSDAY) == []


def test_a_recompute_without_raw_is_an_error(lake: str) -> None:
    with pytest.raises(ConfigError, match="run `truetape archive` first"):
        bars_lineage.current_raw(lake)
