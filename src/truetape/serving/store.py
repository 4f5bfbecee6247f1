"""Served rows, write reports, and `BarStore`, the contract of every bar store.

Has no server code: `influx` and `embedded` implement `BarStore`, `backends` opens one of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, SupportsFloat, TypeVar

from truetape.host.errors import VerificationError
from truetape.market.resolution import Resolution

if TYPE_CHECKING:
    import pyarrow

Layer = Literal["speed", "batch", "fill"]
"""What made a bar. `fill`: a reader, for an interval without trades; no store has such bars."""
FieldValue = float | int | bool | str
BAR_NUMBERS = ("open", "high", "low", "close", "volume", "vwap")
"""The fields of a served bar that are floats."""
Key = tuple[object, ...]


class Keyed(Protocol):
    """A row with a key: a later row replaces an earlier one of the same key."""

    @property
    def key(self) -> Key:
        """Return what makes two rows the same row: the later write replaces the earlier."""
        ...


Row = TypeVar("Row", bound=Keyed)


@dataclass(frozen=True, slots=True)
class ServedBar:
    """One bar as users read it. `start_ns` is UTC; `seq` is its ordinal in the session, from 0.

    A bar without priced volume has `vwap` 0.0. A bar that lost all its trades is `void`: its
    numbers are 0.
    """

    symbol: str
    venue: str
    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float
    trades: int
    rev: int
    seq: int
    layer: Layer
    final: bool
    void: bool

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """Build a bar from the values of its fields, in their order; flags may be 0 and 1."""
        values: list[Any] = [*row[:-2], bool(row[-2]), bool(row[-1])]
        return cls(*values)

    @classmethod
    def unpublished(
        cls,
        key: tuple[str, str, int],
        numbers: Iterable[SupportsFloat | None],
        *,
        trades: int,
        seq: int,
        layer: Layer,
    ) -> Self:
        """Build a bar that no publication wrote: rev 0, neither final nor void.

        `key` is symbol, venue and start; `numbers` are in the order of `BAR_NUMBERS`, None as 0.0.
        """
        floats = [float(number or 0) for number in numbers]
        return cls.from_row((*key, *floats, trades, 0, seq, layer, False, False))

    def in_state(self, *, rev: int, layer: Layer, final: bool, void: bool) -> "ServedBar":
        """Return the same values in another state. Much faster than `dataclasses.replace`."""
        return ServedBar(
            self.symbol, self.venue, self.start_ns,
            self.open, self.high, self.low, self.close, self.volume, self.vwap,
            self.trades, rev, self.seq, layer, final, void,
        )  # fmt: skip

    def unsealed(self) -> "ServedBar":
        """Return the bar as not final."""
        return self.in_state(rev=self.rev, layer=self.layer, final=False, void=self.void)

    @property
    def key(self) -> Key:
        """Return what makes two rows the same row: the later write replaces the earlier."""
        return self.symbol, self.venue, self.start_ns

    @property
    def numbers(self) -> tuple[float, ...]:
        """Return the floats of the bar, in the order of `BAR_NUMBERS`."""
        numbers: tuple[float, ...] = _numbers(self)
        return numbers


_numbers = attrgetter(*BAR_NUMBERS)


@dataclass(frozen=True, slots=True)
class IndicatorRow:
    """The indicators of one bar that have a value, by the names of `schema.INDICATOR`."""

    symbol: str
    venue: str
    start_ns: int
    values: Mapping[str, float]
    rev: int
    void: bool

    @property
    def key(self) -> Key:
        """Return what makes two rows the same row."""
        return self.symbol, self.venue, self.start_ns


@dataclass(frozen=True, slots=True)
class Point:
    """One point about the pipeline: drift, a publication, a metric; see `schema.PIPELINE`."""

    measurement: str
    tags: Mapping[str, str]
    time_ns: int
    fields: Mapping[str, FieldValue]

    @property
    def key(self) -> Key:
        """Return what makes two points the same point."""
        return self.measurement, *sorted(self.tags.items()), self.time_ns


@dataclass(frozen=True, slots=True)
class DeadLine:
    """A row that was not stored: its line, or its `repr` if it has none, and the reason."""

    line: str
    reason: str


@dataclass(frozen=True, slots=True)
class WriteReport:
    """The result of a write; every row sent is either stored or in `rejected`."""

    sent: int
    stored: int
    rejected: tuple[DeadLine, ...] = ()

    def __post_init__(self) -> None:
        if self.sent != self.stored + len(self.rejected):
            raise ValueError(
                f"a write report must add up: sent {self.sent}, stored {self.stored}, "
                f"rejected {len(self.rejected)}"
            )

    def require_stored(self, rows: str, context: str = "") -> None:
        """Raise VerificationError with the first refused row, if there is one.

        `rows` is the word for the rows in the message, `context` its beginning.
        """
        if self.rejected:
            first = self.rejected[0]
            raise VerificationError(
                f"{context}{context and ': '}{len(self.rejected)} of {self.sent} {rows} were "
                f"refused, first {first.reason}: {first.line}"
            )

    def __add__(self, other: "WriteReport") -> "WriteReport":
        return WriteReport(
            self.sent + other.sent, self.stored + other.stored, self.rejected + other.rejected
        )


@dataclass(frozen=True, slots=True)
class Digest:
    """Sums over the bars of one symbol. Equal bars have equal digests in any order.

    Different bars have different digests for all practical purposes (see `digest`). All fields but
    `rev_max` are sums.
    """

    bars: int
    trades: int
    seq: int
    rev_sum: int
    rev_max: int
    final: int
    void: int
    batch: int
    fingerprint: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """Counts of a store's requests, bytes and rows; bytes are InfluxDB's bodies on the wire."""

    requests: int = 0
    retries: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    rows_written: int = 0
    rows_read: int = 0


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which rows to read: half-open in time; None means every venue, every symbol."""

    start_ns: int
    end_ns: int
    venue: str | None = None
    symbols: Sequence[str] | None = None


class BarStore(Protocol):
    """Stores served bars. Every write is an upsert, so it is safe to repeat.

    Methods raise ConfigError if something must be changed first, and TransientError if the server
    was away or slow; then repeat the same call, even if part of it was written.
    """

    @property
    def traffic(self) -> Traffic:
        """Return the counts since this store was opened."""
        ...

    def write(self, resolution: Resolution, bars: Iterable[ServedBar]) -> WriteReport:
        """Store bars; of two with one key the later wins. Has all bars of the call in memory.

        Raise ConfigError, before any write, if a bar is older than the bucket's retention.
        """
        ...

    def write_table(
        self, resolution: Resolution, bars: "pyarrow.Table", fields: Sequence[str] = ...
    ) -> WriteReport:
        """Store bars of different keys, in no order. The table is as `bar_table` has it.

        With `fields`, store only these fields of rows that exist; the others keep their values.
        Raise ConfigError, before any write, if a bar is older than the bucket's retention.
        """
        ...

    def read(
        self,
        resolution: Resolution,
        start_ns: int,
        end_ns: int,
        *,
        venue: str | None = None,
        symbols: Sequence[str] | None = None,
    ) -> Iterator[ServedBar]:
        """Yield the bars of `[start_ns, end_ns)` by symbol, venue and start, in bounded memory."""
        ...

    def read_table(
        self,
        resolution: Resolution,
        start_ns: int,
        end_ns: int,
        *,
        venue: str | None = None,
        symbols: Sequence[str] | None = None,
    ) -> "pyarrow.Table":
        """Return what `read` yields as a table; has all of it in memory."""
        ...

    def tail(
        self,
        resolution: Resolution,
        symbol: str,
        count: int,
        *,
        venue: str | None = None,
        end_ns: int | None = None,
    ) -> list[ServedBar]:
        """Return a symbol's last `count` bars on each venue, ordered by venue and start."""
        ...

    def symbols(self, resolution: Resolution) -> list[str]:
        """Return every symbol that has bars, in alphabetical order."""
        ...

    def digests(
        self,
        resolution: Resolution,
        venue: str,
        start_ns: int,
        end_ns: int,
        *,
        symbols: Sequence[str] | None = None,
    ) -> dict[str, Digest]:
        """Return the digest of each symbol that has bars in `[start_ns, end_ns)`; of these symbols,
        or of all.
        """
        ...

    def final_counts(
        self,
        resolution: Resolution,
        venue: str,
        start_ns: int,
        end_ns: int,
        *,
        symbols: Sequence[str] | None = None,
    ) -> dict[str, int]:
        """Return the number of final rows of each symbol that has any: much cheaper than a digest.

        Has the arguments of `digests`.
        """
        ...

    def write_indicators(self, resolution: Resolution, rows: "pyarrow.Table") -> WriteReport:
        """Store indicator rows of different keys; a value that the new row lacks is deleted.

        The table is as `indicator_table` has it.
        """
        ...

    def read_indicators(
        self,
        resolution: Resolution,
        start_ns: int,
        end_ns: int,
        *,
        venue: str | None = None,
        symbols: Sequence[str] | None = None,
    ) -> Iterator[IndicatorRow]:
        """Yield the indicator rows of `[start_ns, end_ns)`, ordered by symbol, venue, start."""
        ...

    def read_indicator_table(
        self, resolution: Resolution, start_ns: int, end_ns: int, *, venue: str | None = None
    ) -> "pyarrow.Table":
        """Return what `read_indicators` yields as a table; has all of it in memory."""
        ...

    def write_points(self, points: Iterable[Point]) -> WriteReport:
        """Store points in the pipeline bucket."""
        ...

    def read_points(self, measurement: str, start_ns: int, end_ns: int) -> Iterator[Point]:
        """Yield the points of a measurement in `[start_ns, end_ns)`, ordered by tags, then time."""
        ...

    def ensure_buckets(self) -> list[str]:
        """Make buckets equal `influx/buckets.yaml`; return one line for each change."""
        ...

    def ensure_rollups(self) -> list[str]:
        """Make the roll-up tasks equal `influx/tasks/`; return one line for each change.

        Does nothing if the store runs no tasks; then only a publication writes 5m and 1h bars.
        """
        ...

    def await_rollups(self, within_s: float) -> None:
        """Wait until every running roll-up has ended; see `rollups.await_runs`."""
        ...

    def ping(self) -> float:
        """Write a canary and read it back; return the seconds it took."""
        ...

    def close(self) -> None:
        """Close connections and files. The store cannot be used afterwards."""
        ...
