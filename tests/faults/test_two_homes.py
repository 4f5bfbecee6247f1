"""Two homes with a lake each publish one session to one InfluxDB: real processes, one Kafka."""

import dataclasses
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest

from support.drifting import printed
from support.loop import own_settings
from support.publisher import NO_TRAP, SEALED, UNSEALED, Trap, publishing
from support.session_lake import LakeSession, lake_session
from truetape.host.calendars import session
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.publications import publications
from truetape.market.resolution import Resolution
from truetape.publish.verification import verify
from truetape.serving.backends import open_store
from truetape.serving.store import Key, ServedBar

pytestmark = [pytest.mark.faults, pytest.mark.real, pytest.mark.long]

DAY = session(venues()["XASE"], date(2024, 11, 22))
STOP, KILL = signal.SIGSTOP, signal.SIGKILL
_Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Homes:
    """Two homes whose lakes have the same trades at different prices and sizes."""

    first: Settings
    second: Settings
    known: Mapping[tuple[Resolution, Key], frozenset[_Numbers]]
    """The numbers that each bar has in one lake or the other."""


@pytest.fixture
def homes(stack: Settings, tmp_path: Path) -> Homes:
    known: dict[tuple[Resolution, Key], set[_Numbers]] = {}
    settings = []
    for name, plus in (("first", 0), ("second", 7)):
        own = own_settings(
            stack,
            tmp_path / name,
            seal_delay_s=1.0,
            write_timeout_s=1.0,
            write_attempts=1,
        )
        made = lake_of(plus)
        made.write(own.lake)
        for row in made.bars:
            key = (Resolution(row["resolution"]), (row["symbol"], row["venue"], row["start_ns"]))
            known.setdefault(key, set()).add(numbers_of(row))
        settings.append(own)
    with closing(open_store(settings[0])) as store:
        store.ensure_buckets()
    return Homes(*settings, {key: frozenset(values) for key, values in known.items()})


def lake_of(plus: int) -> LakeSession:
    """Trades of ten symbols, one a minute; `plus` is added to every price and size."""
    trades = [
        printed(
            minute * 60 + 1,
            str(100 + plus + minute),
            str(10 + plus),
            symbol=symbol,
            venue=DAY.venue,
        )
        for symbol in ("AA", "BB", "CC", "DD", "EE", "FF", "GG", "HH", "II", "JJ")
        for minute in range(30)
    ]
    return lake_session(trades, DAY)


def numbers_of(row: Mapping[str, object]) -> _Numbers:
    names = ("open", "high", "low", "close", "volume", "vwap", "trades")
    return tuple(float(str(row[name])) for name in names)


@dataclass
class Reader:
    """Reads the session again and again, and keeps what no reader may see."""

    homes: Homes
    mixed: list[ServedBar] = field(default_factory=list)
    fallen: list[ServedBar] = field(default_factory=list)
    """Final rows whose rev is below one that was final before."""
    final: int = 0

    def read(self, revs: dict[Key, int], resolution: Resolution, row: ServedBar) -> None:
        if not row.final:
            return
        self.final += 1
        numbers = (row.open, row.high, row.low, row.close, row.volume, row.vwap, row.trades)
        if numbers not in self.homes.known[resolution, row.key]:
            self.mixed.append(row)
        if row.rev < revs.get(row.key, 0):
            self.fallen.append(row)
        revs[row.key] = max(row.rev, revs.get(row.key, 0))


@contextmanager
def reading(homes: Homes) -> Iterator[Reader]:
    """Read in the background during the block; then require that it saw final rows, none mixed and
    none of a lower rev than before.
    """
    reader, end = Reader(homes), threading.Event()
    # reads wait longer than the publishers' short limit
    patient = dataclasses.replace(homes.first, write_timeout_s=10.0, write_attempts=4)

    def work() -> None:
        revs: dict[Resolution, dict[Key, int]] = {resolution: {} for resolution in Resolution}
        with closing(open_store(patient)) as store:
            while not end.is_set():
                for resolution in Resolution:
                    rows = store.read(resolution, DAY.start_ns, DAY.end_ns, venue=DAY.venue)
                    for row in rows:
                        reader.read(revs[resolution], resolution, row)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield reader
    finally:
        end.set()
        thread.join()
    assert reader.mixed == []
    assert reader.fallen == []
    assert reader.final > 0


def published(settings: Settings, trap: Trap = NO_TRAP) -> tuple[int, str]:
    with publishing(settings, DAY, trap) as publisher:
        return publisher.end()


def assert_serves(settings: Settings) -> None:
    """Every served bar is final and equals the lake of this home."""
    with closing(open_store(dataclasses.replace(settings, write_timeout_s=10.0))) as store:
        compared, mismatches = verify(settings.lake, store, DAY)
    assert compared > 600
    assert mismatches == []


def revs(settings: Settings) -> list[int]:
    return [publication.rev for publication in publications(settings.lake, DAY)]


def test_two_homes_that_publish_one_session_at_once_take_turns(homes: Homes) -> None:
    with reading(homes):
        for _ in range(2):
            with publishing(homes.first, DAY) as one, publishing(homes.second, DAY) as other:
                assert one.end()[0] == 0
                assert other.end()[0] == 0

    both = sorted([*revs(homes.first), *revs(homes.second)])
    assert len(both) >= 3  # a home whose bars are served already has nothing to write
    assert both == list(range(1, len(both) + 1))
    newest_home = max((homes.first, homes.second), key=lambda settings: revs(settings)[-1])
    assert_serves(newest_home)


@pytest.mark.parametrize("text", [UNSEALED, SEALED], ids=["value", "seal"])
def test_a_home_frozen_between_check_and_write_keeps_the_lock_and_finishes(
    homes: Homes, text: str
) -> None:
    """The other home does not write meanwhile; it says who has the lock."""
    assert published(homes.second)[0] == 0
    with reading(homes), publishing(homes.first, DAY, Trap(STOP, text)) as frozen:
        frozen.wait_until_stopped()

        code, output = published(homes.second)

        assert code == 75
        assert f"{homes.first.home} (pid {frozen.process.pid} on " in output
        assert "is it stopped?" in output
        frozen.thaw()
        assert frozen.end()[0] == 0
        assert_serves(homes.first)
        assert published(homes.second)[0] == 0
    assert_serves(homes.second)


@pytest.mark.parametrize("text", [UNSEALED, SEALED], ids=["value", "seal"])
def test_after_a_home_was_killed_in_its_publication_the_other_one_publishes(
    homes: Homes, text: str
) -> None:
    assert published(homes.second)[0] == 0
    with reading(homes):
        assert published(homes.first, Trap(KILL, text))[0] == -KILL

        code, output = published(homes.second)

        assert code == 0
        assert f"took the publish lock of history/XASE from {homes.first.home}" in output
        assert_serves(homes.second)
        assert published(homes.first)[0] == 0
    assert_serves(homes.first)


def test_a_home_frozen_on_another_machine_loses_the_lock_and_writes_nothing_when_it_thaws(
    homes: Homes,
) -> None:
    trap = Trap(STOP, SEALED, is_checked=False, elsewhere=True)
    assert published(homes.second)[0] == 0
    with reading(homes), publishing(homes.first, DAY, trap) as frozen:
        frozen.wait_until_stopped()
        assert published(homes.second)[0] == 0
        assert_serves(homes.second)

        frozen.thaw()

        code, output = frozen.end()
        assert code == 75
        assert f"another publisher, {homes.second.home}" in output
        assert_serves(homes.second)


LATE_WRITES = {
    "unseal": (UNSEALED, {Resolution.SECOND}),
    "values": ("open=", {Resolution.SECOND}),
    "seal": (SEALED, set[Resolution]()),
}
"""A late write, and the resolutions that it spoils: what it seals, the other home has sealed."""


@pytest.mark.parametrize(("text", "spoiled"), LATE_WRITES.values(), ids=LATE_WRITES.keys())
def test_one_late_write_of_a_home_frozen_on_another_machine_is_named_and_published_over(
    homes: Homes, text: str, spoiled: set[Resolution]
) -> None:
    """The gap that InfluxDB leaves: frozen between check and write, on a machine that the other
    home cannot see. The write arrives, the next one does not.
    """
    trap = Trap(STOP, text, elsewhere=True)
    assert published(homes.second)[0] == 0
    with publishing(homes.first, DAY, trap) as frozen:
        frozen.wait_until_stopped()
        assert published(homes.second)[0] == 0
        frozen.thaw()

        code, output = frozen.end()

    assert code == 75
    assert "publish the session again" in output
    with closing(open_store(homes.second)) as store:
        _, mismatches = verify(homes.second.lake, store, DAY)
    assert {mismatch.resolution for mismatch in mismatches} == spoiled
    with reading(homes):
        assert published(homes.second)[0] == 0
    assert_serves(homes.second)
