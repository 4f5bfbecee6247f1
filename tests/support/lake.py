"""Recomputed bars put into a lake by hand, without Spark, and a store that notes its calls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow
from deltalake import write_deltalake

from truetape.lake.schemas import BARS
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.serving.bar_table import bars_of, table_of
from truetape.serving.store import BarStore, Digest, ServedBar, Traffic, WriteReport

Bars = Mapping[Resolution, Sequence[ServedBar]]


def put_bars(lake: str, session: Session, bars: Bars) -> None:
    """Replace the lake's `bars` by these; `rev`, `layer` and `final` of a bar do not matter."""
    rows = [_row(session, resolution, bar) for resolution, part in bars.items() for bar in part]
    table = pyarrow.Table.from_pylist(rows, schema=BARS)
    write_deltalake(f"{lake}/bars", table, mode="overwrite", partition_by=["venue", "session"])


def _row(session: Session, resolution: Resolution, bar: ServedBar) -> dict[str, object]:
    names = ("open", "high", "low", "close", "volume", "vwap")
    numbers = {name: Decimal(repr(getattr(bar, name))) for name in names}
    return numbers | {
        "venue": session.venue,
        "session": session.date,
        "symbol": bar.symbol,
        "resolution": resolution.value,
        "start_ns": bar.start_ns,
        "seq": bar.seq,
        "trades": bar.trades,
        "served": True,
        "profile": "sip",
        "profile_version": 1,
    }


@dataclass(slots=True)
class TamperedStore:
    """A bar store that notes each write and read in `calls`, and lets `tamper` change a write.

    `tamper` gets the number of the write, from 0, and its rows; what it returns is written, what it
    raises is raised. `after` may raise once the write has landed.
    """

    store: BarStore
    tamper: Callable[[int, list[ServedBar]], list[ServedBar]] = lambda _, rows: rows
    after: Callable[[int], None] = lambda _: None
    calls: list[tuple[str, Resolution, tuple[ServedBar, ...]]] = field(default_factory=list)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    """The symbols of each read."""
    writes: int = 0

    def write_table(
        self, resolution: Resolution, bars: pyarrow.Table, fields: Sequence[str]
    ) -> WriteReport:
        """Write what `tamper` makes of the rows, and say that all went well."""
        rows, number = list(bars_of(bars)), self.writes
        self.writes += 1
        self.calls.append(("write", resolution, tuple(rows)))
        written = self.tamper(number, rows)
        if written:
            self.store.write_table(resolution, table_of(written), fields)
        self.after(number)
        return WriteReport(len(rows), len(rows))

    @property
    def traffic(self) -> Traffic:
        """What the store has sent and received."""
        return self.store.traffic

    def read_table(
        self, resolution: Resolution, start_ns: int, end_ns: int, **chosen: Any
    ) -> pyarrow.Table:
        """Read, and note it."""
        self.calls.append(("read", resolution, ()))
        self.asked.append(tuple(chosen["symbols"] or ()))
        return self.store.read_table(resolution, start_ns, end_ns, **chosen)

    def digests(self, resolution: Resolution, *window: Any, **chosen: Any) -> dict[str, Digest]:
        """Read digests; note those of some symbols, by which a publication reads back."""
        if "symbols" in chosen:
            self.calls.append(("read", resolution, ()))
        return self.store.digests(resolution, *window, **chosen)

    def final_counts(self, resolution: Resolution, *window: Any, **chosen: Any) -> dict[str, int]:
        """Read the counts of final rows, and note it."""
        self.calls.append(("read", resolution, ()))
        return self.store.final_counts(resolution, *window, **chosen)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def dying(store: BarStore, at: int, landed: float, death: type[BaseException]) -> TamperedStore:
    """A store whose user dies in write `at`, of which this share of the rows has landed."""

    def tamper(number: int, written: list[ServedBar]) -> list[ServedBar]:
        return written[: int(len(written) * landed)] if number == at else written

    def after(number: int) -> None:
        if number == at:
            raise death

    return TamperedStore(store, tamper, after)
