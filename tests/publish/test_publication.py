"""Publication into both bar stores: complete, idempotent, safe to kill, sealed last."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import pytest

from support.build import SECOND, VENUES
from support.lake import Bars, TamperedStore, dying, put_bars
from support.serving import bar, own_buckets
from truetape.host.calendars import session
from truetape.host.errors import VerificationError
from truetape.host.settings import Settings
from truetape.lake.publications import publications
from truetape.market.resolution import Resolution
from truetape.publish.diff import Change
from truetape.publish.publication import PublicationRequest, Published, publish
from truetape.publish.verification import verify
from truetape.serving.influx import InfluxStore
from truetape.serving.store import BarStore, ServedBar

SESSION = session(VENUES["XNYS"], date(2026, 3, 4))
OPEN = SESSION.open_ns or 0
SYMBOLS = ("IBM", "KO")
COUNTS = {Resolution.SECOND: 5, Resolution.MINUTE: 4, Resolution.DAY: 1}
ROWS = len(SYMBOLS) * sum(COUNTS.values())


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """A lake with the bars of `recomputed()`."""
    put_bars(str(tmp_path / "lake"), SESSION, recomputed())
    return str(tmp_path / "lake")


def recomputed(**values: object) -> Bars:
    """Return bars of two symbols at three resolutions, all with the given values."""
    return {
        resolution: [
            bar(symbol=symbol, start_ns=start, seq=(start - SESSION.start_ns) // width, **values)
            for symbol in SYMBOLS
            for number in range(count)
            for width in [SECOND if resolution is Resolution.DAY else resolution.width_ns]
            for start in [OPEN + number * width]
        ]
        for resolution, count in COUNTS.items()
    }


def changed(bars: Bars, symbol: str = "KO", **values: object) -> Bars:
    """Return the bars with other values in the second minute of one symbol."""
    minutes = [
        replace(item, **values) if place(item) == (symbol, OPEN + 60 * SECOND) else item
        for item in bars[Resolution.MINUTE]
    ]
    return {**bars, Resolution.MINUTE: minutes}


def without(bars: Bars, symbol: str = "KO") -> Bars:
    """Return the bars without the second minute of one symbol."""
    minutes = [
        item for item in bars[Resolution.MINUTE] if place(item) != (symbol, OPEN + 60 * SECOND)
    ]
    return {**bars, Resolution.MINUTE: minutes}


def place(item: ServedBar) -> tuple[str, int]:
    return item.symbol, item.start_ns


def run(lake: str, store: BarStore, sleep: Callable[[float], None] = lambda _: None) -> Published:
    request = PublicationRequest(SESSION, "tests", "because", as_of_ns=1, seal_delay_s=0.25)
    return publish(lake, store, request, sleep=sleep)


def rows(store: BarStore) -> dict[tuple[Resolution, str, int], ServedBar]:
    return {
        (resolution, item.symbol, item.start_ns): item
        for resolution in Resolution
        for item in store.read(resolution, SESSION.start_ns, SESSION.end_ns, venue="XNYS")
    }


def test_a_first_publication_makes_every_bar_final(lake: str, store: BarStore) -> None:
    outcome = run(lake, store)

    assert (outcome.rev, outcome.changes, outcome.bars) == (1, {Change.ADD: ROWS}, ROWS)
    expected = {
        (resolution, *place(item)): replace(item, rev=1, final=True, layer="batch")
        for resolution, part in recomputed().items()
        for item in part
    }
    assert rows(store) == expected
    assert verify(lake, store, SESSION) == (ROWS, [])


def test_a_second_publication_makes_no_edit_and_no_record(lake: str, store: BarStore) -> None:
    run(lake, store)
    before = rows(store)

    outcome = run(lake, store)

    assert (outcome.rev, outcome.edits) == (None, 0)
    assert rows(store) == before
    assert [item.rev for item in publications(lake, SESSION)] == [1]


def test_a_second_publication_reads_no_bar(lake: str, store: BarStore) -> None:
    """The digests of both symbols already equal the target."""
    run(lake, store)
    recording = TamperedStore(store)

    assert run(lake, recording).edits == 0

    assert recording.calls == []


def test_only_symbols_that_differ_are_read(lake: str, store: BarStore) -> None:
    run(lake, store)
    put_bars(lake, SESSION, changed(recomputed(), close=99.5))
    recording = TamperedStore(store)

    run(lake, recording)

    assert set(recording.asked) == {("KO",)}


@pytest.mark.parametrize(
    "values",
    [{"final": False}, {"layer": "speed", "final": False}, {"close": 100.25}, {"trades": 9}],
    ids=str,
)
def test_a_row_changed_by_another_writer_is_corrected(
    lake: str, store: BarStore, values: dict[str, object]
) -> None:
    run(lake, store)
    before = rows(store)
    key = (Resolution.MINUTE, "KO", OPEN + 60 * SECOND)
    store.write(Resolution.MINUTE, [replace(before[key], **values)])

    assert run(lake, store).edits == 1

    assert rows(store) == before | {key: replace(before[key], rev=2)}


def test_a_changed_value_changes_only_its_row(lake: str, store: BarStore) -> None:
    run(lake, store)
    before = rows(store)
    put_bars(lake, SESSION, changed(recomputed(), close=99.5))

    outcome = run(lake, store)

    assert (outcome.rev, outcome.changes) == (2, {Change.CHANGE: 1})
    key = (Resolution.MINUTE, "KO", OPEN + 60 * SECOND)
    assert rows(store) == before | {key: replace(before[key], close=99.5, rev=2)}


def test_a_bar_that_lost_its_trades_becomes_void(lake: str, store: BarStore) -> None:
    run(lake, store)
    before = rows(store)
    put_bars(lake, SESSION, without(recomputed()))

    outcome = run(lake, store)

    assert outcome.changes == {Change.VOID: 1}
    key = (Resolution.MINUTE, "KO", OPEN + 60 * SECOND)
    nothing = dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), 0.0)
    gone = replace(before[key], rev=2, void=True, trades=0, **nothing)
    assert rows(store) == before | {key: gone}
    assert verify(lake, store, SESSION) == (ROWS - 1, [])
    assert run(lake, store).edits == 0


def test_a_symbol_that_lost_all_its_bars_becomes_void(lake: str, store: BarStore) -> None:
    run(lake, store)
    put_bars(
        lake,
        SESSION,
        {
            key: [item for item in part if item.symbol == "IBM"]
            for key, part in recomputed().items()
        },
    )

    assert run(lake, store).changes == {Change.VOID: ROWS // 2}
    assert {item.symbol for item in rows(store).values() if not item.void} == {"IBM"}


def test_right_provisional_bars_are_confirmed_and_wrong_ones_changed(
    lake: str, store: BarStore
) -> None:
    for resolution, part in recomputed().items():
        provisional = [replace(item, rev=0, layer="speed", final=False) for item in part]
        if resolution is Resolution.MINUTE:
            provisional[0] = replace(provisional[0], volume=1.0)
        if resolution is not Resolution.DAY:
            store.write(resolution, provisional)

    outcome = run(lake, store)

    days = len(SYMBOLS)
    assert outcome.changes == {
        Change.CHANGE: 1, Change.ADD: days, Change.CONFIRM: ROWS - days - 1
    }  # fmt: skip
    assert all(item.final and item.layer == "batch" for item in rows(store).values())
    assert verify(lake, store, SESSION) == (ROWS, [])


def test_the_ledger_records_each_publication_with_its_reason(lake: str, store: BarStore) -> None:
    run(lake, store)
    put_bars(lake, SESSION, without(changed(recomputed(), symbol="IBM", close=99.5)))
    run(lake, store)

    first, second = publications(lake, SESSION)
    assert (first.rev, first.bars, first.edits, first.voids) == (1, ROWS, ROWS, 0)
    assert (second.rev, second.bars, second.edits, second.voids) == (2, ROWS - 1, 2, 1)
    assert (second.who, second.reason, second.profile, second.as_of_ns) == (
        "tests", "because", "sip", 1
    )  # fmt: skip
    assert second.bars_version > first.bars_version
    assert first.digest != second.digest


def test_a_row_is_sealed_last_and_after_the_delay(lake: str, store: BarStore) -> None:
    """Unseal the rows, wait, write the values, read them back, wait, seal, read back."""
    run(lake, store)
    put_bars(lake, SESSION, recomputed(close=99.5))
    recording = TamperedStore(store)

    def wait(seconds: float) -> None:
        assert seconds == 0.25
        recording.calls.append(("delay", Resolution.SECOND, ()))

    run(lake, recording, wait)

    steps = [step_of(kind, written) for kind, _, written in recording.calls]
    order = [step for step, _ in itertools.groupby(steps)]
    assert order[:2] == ["read", "unseal"]
    assert steps.count("unseal") == steps.count("values") == steps.count("seal") == len(COUNTS)
    last = {step: len(steps) - 1 - steps[::-1].index(step) for step in set(steps)}
    final_delay = last["delay"]
    assert last["unseal"] < steps.index("delay") < steps.index("values")
    assert last["values"] < final_delay < steps.index("seal")
    for step in ("values", "seal"):
        reads = steps[last[step] + 1 :][: len(COUNTS)]
        assert reads == ["read"] * len(COUNTS)


def test_rounds_of_few_symbols_share_the_pauses(
    lake: str, store: BarStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With each symbol in a round of its own, all are unsealed before a value is written."""
    monkeypatch.setattr("truetape.publish.publication.ROUND_ROWS", 1)
    run(lake, store)
    put_bars(lake, SESSION, recomputed(close=99.5))
    recording, pauses, reports = TamperedStore(store), [], []

    request = PublicationRequest(SESSION, "tests", "because", as_of_ns=1, seal_delay_s=0.25)
    publish(lake, recording, request, reports.append, sleep=pauses.append)

    steps = [step_of(kind, written) for kind, _, written in recording.calls]
    writes = [step for step, _ in itertools.groupby(step for step in steps if step != "read")]
    assert (writes, pauses) == (["unseal", "values", "seal"], [0.25, 0.25])
    assert steps.count("unseal") == len(SYMBOLS) * len(COUNTS)
    assert [text.split(": ")[1] for text in reports] == [
        f"{ROWS // 2} rows to publish", f"{ROWS} rows to publish", f"{ROWS} rows published"
    ]  # fmt: skip
    assert verify(lake, store, SESSION) == (ROWS, [])


def step_of(kind: str, written: tuple[ServedBar, ...]) -> str:
    if kind != "write":
        return kind
    (final,) = {item.final for item in written}
    (rev,) = {item.rev for item in written}
    return "seal" if final else "unseal" if rev == 1 else "values"


def drop_one(_: int, written: list[ServedBar]) -> list[ServedBar]:
    return written[:-1]


def change_one(_: int, written: list[ServedBar]) -> list[ServedBar]:
    return [*written[:-1], replace(written[-1], high=written[-1].high + 0.01)]


def drop_all(_: int, written: list[ServedBar]) -> list[ServedBar]:
    return []


@pytest.mark.parametrize("tamper", [drop_one, change_one, drop_all])
def test_rows_that_the_store_does_not_keep_are_never_sealed(
    lake: str, store: BarStore, tamper: Callable[[int, list[ServedBar]], list[ServedBar]]
) -> None:
    with pytest.raises(VerificationError, match="read back differ"):
        run(lake, TamperedStore(store, tamper))

    assert not any(item.final for item in rows(store).values())
    assert publications(lake, SESSION) == []
    run(lake, store)
    assert verify(lake, store, SESSION) == (ROWS, [])


class Killed(BaseException):
    """The publishing process was killed."""


@pytest.mark.real  # slow: killed at every write, before and after it
def test_a_publication_killed_at_any_write_is_completed_by_the_next(
    tmp_path: Path, store: BarStore
) -> None:
    """After a kill, each final row has the values of exactly one publication."""
    lake = str(tmp_path / "lake")
    put_bars(lake, SESSION, recomputed())
    run(lake, store)
    survived, close, kills = False, 100.0, 0
    for number in itertools.count():
        for lands in (0.0, 0.5, 1.0):
            old = rows(store)
            close += 0.25
            put_bars(lake, SESSION, recomputed(close=close))
            try:
                run(lake, dying(store, number, lands, Killed))
                survived = True
            except Killed:
                kills += 1
                for key, item in rows(store).items():
                    assert not item.final or item == old[key] or item.close == close
            run(lake, store)
            assert verify(lake, store, SESSION) == (ROWS, [])
            assert run(lake, store).edits == 0
        if survived:
            break
    assert kills == 3 * 3 * len(COUNTS)


@pytest.mark.real
def test_no_reader_sees_a_final_row_mixed_from_two_publications_after_any_kill(
    tmp_path: Path, stack: Settings
) -> None:
    """All values of a row equal its publication's number, so a mixed row is detected."""
    lake, buckets = str(tmp_path / "lake"), own_buckets("history")
    writer = InfluxStore.from_settings(stack, buckets)
    writer.ensure_buckets()
    put_bars(lake, SESSION, bars_of_publication(1))
    publish_for_readers(lake, writer)
    stop, watchers = threading.Event(), [Reader() for _ in range(3)]
    readers = [
        threading.Thread(
            target=watcher.read_until, args=(InfluxStore.from_settings(stack, buckets), stop)
        )
        for watcher in watchers
    ]
    for reader in readers:
        reader.start()
    number = 1
    for write in range(UNSEAL_WRITE_SEAL):
        for lands in (0.0, 0.5, 1.0):
            number += 1
            put_bars(lake, SESSION, bars_of_publication(number))
            with pytest.raises(Killed):
                publish_for_readers(lake, dying(writer, write, lands, Killed))
            publish_for_readers(lake, writer)
            assert verify(lake, writer, SESSION) == (390 * len(SYMBOLS), [])
    stop.set()
    for reader in readers:
        reader.join()

    assert [watcher.wrong for watcher in watchers] == [[], [], []]
    numbers: dict[int, set[float]] = {}
    for watcher in watchers:
        for rev, close in watcher.final:
            numbers.setdefault(rev, set()).add(close)
    assert all(len(closes) == 1 for closes in numbers.values())
    assert len(numbers) >= number
    assert any(watcher.saw_unsealed for watcher in watchers)
    ledger = [publication.rev for publication in publications(lake, SESSION)]
    assert ledger == sorted(set(ledger))
    assert len(ledger) == number


UNSEAL_WRITE_SEAL = 3
"""The number of writes of a publication that replaces final rows of one resolution."""


def publish_for_readers(lake: str, store: BarStore) -> Published:
    return publish(
        lake, store, PublicationRequest(SESSION, "tests", "readers", 1, seal_delay_s=0.5)
    )


def bars_of_publication(number: int) -> Bars:
    values = dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), float(number))
    minutes = [
        bar(
            symbol=symbol,
            start_ns=OPEN + minute * 60 * SECOND,
            seq=(OPEN - SESSION.start_ns) // (60 * SECOND) + minute,
            trades=number,
            **values,
        )
        for symbol in SYMBOLS
        for minute in range(390)
    ]
    return {Resolution.MINUTE: minutes}


@dataclass(slots=True)
class Reader:
    """The rows that one reader sees. `wrong`: mixed final rows, and rows whose rev decreased."""

    final: set[tuple[int, float]] = field(default_factory=set)
    wrong: list[ServedBar] = field(default_factory=list)
    saw_unsealed: bool = False
    _revs: dict[tuple[str, int], int] = field(default_factory=dict)

    def read_until(self, store: InfluxStore, stop: threading.Event) -> None:
        while not stop.is_set():
            for item in store.read(
                Resolution.MINUTE, SESSION.start_ns, SESSION.end_ns, venue="XNYS"
            ):
                self.look(item)
        store.close()

    def look(self, item: ServedBar) -> None:
        if not item.final:
            self.saw_unsealed = True
            return
        numbers = {item.open, item.high, item.low, item.close, item.volume, item.vwap, item.trades}
        if len(numbers) > 1 or item.rev < self._revs.get(place(item), 0):
            self.wrong.append(item)
        self._revs[place(item)] = item.rev
        self.final.add((item.rev, item.close))
