"""What serving takes and gives: rows, reports, and the contract that every bar store keeps.

Holds no server code: `influx` and `embedded` implement `BarStore`, `backends` opens one of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, Protocol, Self, SupportsFloat, TypeVar

from truetape.host.errors import VerificationError
from truetape.market.resolution import Resolution

Layer = Literal["speed", "batch"]
FieldValue = float | int | bool | str
BAR_NUMBERS = ("open", "high", "low", "close", "volume", "vwap")
"""The fields of a served bar that are floats."""
Key = tuple[object, ...]


class Keyed(Protocol):
    """A row that knows what it replaces."""

    @property
    def key(self) -> Key:
        """Return what makes two rows the same row: the later write replaces the earlier."""
        ...


Row = TypeVar("Row", bound=Keyed)


@dataclass(frozen=True, slots=True)
class ServedBar:
    """One bar as users read it. `start_ns` is UTC; `seq` is the bar's place in its session, from 0.

    A bar without priced volume has `vwap` 0.0. A bar whose trades are all gone is `void`: its
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
    """The indicators of one bar: those that exist yet, by the names of `schema.INDICATOR`."""

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
    """One fact about the pipeline: drift, a publication, a metric; `schema.PIPELINE` lists them."""

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
    """A row that was not stored: its text as far as it could be written, and why."""

    line: str
    reason: str


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What became of a write; every row sent is either stored or in `rejected`."""

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
        """Raise a VerificationError that names the first row refused, if one was. `rows` says what
        they are, `context` what to know before.
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
    """What the bars of one symbol add up to. Equal bars have equal digests in any order.

    Different bars have different digests for all practical purposes (`digest` says how); a
    publication is nevertheless proven by reading its rows back, never by digests alone.
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
    """What a store has sent and received so far; bytes of InfluxDB are bodies as on the wire."""

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
    """Where served bars live. Writes are upserts of whole rows, so repeating one is always safe.

    ConfigError: something must be changed first. TransientError: the server was away or slow; the
    same call may be repeated, whatever part of it has landed.
    """

    @property
    def traffic(self) -> Traffic:
        """Return what this store has sent and received since it was opened."""
        ...

    def write(self, resolution: Resolution, bars: Iterable[ServedBar]) -> WriteReport:
        """Store bars, the later of two with one key winning. Holds the bars of the call in memory.

        Raises ConfigError, before anything is written, when a bar is older than the bucket keeps.
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
        """Yield the bars of `[start_ns, end_ns)` by symbol, venue, start, in bounded memory."""
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
        self, resolution: Resolution, venue: str, start_ns: int, end_ns: int
    ) -> dict[str, Digest]:
        """Return the digest of each symbol that has bars in `[start_ns, end_ns)`."""
        ...

    def write_indicators(self, resolution: Resolution, rows: Iterable[IndicatorRow]) -> WriteReport:
        """Store indicator rows; a value that a row no longer has is gone afterwards."""
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

    def write_points(self, points: Iterable[Point]) -> WriteReport:
        """Store points in the pipeline bucket."""
        ...

    def read_points(self, measurement: str, start_ns: int, end_ns: int) -> Iterator[Point]:
        """Yield the points of a measurement in `[start_ns, end_ns)`, ordered by tags, then time."""
        ...

    def ensure_buckets(self) -> list[str]:
        """Make buckets what `influx/buckets.yaml` declares; return one line for each change."""
        ...

    def ensure_rollups(self) -> list[str]:
        """Make the roll-up tasks what `influx/tasks/` declares; return one line for each change.

        Nothing where the store has no tasks: then bars wider than a minute wait for a publication.
        """
        ...

    def await_rollups(self, within_s: float) -> None:
        """Wait until every roll-up that is at work now has ended; see `rollups.await_runs`."""
        ...

    def ping(self) -> float:
        """Write a canary and read it back; return the seconds it took."""
        ...

    def close(self) -> None:
        """Let go of connections and files. The store cannot be used afterwards."""
        ...
