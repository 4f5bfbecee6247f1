"""Bars by DuckDB, the yardstick: the same trades once each, folded to 1 s bars in exact decimals.

Handles one format of payload and one resolution; no bad input, conditions, cancels or corrections.
"""

from pathlib import Path

import duckdb

_THREADS = 2
_SHAPE = (
    '{"symbol":"VARCHAR","id":"VARCHAR","sequence":"BIGINT","event_time":"TIMESTAMP_NS",'
    '"price":"DECIMAL(18,9)","size":"DECIMAL(18,8)"}'
)
_FROM_JSON = """
    SELECT trade.symbol, trade.id, trade.sequence, epoch_ns(trade.event_time) AS event_ns,
        received_ns, trade.price, trade.size, "partition", "offset"
    FROM (
        SELECT json_transform(decode(value), '{shape}') AS trade,
            received_ns, "partition", "offset"
        FROM read_parquet(?)
    )
"""
_FROM_COLUMNS = "SELECT * EXCLUDE (topic) FROM read_parquet(?)"
_BARS = """
    SELECT symbol, event_ns - event_ns % 1000000000 AS start_ns,
        arg_min(price, place) AS open, max(price) AS high, min(price) AS low,
        arg_max(price, place) AS "close", sum(size) AS volume, count(*) AS trades,
        sum(price::DECIMAL(19,9) * size) AS notional
    FROM (
        SELECT *, (event_ns % 1000000000 << 32) + sequence AS place
        FROM ({trades})
        QUALIFY row_number() OVER (
            PARTITION BY symbol, id ORDER BY received_ns, "partition", "offset"
        ) = 1
    )
    GROUP BY symbol, start_ns
"""
_DIFFERENT = """
    (SELECT {columns} FROM read_parquet(?) EXCEPT SELECT {columns} FROM read_parquet(?))
    UNION ALL
    (SELECT {columns} FROM read_parquet(?) EXCEPT SELECT {columns} FROM read_parquet(?))
"""
_COLUMNS = 'symbol, start_ns, open, high, low, "close", volume, trades, notional'


def bars(folder: Path, kind: str, out: Path) -> None:
    """Fold `payloads` or `typed` files to 1 s bars and write them as Parquet."""
    trades = {"payloads": _FROM_JSON.format(shape=_SHAPE), "typed": _FROM_COLUMNS}[kind]
    with duckdb.connect(config={"threads": _THREADS}) as connection:
        connection.execute(
            f"COPY ({_BARS.format(trades=trades)}) TO '{out}' (FORMAT parquet)",
            [f"{folder / kind}/*.parquet"],
        )


def differences(one: str, other: str) -> int:
    """Return the number of bars that differ or exist in one file only."""
    query = f"SELECT count(*) FROM ({_DIFFERENT.format(columns=_COLUMNS)})"  # noqa: S608 - constants
    with duckdb.connect() as connection:
        ((found,),) = connection.execute(query, [one, other, other, one]).fetchall()
    return int(found)


def totals(bars_of: str) -> tuple[int, int, str]:
    """Return the number of bars, their trades and their volume."""
    query = "SELECT count(*), sum(trades)::BIGINT, sum(volume) FROM read_parquet(?)"
    with duckdb.connect() as connection:
        ((bars, trades, volume),) = connection.execute(query, [bars_of]).fetchall()
    return int(bars), int(trades), f"{volume.normalize():f}"
