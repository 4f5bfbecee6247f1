"""The columns of the lake's tables: an existing lake stays readable and writable."""

from pathlib import Path

import pytest

from truetape.host.errors import ConfigError
from truetape.lake.delta import (
    append_rows,
    delete_rows,
    expected_types,
    open_or_none,
    open_table,
    read_rows,
)
from truetape.lake.schemas import PARTITIONS, SCHEMAS
from truetape.lake.tables import Table

COLUMNS = {
    Table.TRADES: "venue string, session date, symbol string, ordinal long, feed string, id "
    "string, sequence long, event_ns long, received_ns long, price decimal(38,18), size "
    "decimal(38,18), notional decimal(38,18), conditions array<string>, tape string, "
    "exchange string, topic string, partition integer, offset long, index integer, duplicate "
    "boolean, cancelled boolean, corrected boolean, late boolean, in_day boolean, open_close "
    "boolean, high_low boolean, counts boolean, auction boolean, known boolean",
    Table.BARS: "venue string, session date, symbol string, resolution string, start_ns long, seq "
    "integer, open decimal(38,18), high decimal(38,18), low decimal(38,18), close decimal(38,18), "
    "volume decimal(38,18), vwap decimal(38,18), trades long, notional decimal(38,18), "
    "priced_volume decimal(38,18), first long, last long, served boolean, profile string, "
    "profile_version integer",
    Table.COVERAGE: "topic string, raw_id string, raw_version long, partition long, first long, "
    "last long, records long, accepted long, rejected long, last_ms long",
    Table.BARS_LINEAGE: "venue string, session date, raw_id string, raw_version long, bars_version "
    "long, symbols array<string>, recorded_ns long",
    Table.DIRTY: "venue string, session date, symbol string, trades long, amendments long, raw_id "
    "string, raw_version long, marked_ns long",
    Table.SUPERSEDED: "venue string, session date, kind string, resolution string, symbol string, "
    "start_ns long, rev long, seq long, void boolean, trades long, values string, open double, "
    "high double, low double, close double, volume double, vwap double",
    Table.PUBLICATIONS: "venue string, session date, rev long, as_of_ns long, published_ns long, "
    "digest string, bars long, edits long, voids long, code_version string, profile string, "
    "profile_version long, bars_version long, run_id string, who string, reason string, "
    "raw_version long, restores long",
}
"""In Delta's words, as the first lakes have them, apart from decimals; `last_ms` came later and may
be missing."""

RAW = (
    "topic string, partition int, offset bigint, record_ms bigint, key string, value binary, "
    "feed string, received_ns bigint, contract_version int, date date, first_event_ns bigint, "
    "last_event_ns bigint, amends boolean, accepted int, rejections int, "
    "events array<struct<index:int,kind:string,symbol:string,venue:string,id:string,"
    "sequence:bigint,event_ns:bigint,received_ns:bigint,price:decimal(38,18),size:decimal(38,18),"
    "notional:decimal(38,18),conditions:array<string>,tape:string,exchange:string,new_id:string>>, "
    "rejected array<struct<index:int,reason:string,detail:string>>"
)
"""As Spark writes it; every column may be null."""


@pytest.mark.parametrize("table", COLUMNS, ids=str)
def test_a_table_has_its_columns(table: Table) -> None:
    types = expected_types(table)

    assert ", ".join(f"{name} {kind}" for name, kind in types.items()) == COLUMNS[table]


def test_raw_has_the_columns_that_spark_writes() -> None:
    from pyspark.sql.pandas.types import from_arrow_schema

    schema = from_arrow_schema(SCHEMAS[Table.RAW])
    assert ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in schema) == RAW
    assert all(field.nullable for field in schema)


def test_every_table_has_a_schema_and_its_partition_columns_are_in_it() -> None:
    assert SCHEMAS.keys() == PARTITIONS.keys() == set(Table)
    for table, columns in PARTITIONS.items():
        assert set(columns) <= set(SCHEMAS[table].names)


def test_an_append_adds_the_columns_that_an_older_table_lacks(tmp_path: Path) -> None:
    import pyarrow as pa
    from deltalake import write_deltalake

    lake = str(tmp_path)
    older = pa.table({"venue": ["XNYS"], "rev": pa.array([1], pa.int64())})
    write_deltalake(f"{lake}/publications", older)

    append_rows(lake, Table.PUBLICATIONS, [{"venue": "XNYS", "rev": 2, "restores": 1}])

    rows = sorted(read_rows(lake, Table.PUBLICATIONS), key=lambda row: row["rev"])
    assert [(row["rev"], row["restores"]) for row in rows] == [(1, None), (2, 1)]
    written = open_table(lake, Table.PUBLICATIONS).column_types()
    assert written == expected_types(Table.PUBLICATIONS)


def test_an_append_without_rows_creates_no_table(tmp_path: Path) -> None:
    append_rows(str(tmp_path), Table.DIRTY, [])

    assert open_or_none(str(tmp_path), Table.DIRTY) is None


def test_a_delete_returns_the_number_of_rows(tmp_path: Path) -> None:
    lake = str(tmp_path)
    append_rows(lake, Table.DIRTY, [{"venue": "XNYS", "trades": count} for count in (1, 2, 3)])

    assert delete_rows(lake, Table.DIRTY, "trades > 1") == 2
    assert [row["trades"] for row in read_rows(lake, Table.DIRTY)] == [1]


@pytest.mark.parametrize(
    ("table", "verb"),
    [(Table.RAW, "archive"), (Table.BARS, "recompute"), (Table.PUBLICATIONS, "publish")],
    ids=str,
)
def test_a_missing_table_is_an_error_that_names_the_verb_that_writes_it(
    table: Table, verb: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"no table .*/{table}; run `truetape {verb}` first"):
        open_table(str(tmp_path), table)
