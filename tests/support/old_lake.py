"""Lakes as the first versions wrote them: narrower numbers, and no notional of a trade."""

from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from truetape.lake.schemas import PARTITIONS
from truetape.lake.tables import Table, table_path

PRICE, SIZE = pa.decimal128(18, 9), pa.decimal128(18, 8)
SUM, NOTIONAL = pa.decimal128(28, 8), pa.decimal128(38, 17)
WIDTHS = {
    Table.TRADES: {"price": PRICE, "size": SIZE},
    Table.BARS: {
        "open": PRICE, "high": PRICE, "low": PRICE, "close": PRICE, "volume": SUM,
        "vwap": pa.decimal128(18, 8), "notional": NOTIONAL, "priced_volume": SUM,
    },
    Table.DRIFT: {"before": NOTIONAL, "after": NOTIONAL, "delta": NOTIONAL},
}  # fmt: skip
_ITEMS = {
    (Table.RAW, "events"): {"price": PRICE, "size": SIZE},
    (Table.DRIFT, "causes"): {"delta": NOTIONAL},
}


def make_old(lake: Path) -> None:
    """Write the tables of a lake anew as an old version would have: as new tables."""
    for name in (Table.RAW, *WIDTHS):
        path = table_path(str(lake), name)
        if not DeltaTable.is_deltatable(path):
            continue
        rows = DeltaTable(path).to_pyarrow_table()
        old = pa.schema(
            [_old(name, field) for field in rows.schema if field.name in _kept(name, rows)]
        )
        table = pa.Table.from_pylist(_narrowed(name, rows.to_pylist()), schema=old)
        write_deltalake(
            path, table, mode="overwrite", schema_mode="overwrite",
            partition_by=list(PARTITIONS[name]),
        )  # fmt: skip


def _kept(name: Table, rows: pa.Table) -> set[str]:
    return set(rows.column_names) - ({"notional"} if name is Table.TRADES else set())


def _old(name: Table, field: pa.Field) -> pa.Field:
    if (name, field.name) in _ITEMS:
        widths = _ITEMS[name, field.name]
        items = [
            pa.field(item.name, widths.get(item.name, item.type))
            for item in field.type.value_type
            if item.name != "notional"
        ]
        return pa.field(field.name, pa.list_(pa.struct(items)))
    return pa.field(field.name, WIDTHS.get(name, {}).get(field.name, field.type))


def _narrowed(name: Table, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in rows:
        if name is Table.RAW:
            for event in row["events"] or ():
                del event["notional"]
        if name is Table.BARS and row["vwap"] is not None:
            row["vwap"] = round(row["vwap"], 8)
    return rows
