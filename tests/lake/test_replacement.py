"""Replacement: one commit changes a session's rows and no others; of two writers one is refused."""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from support.build import VENUES
from support.session_lake import FRIDAY, good_events, lake_session
from truetape.host.calendars import session
from truetape.host.errors import TransientError
from truetape.lake.data_files import DataFile
from truetape.lake.delta import new_files, open_or_none, open_table
from truetape.lake.replacement import Replacement
from truetape.lake.schemas import BARS
from truetape.lake.tables import Table, session_filters
from truetape.market.sessions import Session

THURSDAY = session(VENUES["XNYS"], date(2026, 11, 19))


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path)


def bars(day: Session, *symbols: str, trades: int = 1) -> pa.Table:
    rows = [
        {"venue": day.venue, "session": day.date, "symbol": symbol, "trades": trades}
        for symbol in symbols
    ]
    return pa.Table.from_pylist(rows, schema=BARS)


def files(lake: str, rows: pa.Table) -> list[DataFile]:
    with new_files(lake, Table.BARS) as writer:
        writer.write(rows)
        return writer.finish()


def replaced(lake: str, day: Session, *symbols: str, trades: int = 1) -> None:
    replacement = Replacement(lake, Table.BARS, day)
    replacement.commit(files(lake, bars(day, *symbols, trades=trades)))


def content(lake: str, day: Session) -> list[tuple[str, int]]:
    rows = open_table(lake, Table.BARS).rows(session_filters(day), ["symbol", "trades"])
    return sorted((row["symbol"], row["trades"]) for row in rows.to_pylist())


def test_a_session_s_rows_are_replaced_and_those_of_others_stay(lake: str) -> None:
    replaced(lake, FRIDAY, "IBM", "KO")
    replaced(lake, THURSDAY, "IBM")

    replaced(lake, FRIDAY, "KO", trades=2)

    assert content(lake, FRIDAY) == [("KO", 2)]
    assert content(lake, THURSDAY) == [("IBM", 1)]


def test_a_session_may_become_empty(lake: str) -> None:
    replaced(lake, FRIDAY, "IBM")

    replaced(lake, FRIDAY)

    assert content(lake, FRIDAY) == []


def test_the_rows_of_other_symbols_are_kept(lake: str) -> None:
    replaced(lake, FRIDAY, "IBM", "KO", "MSFT")
    replacement = Replacement(lake, Table.BARS, FRIDAY, ["KO", "NEW"])

    replacement.commit(files(lake, bars(FRIDAY, "NEW", trades=2)))

    assert content(lake, FRIDAY) == [("IBM", 1), ("MSFT", 1), ("NEW", 2)]


@pytest.mark.parametrize("symbols", [None, ["IBM"]], ids=["whole", "some symbols"])
@pytest.mark.parametrize("is_first", [True, False], ids=["first time", "again"])
def test_of_two_writers_of_a_session_the_second_is_refused_and_its_files_removed(
    lake: str, symbols: list[str] | None, is_first: bool
) -> None:
    if not is_first:
        replaced(lake, FRIDAY, "IBM", "KO")
    early = Replacement(lake, Table.BARS, FRIDAY, symbols)
    late = Replacement(lake, Table.BARS, FRIDAY, symbols)
    early.commit(files(lake, bars(FRIDAY, "IBM", trades=2)))
    before, on_disk = content(lake, FRIDAY), sorted(Path(lake).rglob("*.parquet"))

    with pytest.raises(TransientError, match="another writer committed first; run it again"):
        late.commit(files(lake, bars(FRIDAY, "IBM", trades=3)))

    assert content(lake, FRIDAY) == before
    assert sorted(Path(lake).rglob("*.parquet")) == on_disk


def test_writers_of_other_sessions_do_not_disturb(lake: str) -> None:
    replacement = Replacement(lake, Table.BARS, FRIDAY)
    for trades in range(1, 6):
        replaced(lake, THURSDAY, "IBM", trades=trades)

    replacement.commit(files(lake, bars(FRIDAY, "KO")))

    assert content(lake, FRIDAY) == [("KO", 1)]
    assert content(lake, THURSDAY) == [("IBM", 5)]


def test_a_table_gets_the_columns_that_an_older_one_lacks(lake: str) -> None:
    from deltalake import write_deltalake

    lake_session(good_events()).write(lake)
    path = f"{lake}/{Table.BARS}"
    older = open_table(lake, Table.BARS).rows().drop_columns(["served"])
    write_deltalake(
        path, older, mode="overwrite", schema_mode="overwrite", partition_by=["venue", "session"]
    )

    replaced(lake, THURSDAY, "IBM")

    opened = open_or_none(lake, Table.BARS)
    assert opened is not None
    assert "served" in opened.column_types()
    assert opened.rows().num_rows == older.num_rows + 1
