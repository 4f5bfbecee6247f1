"""An older lake is refused by readers and writers until `lake.upgrade` has rewritten its tables."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from support.old_lake import make_old
from support.session_lake import FRIDAY, good_events, lake_session
from truetape.batch.local.parts import parts_of
from truetape.host.errors import ConfigError, TransientError
from truetape.lake.bars import read_session_bars
from truetape.lake.deliveries import SessionDeliveries
from truetape.lake.delta import (
    LakeTable,
    append_rows,
    delete_rows,
    expected_types,
    open_of_any_version,
    open_table,
    read_rows,
    replace_rows,
)
from truetape.lake.events import RawEvents
from truetape.lake.maintenance import compact_and_vacuum
from truetape.lake.schemas import SCHEMAS
from truetape.lake.tables import Table, session_where, table_path
from truetape.lake.upgrade import upgrade
from truetape.market.trades import notional

OLD = (Table.RAW, Table.TRADES, Table.BARS, Table.DRIFT)
DRIFT: dict[str, Any] = {
    "venue": "XNYS", "session": FRIDAY.date, "rev": 1, "symbol": "IBM", "resolution": "1m",
    "start_ns": FRIDAY.open_ns, "field": "vwap", "change": "change", "before": Decimal("1.5"),
    "after": Decimal("1.25"), "delta": Decimal("-0.25"),
    "causes": [
        {"cause": "late", "delta": Decimal("-0.25"), "lateness_ns": 1, "count": 1, "trades": ["7"]}
    ],
}  # fmt: skip


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake of the first versions with a session and an entry of drift."""
    lake_session(good_events()).write(str(tmp_path))
    append_rows(str(tmp_path), Table.DRIFT, [DRIFT])
    make_old(tmp_path)
    return tmp_path


def rows(lake: Path, name: Table) -> list[dict[str, Any]]:
    table = DeltaTable(table_path(str(lake), name)).to_pyarrow_table().to_pylist()
    return sorted(table, key=repr)


def ids(lake: Path) -> dict[Table, str]:
    return {name: str(DeltaTable(table_path(str(lake), name)).metadata().id) for name in OLD}


def with_notional(name: Table, old: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as the upgrade should leave them."""
    for row in old:
        for item in [row] if name is Table.TRADES else row.get("events") or []:
            price, size = item["price"], item["size"]
            item["notional"] = None if price is None else notional(price, size)
    return old


def by_key(found: list[dict[str, Any]]) -> list[Any]:
    """Return rows in any order and with their columns in any order."""
    return sorted(repr(_plain(row)) for row in found)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted((name, _plain(item)) for name, item in value.items())
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.normalize() if isinstance(value, Decimal) else value


@pytest.mark.parametrize("scheme", ["", "file://"], ids=["folder", "URL"])
def test_the_upgrade_keeps_all_values_and_adds_the_notional(lake: Path, scheme: str) -> None:
    before = {name: with_notional(name, rows(lake, name)) for name in OLD}
    named = ids(lake)

    done = list(upgrade(f"{scheme}{lake}"))

    assert [table.table for table in done] == list(OLD)
    assert [table.rows for table in done] == [len(before[name]) for name in OLD]
    for name in OLD:
        assert by_key(rows(lake, name)) == by_key(before[name])
        types = open_table(str(lake), name).column_types()
        assert types == expected_types(name)
        assert not open_table(str(lake), name).is_outdated()
    assert ids(lake) == named


def test_an_upgraded_session_is_read_as_if_it_had_been_written_now(
    lake: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    new = tmp_path_factory.mktemp("new")
    lake_session(good_events()).write(str(new))

    list(upgrade(str(lake)))

    expected, found = (read_session_bars(str(each), FRIDAY) for each in (new, lake))
    assert found.count > 0
    assert found.symbols == expected.symbols
    assert _deliveries(lake) == _deliveries(new)


def _deliveries(lake: Path) -> list[str]:
    tables = parts_of(SessionDeliveries(RawEvents(str(lake)), FRIDAY))
    return by_key([row for table in tables for row in table.to_pylist()])


def test_a_second_upgrade_changes_nothing(lake: Path) -> None:
    list(upgrade(str(lake)))
    versions = {name: open_table(str(lake), name).version() for name in OLD}

    assert list(upgrade(str(lake))) == []
    assert {name: open_table(str(lake), name).version() for name in OLD} == versions


def test_each_table_is_one_commit_and_keeps_its_transactions(lake: Path) -> None:
    path = table_path(str(lake), Table.RAW)
    record = {"topic": "trades", "partition": 3, "offset": 1, "events": [], "rejected": []}
    schema = DeltaTable(path).to_pyarrow_table().schema
    write_deltalake(
        path, pa.Table.from_pylist([record], schema=schema), mode="append",
        commit_properties=CommitProperties(app_transactions=[Transaction("ingest-trades", 7)]),
    )  # fmt: skip
    before = DeltaTable(path).version()

    list(upgrade(str(lake)))

    table = open_table(str(lake), Table.RAW)
    assert table.version() == before + 1
    assert table.transaction_version("ingest-trades") == 7


@pytest.mark.parametrize("writes", range(8))
def test_a_killed_upgrade_leaves_whole_tables_and_the_next_one_goes_on(
    lake: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """It dies before one of its first writes: of a file or of a commit."""
    before = {name: with_notional(name, rows(lake, name)) for name in OLD}
    with monkeypatch.context() as patched:
        _die_after(writes, patched)
        with pytest.raises(KeyboardInterrupt):
            list(upgrade(str(lake)))

    for name in OLD:
        opened = open_of_any_version(str(lake), name)
        assert opened is not None
        if opened.is_outdated():
            assert len(rows(lake, name)) == len(before[name])
        else:
            assert by_key(rows(lake, name)) == by_key(before[name])
    list(upgrade(str(lake)))
    for name in OLD:
        assert by_key(rows(lake, name)) == by_key(before[name])


def _die_after(writes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter(range(writes))

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*values: Any, **named: Any) -> Any:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return call(*values, **named)

        return run

    monkeypatch.setattr("truetape.lake.upgrade._rewritten", counted(_rewritten()))
    monkeypatch.setattr(LakeTable, "swap_files", counted(LakeTable.swap_files))


def _rewritten() -> Callable[..., Any]:
    from truetape.lake.upgrade import _rewritten

    return _rewritten


def test_an_upgrade_beside_another_writer_fails_and_changes_nothing(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive of the old version still runs."""
    path, swap = table_path(str(lake), Table.RAW), LakeTable.swap_files
    record = {"topic": "trades", "partition": 3, "offset": 1, "events": [], "rejected": []}

    def swap_late(table: LakeTable, *values: Any) -> None:
        schema = DeltaTable(path).to_pyarrow_table().schema
        write_deltalake(path, pa.Table.from_pylist([record], schema=schema), mode="append")
        swap(table, *values)

    monkeypatch.setattr(LakeTable, "swap_files", swap_late)
    with pytest.raises(TransientError, match="run it again"):
        list(upgrade(str(lake)))
    monkeypatch.undo()

    assert 3 in {row["partition"] for row in rows(lake, Table.RAW)}
    assert {table.table for table in upgrade(str(lake))} == set(OLD)
    assert 3 in {row["partition"] for row in rows(lake, Table.RAW)}


def test_the_new_files_have_statistics_so_that_readers_open_few_of_them(lake: Path) -> None:
    before = {each["path"].rpartition("/")[0]: each for each in _statistics(lake)}

    list(upgrade(str(lake)))

    names = [
        f"{side}.{column}"
        for side in ("min", "max", "null_count")
        for column in ("topic", "offset", "first_event_ns", "last_event_ns", "received_ns")
    ]
    for each in _statistics(lake):
        old = before[each["path"].rpartition("/")[0]]
        assert {name: each.get(name) for name in ("num_records", *names)} == {
            name: old.get(name) for name in ("num_records", *names)
        }


def _statistics(lake: Path) -> list[dict[str, Any]]:
    table = open_of_any_version(str(lake), Table.RAW)
    assert table is not None
    return table.file_statistics()


def test_a_failed_upgrade_removes_the_files_that_it_wrote(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set((lake / "raw").rglob("*.parquet"))
    _die_after(1, monkeypatch)

    with pytest.raises(KeyboardInterrupt):
        list(upgrade(str(lake)))

    assert set((lake / "raw").rglob("*.parquet")) == before


def test_a_number_that_does_not_fit_is_named(lake: Path) -> None:
    path = table_path(str(lake), Table.BARS)
    table = DeltaTable(path).to_pyarrow_table()
    place = table.schema.get_field_index("notional")
    wide = pa.array(
        [Decimal("123456789012345678901.5")] * table.num_rows, table.schema.field(place).type
    )
    write_deltalake(
        path, table.set_column(place, table.schema.field(place), wide), mode="overwrite",
        partition_by=["venue", "session"],
    )  # fmt: skip

    with pytest.raises(ConfigError, match="bars has a number that does not fit 20 digits"):
        list(upgrade(str(lake)))


USES: dict[str, Callable[[str], object]] = {
    "open": lambda lake: open_table(lake, Table.TRADES),
    "read": lambda lake: read_rows(lake, Table.DRIFT),
    "append": lambda lake: append_rows(lake, Table.DRIFT, [DRIFT]),
    "replace": lambda lake: replace_rows(lake, Table.DRIFT, [DRIFT], session_where(FRIDAY)),
    "delete": lambda lake: delete_rows(lake, Table.BARS, "symbol = 'IBM'"),
    "events": lambda lake: list(RawEvents(lake).scan(["events"], pa.compute.scalar(True))),
    "bars": lambda lake: read_session_bars(lake, FRIDAY),
    "maintenance": lambda lake: compact_and_vacuum(lake, 0),
}


@pytest.mark.parametrize("use", USES)
def test_an_older_lake_is_refused_with_the_command_that_upgrades_it(lake: Path, use: str) -> None:
    versions = {name: DeltaTable(table_path(str(lake), name)).version() for name in OLD}

    with pytest.raises(ConfigError, match="run `truetape lake upgrade`"):
        USES[use](str(lake))

    assert {name: DeltaTable(table_path(str(lake), name)).version() for name in OLD} == versions


def test_no_table_has_an_old_width() -> None:
    for name, schema in SCHEMAS.items():
        assert "decimal128(38, 18)" in str(schema) or "decimal" not in str(schema), name
