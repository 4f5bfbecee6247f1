"""A round of edits on a store where a timed-out write arrives late, as in InfluxDB."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support.serving import bar, own_buckets
from support.session_lake import FRIDAY, OPEN
from truetape.host.errors import VerificationError
from truetape.market.resolution import Resolution
from truetape.publish.diff import Edits, diff_bars
from truetape.publish.two_phase_write import LATE_WRITE_S, MAX_ATTEMPTS, SEAL, TwoPhaseWrite
from truetape.serving.bar_table import table_of
from truetape.serving.digest import digests_of
from truetape.serving.embedded import EmbeddedStore
from truetape.serving.store import BarStore, Digest, Traffic, WriteReport

MINUTE = Resolution.MINUTE
SEAL_DELAY_S = 2.0
OLD = [bar(start_ns=OPEN, seq=0, close=100.0), bar(start_ns=OPEN, seq=0, symbol="KO")]
NEW = [replace(row, close=100.25) for row in OLD]


@dataclass
class LateStore:
    """Gets one write twice, as after a timeout; the first copy arrives `lands_after_s` later."""

    store: BarStore
    late_write: int
    """The number of that write, from 0."""
    lands_after_s: float
    writes: int = 0
    waited_s: float = 0.0
    retries: int = 0
    on_the_way: tuple[pa.Table, Sequence[str]] | None = None
    due_s: float = 0.0
    fields: list[Sequence[str]] = field(default_factory=list)
    """The fields of each write."""

    def write_table(
        self, resolution: Resolution, bars: pa.Table, fields: Sequence[str]
    ) -> WriteReport:
        """Write; schedule the late copy if this is the late write."""
        report = self.store.write_table(resolution, bars, fields)
        if self.writes == self.late_write:
            self.retries += 1
            self.on_the_way, self.due_s = (bars, fields), self.waited_s + self.lands_after_s
        self.writes += 1
        self.fields.append(fields)
        return report

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.waited_s += seconds
        if self.on_the_way and self.waited_s >= self.due_s:
            self.land()

    def land(self) -> None:
        """Let the late write arrive and overwrite the current rows."""
        assert self.on_the_way is not None
        self.store.write_table(MINUTE, *self.on_the_way)
        self.on_the_way = None

    def read_table(self, *window: Any, **chosen: Any) -> pa.Table:
        """Read from the store."""
        return self.store.read_table(*window, **chosen)

    def final_counts(self, *window: Any, **chosen: Any) -> dict[str, int]:
        """Read the counts of final rows from the store."""
        return self.store.final_counts(*window, **chosen)

    def digests(self, *window: Any, **chosen: Any) -> dict[str, Digest]:
        """Read digests from the store."""
        return self.store.digests(*window, **chosen)

    @property
    def traffic(self) -> Traffic:
        """Return the number of retries, as InfluxDB's store does."""
        return Traffic(retries=self.retries)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """A store that serves `OLD`, final."""
    opened = EmbeddedStore(tmp_path / "bars.sqlite", own_buckets("history"))
    opened.write(MINUTE, OLD)
    yield opened
    opened.close()


def published(late: LateStore, *rounds: Edits) -> None:
    write = TwoPhaseWrite(
        late,  # type: ignore[arg-type]
        FRIDAY,
        {symbol: {MINUTE: digest} for symbol, digest in digests_of(table_of(OLD)).items()},
        seal_delay_s=SEAL_DELAY_S,
        sleep=late.sleep,
    )
    for edits in rounds or (diff_bars(table_of(OLD), table_of(NEW), 2),):
        write.unseal({MINUTE: edits})
    write.write_and_seal()


@pytest.mark.parametrize("late_write", [0, 1, 2], ids=["unseal", "values", "seal"])
def test_a_late_write_does_not_replace_newer_rows(store: EmbeddedStore, late_write: int) -> None:
    late = LateStore(store, late_write, lands_after_s=LATE_WRITE_S)

    published(late)

    assert late.on_the_way is None
    assert late.waited_s == 2 * SEAL_DELAY_S + LATE_WRITE_S
    assert served(store) == [(100.25, 2, True)] * 2


def test_without_a_retry_only_the_seal_delays_are_waited(
    store: EmbeddedStore,
) -> None:
    late = LateStore(store, late_write=-1, lands_after_s=0)

    published(late)

    assert (late.waited_s, late.writes) == (2 * SEAL_DELAY_S, 3)


def test_all_rounds_share_the_seal_delays(store: EmbeddedStore) -> None:
    """Each row is unsealed before any value is written, and sealed after all are."""
    late = LateStore(store, late_write=-1, lands_after_s=0)
    rounds = [
        diff_bars(table_of([old]), table_of([new]), 2) for old, new in zip(OLD, NEW, strict=True)
    ]

    published(late, *rounds)

    assert late.waited_s == 2 * SEAL_DELAY_S
    assert [fields == SEAL for fields in late.fields] == [True, True, False, False, True, True]
    assert served(store) == [(100.25, 2, True)] * 2


def test_rows_that_were_not_final_are_not_unsealed(store: EmbeddedStore) -> None:
    late = LateStore(store, late_write=-1, lands_after_s=0)
    provisional = [row.unsealed() for row in OLD]
    store.write(MINUTE, provisional)

    published(late, diff_bars(table_of(provisional), table_of(NEW), 2))

    assert (late.waited_s, late.writes) == (SEAL_DELAY_S, 2)
    assert served(store) == [(100.25, 2, True)] * 2


def test_of_a_confirmed_row_only_its_state_is_written(store: EmbeddedStore) -> None:
    late = LateStore(store, late_write=-1, lands_after_s=0)
    provisional = [replace(row, layer="speed", rev=0, final=False) for row in OLD]
    store.write(MINUTE, provisional)

    published(late, diff_bars(table_of(provisional), table_of(OLD), 2))

    assert late.fields == [("rev", "layer", "final"), SEAL]
    assert list(store.read(MINUTE, FRIDAY.start_ns, FRIDAY.end_ns)) == [
        replace(row, rev=2) for row in OLD
    ]


@dataclass
class Forgetful(LateStore):
    """A row reverts to its old values after the last write, `times` times."""

    times: int = 0

    def digests(self, *window: Any, **chosen: Any) -> dict[str, Digest]:
        if self.writes >= 3 and self.times:
            self.times -= 1
            self.store.write(MINUTE, [replace(OLD[0], rev=1, final=False)])
        return super().digests(*window, **chosen)


@pytest.mark.parametrize("times", [1, MAX_ATTEMPTS - 1])
def test_rows_that_revert_to_old_values_are_written_again(store: EmbeddedStore, times: int) -> None:
    late = Forgetful(store, late_write=-1, lands_after_s=0, times=times)

    published(late)

    assert served(store) == [(100.25, 2, True)] * 2
    assert late.waited_s == (2 + times) * SEAL_DELAY_S + times * LATE_WRITE_S


def test_rows_that_never_read_back_equal_raise_an_error(store: EmbeddedStore) -> None:
    late = Forgetful(store, late_write=-1, lands_after_s=0, times=MAX_ATTEMPTS)

    with pytest.raises(VerificationError, match=r"1 of 2 1m bars read back differ.* 5 times in a"):
        published(late)


def served(store: BarStore) -> list[tuple[float, int, bool]]:
    """Return close, rev and final of the served rows."""
    rows = store.read(MINUTE, FRIDAY.start_ns, FRIDAY.end_ns)
    return [(row.close, row.rev, row.final) for row in rows]
