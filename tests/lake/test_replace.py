"""Replacing rows: they are written while they are made."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from support.build import NOON
from truetape.host.errors import ConfigError
from truetape.lake.delta import read_rows, replace_table
from truetape.lake.schemas import SCHEMAS
from truetape.lake.tables import Table

WHERE = "symbol = 'IBM'"


def dirty(*symbols: str) -> pa.Table:
    row = {"venue": "XNYS", "trades": 1, "amendments": 0, "raw_version": 0, "marked_ns": NOON}
    rows = [row | {"symbol": symbol, "raw_id": "raw"} for symbol in symbols]
    return pa.Table.from_pylist(rows, SCHEMAS[Table.DIRTY])


def symbols(lake: str) -> list[str]:
    return sorted(row["symbol"] for row in read_rows(lake, Table.DIRTY, columns=["symbol"]))


def test_tables_may_read_the_lake_while_they_are_made(tmp_path: Path) -> None:
    lake = str(tmp_path)
    replace_table(lake, Table.DIRTY, [dirty("IBM", "IBM")], WHERE)

    def copies() -> Iterator[pa.Table]:
        for symbol in symbols(lake):
            yield dirty(symbol)
        yield dirty("IBM")

    replace_table(lake, Table.DIRTY, copies(), WHERE)

    assert symbols(lake) == ["IBM", "IBM", "IBM"]


def test_nothing_is_replaced_if_a_table_cannot_be_made(tmp_path: Path) -> None:
    """What the tables raise comes out as it is, not as an error of the writer."""
    lake = str(tmp_path)
    replace_table(lake, Table.DIRTY, [dirty("IBM")], WHERE)

    def failing() -> Iterator[pa.Table]:
        yield dirty("IBM", "IBM")
        raise ConfigError("too many amendments")

    with pytest.raises(ConfigError, match=r"^too many amendments$"):
        replace_table(lake, Table.DIRTY, failing(), WHERE)

    assert symbols(lake) == ["IBM"]


def test_no_tables_remove_the_rows(tmp_path: Path) -> None:
    lake = str(tmp_path)
    replace_table(lake, Table.DIRTY, [dirty("IBM", "MSFT")], "true")

    replace_table(lake, Table.DIRTY, [], WHERE)

    assert symbols(lake) == ["MSFT"]


def test_a_writer_that_stops_leaves_no_thread_that_waits(tmp_path: Path) -> None:
    """Rows that no writer takes any more are not made either."""
    made: list[int] = []

    def many() -> Iterator[pa.Table]:
        for number in range(1_000):
            made.append(number)
            yield dirty("IBM").drop(["symbol"]) if number == 0 else dirty("IBM")

    with pytest.raises(Exception, match="symbol"):
        replace_table(str(tmp_path), Table.DIRTY, many(), WHERE)

    assert len(made) < 10
