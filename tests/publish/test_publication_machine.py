"""Any order of changes, publications, repairs, reverts and crashes: final bars always belong to one
publication, no rev decreases, and every recorded rev can be reconstructed.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from support.build import SECOND, VENUES
from support.lake import dying, put_bars
from support.machines import FAST_FOLDER, schedules
from support.serving import bar, own_buckets
from truetape.host.calendars import session
from truetape.lake.publications import publications
from truetape.market.resolution import Resolution
from truetape.publish.publication import PublicationRequest, Published, publish, publish_target
from truetape.publish.revert import reconstruct
from truetape.serving.embedded import EmbeddedStore
from truetape.serving.store import BarStore, ServedBar

SESSION = session(VENUES["XNYS"], date(2026, 3, 4))
WIDTHS = {Resolution.SECOND: SECOND, Resolution.MINUTE: 60 * SECOND}
PLACES = st.tuples(st.sampled_from(["IBM", "KO"]), st.integers(0, 2))
Place = tuple[Resolution, str, int]
Values = tuple[float, int]


class KilledError(BaseException):
    """The publishing process was killed."""


class Publications(RuleBasedStateMachine):
    """`closes` are the recomputed bars; `seen` are the final bars that readers had at each rev."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="truetape-machine-", dir=FAST_FOLDER))
        self.lake = str(self.folder / "lake")
        self.store = EmbeddedStore(self.folder / "bars.sqlite", own_buckets("history"))
        self.store.ensure_buckets()
        self.closes: dict[tuple[str, int], float] = {("IBM", 0): 10.0, ("KO", 0): 50.0}
        self.changed: set[str] = set()
        self.seen: dict[int, dict[Place, Values]] = {}
        self.revs: dict[Place, int] = {}
        self.is_torn = False
        self.small_rounds = patch("truetape.publish.publication.ROUND_ROWS", 1)
        self.small_rounds.start()
        self.put()

    def teardown(self) -> None:
        try:
            self.every_rev_can_be_reconstructed()
        finally:
            self.small_rounds.stop()
            self.store.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def every_rev_can_be_reconstructed(self) -> None:
        """After any later publication, including a killed one that was never completed."""
        for rev, shown in self.seen.items():
            restored = reconstruct(self.lake, self.store, SESSION, rev)
            values = {
                self.place(each, row): (row.close, row.trades)
                for each in WIDTHS
                for row in restored.bars(each)
            }
            assert values == shown

    @rule(place=PLACES, close=st.integers(1, 4))
    def a_bar_changes(self, place: tuple[str, int], close: int) -> None:
        self.closes[place] = float(close)
        self.changed.add(place[0])
        self.put()

    @rule(place=PLACES)
    def a_bar_loses_its_trades(self, place: tuple[str, int]) -> None:
        if len(self.closes) > 1 and self.closes.pop(place, None) is not None:
            self.changed.add(place[0])
            self.put()

    @rule()
    def all_symbols_are_published(self) -> None:
        self.publish(self.store)

        assert self.readable() == self.recomputed()
        assert self.publish(self.store).edits == 0
        self.remember()

    @precondition(lambda self: self.seen and not self.is_torn and not self.held())
    @rule()
    def the_dirty_symbols_are_published(self) -> None:
        others = {key for key in self.readable() if key[1] not in self.changed}
        before = {key: self.revs[key] for key in others}

        self.publish(self.store, frozenset(self.changed))

        assert self.readable() == self.recomputed()
        self.remember()
        assert {key: self.revs[key] for key in others} == before

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def an_older_rev_is_served_again(self, data: st.DataObject) -> None:
        rev = data.draw(st.sampled_from(sorted(self.seen)))

        self.revert(self.store, rev)

        assert self.readable() == self.seen[rev]
        self.remember()

    @rule(at=st.integers(0, 11), landed=st.sampled_from([0.0, 0.5, 1.0]))
    def a_publication_is_killed(self, at: int, landed: float) -> None:
        self.kill(at, landed, self.recomputed(), self.publish)

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), at=st.integers(0, 11), landed=st.sampled_from([0.0, 0.5, 1.0]))
    def a_revert_is_killed(self, data: st.DataObject, at: int, landed: float) -> None:
        rev = data.draw(st.sampled_from(sorted(self.seen)))
        self.kill(at, landed, self.seen[rev], lambda store: self.revert(store, rev))

    @invariant()
    def no_rev_decreases(self) -> None:
        revs = {self.place(each, row): row.rev for each, row in self.rows()}
        assert all(revs[key] >= rev for key, rev in self.revs.items())
        self.revs = revs

    @invariant()
    def no_rev_is_recorded_twice(self) -> None:
        ledger = [publication.rev for publication in publications(self.lake, SESSION)]
        assert ledger == sorted(set(ledger))

    def kill(
        self,
        at: int,
        landed: float,
        target: dict[Place, Values],
        work: Callable[[BarStore], object],
    ) -> None:
        """Kill the process in write `at`: each final bar then has its old or its target values."""
        before = self.readable()
        try:
            work(dying(self.store, at, landed, KilledError))
        except KilledError:
            self.is_torn = True
            for key, values in self.readable().items():
                assert values in (before.get(key), target.get(key))
        else:
            assert self.readable() == target
            self.remember()

    def publish(self, store: BarStore, symbols: frozenset[str] | None = None) -> Published:
        request = replace(self.request(), symbols=symbols)
        return publish(self.lake, store, request, sleep=lambda _: None)

    def revert(self, store: BarStore, rev: int) -> None:
        target = reconstruct(self.lake, self.store, SESSION, rev)
        request = replace(self.request(), restores=rev)
        publish_target(self.lake, store, target, request, sleep=lambda _: None)

    def request(self) -> PublicationRequest:
        return PublicationRequest(SESSION, "tests", "because", as_of_ns=1, seal_delay_s=0.0)

    def remember(self) -> None:
        """Remember the final bars of the newest rev."""
        ledger = publications(self.lake, SESSION)
        self.seen[ledger[-1].rev] = self.readable()
        self.is_torn = False
        if not ledger[-1].restores:
            self.changed = set()

    def held(self) -> bool:
        return bool(publications(self.lake, SESSION)[-1].restores)

    def put(self) -> None:
        put_bars(
            self.lake,
            SESSION,
            {
                each: [self.bar(each, place, close) for place, close in self.closes.items()]
                for each in WIDTHS
            },
        )

    def bar(self, resolution: Resolution, place: tuple[str, int], close: float) -> ServedBar:
        symbol, number = place
        start = (SESSION.open_ns or 0) + number * WIDTHS[resolution]
        return bar(symbol=symbol, start_ns=start, seq=number, close=close, trades=int(close))

    def recomputed(self) -> dict[Place, Values]:
        return {
            self.place(each, made): (made.close, made.trades)
            for each in WIDTHS
            for place, close in self.closes.items()
            for made in [self.bar(each, place, close)]
        }

    def readable(self) -> dict[Place, Values]:
        return {
            self.place(each, row): (row.close, row.trades)
            for each, row in self.rows()
            if row.final and not row.void
        }

    def rows(self) -> list[tuple[Resolution, ServedBar]]:
        start, end = SESSION.start_ns, SESSION.end_ns
        return [
            (each, row)
            for each in WIDTHS
            for row in self.store.read(each, start, end, venue="XNYS")
        ]

    def place(self, resolution: Resolution, row: ServedBar) -> Place:
        return resolution, row.symbol, row.start_ns


TestPublications = pytest.mark.real(Publications.TestCase)  # 10 s
TestPublications.settings = schedules(12, steps=16)
