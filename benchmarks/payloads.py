"""Payload files for the recompute benchmark: a session of native trades, built column by column.

Seeded. Busy symbols and busy seconds as in a real session, ties in event time, one duplicate
in a hundred, no conditions.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from truetape.host import calendars
from truetape.host.errors import ConfigError
from truetape.host.venues import venues
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session

VENUE = "XNYS"
DAY = date(2026, 11, 20)
TOPIC = "trades"
_FILES = 8
_REPEATED = 0.01
_RECEIPT_NS = 50_000_000
_MILLISECOND_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Trades:
    """A session's deliveries in the order of their receipt; the same row in every array."""

    symbol: NDArray[np.int64]
    number: NDArray[np.int64]
    event_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    cents: NDArray[np.int64]
    size: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of deliveries, including duplicates."""
        return len(self.symbol)

    def rows(self, chosen: NDArray[np.int64]) -> "Trades":
        """Return some rows, in the order given."""
        return Trades(*(getattr(self, name)[chosen] for name in self.__slots__))


def session() -> Session:
    """Return the session that all trades are in."""
    return calendars.session(venues()[VENUE], DAY)


def write(folder: Path, trades: int, symbols: int, seed: int) -> int:
    """Write `payloads/*.parquet` (as read from Kafka) and `typed/*.parquet` (the same trades
    as typed columns); return the number of deliveries.
    """
    made = simulated(trades, symbols, seed)
    for name in ("payloads", "typed"):
        (folder / name).mkdir(parents=True)
    for number, part in enumerate(np.array_split(np.arange(len(made)), _FILES)):
        rows = made.rows(part)
        place = {"partition": number, "offset": np.arange(len(part))}
        pq.write_table(_payloads(rows, place), folder / "payloads" / f"{number}.parquet")
        pq.write_table(_typed(rows, place), folder / "typed" / f"{number}.parquet")
    return len(made)


def simulated(trades: int, symbols: int, seed: int) -> Trades:
    """Draw the trades of one session; times are whole milliseconds, so that there are ties."""
    random = np.random.default_rng(seed)
    opens, closes = _hours(session())
    busy = 1 / np.arange(1, symbols + 1) ** 0.8
    symbol = random.choice(symbols, size=trades, p=busy / busy.sum())
    within = random.beta(0.7, 0.7, size=trades) * (closes - opens - SECOND_NS)
    event_ns = np.sort(opens + within.astype(np.int64) // _MILLISECOND_NS * _MILLISECOND_NS)
    walk = np.cumsum(random.integers(-1, 2, size=trades))
    once = Trades(
        symbol=symbol,
        number=np.arange(trades),
        event_ns=event_ns,
        received_ns=event_ns + _RECEIPT_NS,
        cents=10_000 + symbol * 37 + walk % 400,
        size=random.integers(1, 500, size=trades),
    )
    repeats = np.sort(random.choice(trades, size=int(trades * _REPEATED), replace=False))
    again = once.rows(repeats)
    again.received_ns[:] += SECOND_NS
    every = Trades(
        *(np.concatenate([getattr(once, n), getattr(again, n)]) for n in Trades.__slots__)
    )
    return every.rows(np.argsort(every.received_ns, kind="stable"))


def _hours(found: Session) -> tuple[int, int]:
    if found.open_ns is None or found.close_ns is None:
        raise ConfigError(f"{found.venue} is closed on {found.date}; choose another day")
    return found.open_ns, found.close_ns


def _payloads(rows: Trades, place: dict[str, object]) -> pa.Table:
    symbol, number = _symbols(rows), _text(rows.number)
    parts = [
        '{"kind":"trade","symbol":"', symbol, '","venue":"' + VENUE + '","id":"', number,
        '","sequence":', number, ',"event_time":"', _iso(rows.event_ns), '","received_time":"',
        _iso(rows.received_ns), '","price":"', _prices(rows), '","size":"', _text(rows.size), '"}',
    ]  # fmt: skip
    value = pc.binary_join_element_wise(*parts, "")
    return _table(
        rows,
        place,
        record_ms=rows.received_ns // _MILLISECOND_NS,
        key=symbol,
        value=value.cast(pa.binary()),
        feed=_same("truetape", rows),
        received_ns=rows.received_ns,
    )


def _typed(rows: Trades, place: dict[str, object]) -> pa.Table:
    return _table(
        rows,
        place,
        symbol=_symbols(rows),
        id=_text(rows.number),
        sequence=rows.number,
        event_ns=rows.event_ns,
        received_ns=rows.received_ns,
        price=_prices(rows).cast(pa.decimal128(18, 9)),
        size=_text(rows.size).cast(pa.decimal128(18, 8)),
    )


def _table(rows: Trades, place: dict[str, object], **columns: object) -> pa.Table:
    partition = pa.array(np.full(len(rows), place["partition"], dtype=np.int32))
    head = {"topic": _same(TOPIC, rows), "partition": partition, "offset": place["offset"]}
    return pa.table(head | columns)


def _same(text: str, rows: Trades) -> pa.Array:
    return pa.repeat(pa.scalar(text), len(rows))


def _text(numbers: NDArray[np.int64]) -> pa.Array:
    return pa.array(numbers).cast(pa.string())


def _symbols(rows: Trades) -> pa.Array:
    return pc.binary_join_element_wise("S", _text(rows.symbol + 100), "")


def _prices(rows: Trades) -> pa.Array:
    cents = pc.utf8_lpad(_text(rows.cents % 100), 2, "0")
    return pc.binary_join_element_wise(_text(rows.cents // 100), cents, ".")


def _iso(times: NDArray[np.int64]) -> pa.Array:
    seconds, place = np.unique(times // SECOND_NS, return_inverse=True)
    texts = pc.strftime(pa.array(seconds).cast(pa.timestamp("s", "UTC")), "%Y-%m-%dT%H:%M:%S.")
    milliseconds = pc.utf8_lpad(_text(times % SECOND_NS // _MILLISECOND_NS), 3, "0")
    return pc.binary_join_element_wise(texts.take(pa.array(place)), milliseconds, "Z", "")
