"""Any order of trades, amendments, publications, reverts and kills: final bars equal the reference
fold, and each change that a reader could see is in the ledger with causes that add up.

The state machine has its own clock; the speed layer is that of `support.speed_reference`.
"""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from support.build import SECOND, VENUES, cancel, correction, trade
from support.drifting import SPEED
from support.lake import dying
from support.machines import FAST_FOLDER, schedules
from support.serving import own_buckets
from support.session_lake import FRIDAY, NOON, lake_session
from support.speed_reference import SERVED, counted_trades, provisional_bars, serve
from truetape.drift.attribution import Cause
from truetape.drift.attribution_inputs import FIELDS, NO_VALUES, BarValues
from truetape.drift.ledger import DriftLedger
from truetape.drift.recorder import DriftRecorder, values_of_row
from truetape.host.profiles import load
from truetape.lake.publications import publications
from truetape.market.bars import bars
from truetape.market.canonical import canonical, changes_of
from truetape.market.resolution import Resolution
from truetape.market.trades import Event, Position, Trade
from truetape.publish.publication import PublicationRequest, Published, publish, publish_target
from truetape.publish.revert import reconstruct
from truetape.serving.embedded import EmbeddedStore
from truetape.serving.store import BarStore, ServedBar

Place = tuple[Resolution, str, int]
Shown = dict[Place, BarValues]


class KilledError(BaseException):
    """The publishing process was killed."""


class Loop(RuleBasedStateMachine):
    """`last_served` are the bars that readers last saw, `torn` the bars that a killed publication
    left, `shown` the final bars of each rev.
    """

    symbols = st.sampled_from(["IBM", "KO"])
    prices = st.integers(98, 103).map(str)
    sizes = st.sampled_from(["10", "30"])

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="truetape-loop-", dir=FAST_FOLDER))
        self.lake = str(self.folder / "lake")
        self.store = EmbeddedStore(self.folder / "bars.sqlite", own_buckets("history"))
        self.store.ensure_buckets()
        self.now_ns = NOON
        self.events: list[Event] = []
        self.records, self.rejected = 0, 0
        self.is_fenced = False
        self.last_served: Shown = {}
        self.torn: Shown = {}
        self.shown: dict[int, Shown] = {}
        self.print("SOLO", "100", "10", 1, "@")  # never cancelled, so the session is never empty

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @rule(symbol=symbols, price=prices, size=sizes, code=st.sampled_from(["@", "I", "?"]))
    def a_trade(self, symbol: str, price: str, size: str, code: str) -> None:
        self.print(symbol, price, size, 1, code)

    @rule(symbol=symbols, price=prices, minutes=st.integers(3, 6))
    def a_late_trade(self, symbol: str, price: str, minutes: int) -> None:
        self.print(symbol, price, "10", minutes * 60, "@")

    @rule(data=st.data())
    def a_repeat_delivery(self, data: st.DataObject) -> None:
        again = data.draw(st.sampled_from(self.trades()))
        self.receive(replace(again, received_ns=self.now_ns))

    @rule(data=st.data())
    def a_cancel(self, data: st.DataObject) -> None:
        symbol, number = self.any_trade_name(data)
        self.receive(cancel(number, self.now_ns, symbol=symbol))

    @rule(data=st.data(), price=prices, size=sizes)
    def a_correction(self, data: st.DataObject, price: str, size: str) -> None:
        symbol, number = self.any_trade_name(data)
        self.receive(correction(number, price, size, self.now_ns, symbol=symbol))

    @rule()
    def a_record_that_is_no_trade(self) -> None:
        self.records += 1
        self.rejected += 1

    @rule(seconds=st.sampled_from([1, 20, 60, 200]))
    def time_passes(self, seconds: int) -> None:
        self.now_ns += seconds * SECOND

    @precondition(lambda self: not self.is_fenced)
    @rule()
    def the_speed_layer_writes(self) -> None:
        """Write all bars, including those already written, as after a restart."""
        serve(self.store, provisional_bars(counted_trades(self.events)))
        self.last_served = self.readable()

    @rule()
    def the_session_is_published(self) -> None:
        was_served = bool(self.last_served) or bool(self.shown)
        outcome = self.publish(self.store)

        assert self.readable() == self.folded()
        if outcome.rev is not None:
            self.check_ledger(outcome.rev, was_served=was_served)
        again = self.publish(self.store)
        assert (again.edits, again.rev) == (0, None)
        assert len(DriftLedger(self.lake).of_session(FRIDAY)) == self.entries

    @precondition(lambda self: self.shown)
    @rule(data=st.data())
    def an_older_rev_is_served_again(self, data: st.DataObject) -> None:
        rev = data.draw(st.sampled_from(sorted(self.shown)))

        outcome = self.revert(self.store, rev)

        assert self.readable() == self.shown[rev]
        if outcome.rev is not None:
            self.check_ledger(outcome.rev, was_served=True)

    @rule(at=st.integers(0, 5), landed=st.sampled_from([0.0, 0.5, 1.0]))
    def a_publication_is_killed(self, at: int, landed: float) -> None:
        was_served = bool(self.last_served) or bool(self.shown)
        try:
            outcome = self.publish(dying(self.store, at, landed, KilledError))
        except KilledError:
            self.torn |= self.readable()
            return
        assert self.readable() == self.folded()
        if outcome.rev is not None:
            self.check_ledger(outcome.rev, was_served=was_served)

    @invariant()
    def every_record_is_accounted_for(self) -> None:
        settled = canonical(self.events, VENUES)
        amendments = [event for event in self.events if not isinstance(event, Trade)]
        meant = changes_of(self.trades(), amendments, VENUES).by_trade
        applied = sum(map(len, meant.values()))
        assert self.records == (
            len(settled.trades) + applied + len(settled.pending) + self.rejected
        )

    @invariant()
    def no_rev_is_recorded_twice(self) -> None:
        ledger = [publication.rev for publication in publications(self.lake, FRIDAY)]
        assert ledger == sorted(set(ledger))

    entries = 0

    def check_ledger(self, rev: int, *, was_served: bool) -> None:
        """Compare the ledger of a publication with the bars that readers had before and after."""
        after = self.readable()
        all_entries = DriftLedger(self.lake).of_session(FRIDAY)
        entries = {
            (entry.resolution, entry.symbol, entry.start_ns): entry
            for entry in all_entries
            if entry.rev == rev
        }
        self.entries = len(all_entries)
        for place in self.last_served.keys() | after.keys() if was_served else ():
            before, now = self.last_served.get(place, NO_VALUES), after.get(place, NO_VALUES)
            if place[0] not in SERVED and not self.shown:
                continue
            changed = {
                field: (was, becomes)
                for field, was, becomes in zip(FIELDS, before, now, strict=True)
                if was != becomes
            }
            entry = entries.pop(place, None)
            if not changed:
                assert entry is None or all(not drift.delta for drift in entry.fields)
                continue
            assert entry is not None, (place, changed)
            assert Cause.UNEXPLAINED not in entry.causes
            drifts = {drift.field: drift for drift in entry.fields if drift.delta}
            assert drifts.keys() == changed.keys()
            for field, (was, becomes) in changed.items():
                drift = drifts[field]
                assert float(drift.before) == float(was)
                assert float(drift.after) == float(becomes)
                assert sum(part.delta for part in drift.parts) == drift.delta
        # the other entries are of bars that only a killed publication had served
        others = [entry.fields for place, entry in entries.items() if place not in self.torn]
        assert not any(drift.delta for fields in others for drift in fields)
        self.torn = {}
        self.last_served = after
        self.shown[rev] = after

    def publish(self, store: BarStore) -> Published:
        self.is_fenced = True
        lake_session(self.events).write(self.lake)
        recorder = DriftRecorder(self.lake, store, VENUES["XNYS"], FRIDAY, SPEED)
        outcome = publish(
            self.lake,
            store,
            replace(self.request(), before_write=recorder.record_round),
            sleep=lambda _: None,
        )
        recorder.finish(outcome.rev)
        return outcome

    def revert(self, store: BarStore, rev: int) -> Published:
        recorder = DriftRecorder(self.lake, store, VENUES["XNYS"], FRIDAY, SPEED, Cause.REVERT)
        target = reconstruct(self.lake, self.store, FRIDAY, rev)
        request = replace(self.request(), restores=rev, before_write=recorder.record_round)
        outcome = publish_target(self.lake, store, target, request, sleep=lambda _: None)
        recorder.finish(outcome.rev)
        return outcome

    def request(self) -> PublicationRequest:
        return PublicationRequest(FRIDAY, "tests", "because", self.now_ns, seal_delay_s=0.0)

    def print(self, symbol: str, price: str, size: str, age_s: int, code: str) -> None:
        """Receive a print that was traded `age_s` ago."""
        number = sum(item.symbol == symbol for item in self.trades()) + 1
        self.receive(
            trade(
                price,
                size,
                symbol=symbol,
                id=str(number),
                event_ns=self.now_ns - age_s * SECOND,
                received_ns=self.now_ns,
                conditions=(code,),
                tape="A",
                exchange="N",
            )
        )

    def receive(self, event: Event) -> None:
        """Receive a record; the next one arrives a tenth of a second later."""
        place = Position("trades", 0, self.records)
        self.events.append(replace(event, position=place, received_ns=self.now_ns))
        self.records += 1
        self.now_ns += SECOND // 10

    def trades(self) -> list[Trade]:
        return [event for event in self.events if isinstance(event, Trade)]

    def any_trade_name(self, data: st.DataObject) -> tuple[str, str]:
        """Return symbol and id of a trade that exists or may come."""
        return data.draw(self.symbols), str(data.draw(st.integers(1, 6)))

    def folded(self) -> Shown:
        """Return the bars that must be served: the reference fold of all received events."""
        settled = canonical(self.events, VENUES).trades
        return {
            (each, bar.symbol, bar.start_ns): _values(bar)
            for each in Resolution
            for bar in bars(settled, load("sip"), each, {"XNYS": [FRIDAY]})
            if bar.is_served
        }

    def readable(self) -> Shown:
        rows = [
            (each, row)
            for each in Resolution
            for row in self.store.read(each, FRIDAY.start_ns, FRIDAY.end_ns, venue="XNYS")
        ]
        return {
            (each, row.symbol, row.start_ns): values_of_row(row)
            for each, row in rows
            if not row.void
        }


def _values(bar: object) -> BarValues:
    """Return the values of a reference bar as a store has them."""
    names = ("open", "high", "low", "close", "volume", "vwap")
    numbers = {name: float(getattr(bar, name) or 0) for name in names}  # no priced volume: 0
    row = {name: getattr(bar, name) for name in ("symbol", "venue", "start_ns", "trades")}
    return values_of_row(
        ServedBar(**row, **numbers, rev=1, seq=0, layer="batch", final=True, void=False)
    )


TestLoop = pytest.mark.real(Loop.TestCase)
TestLoop.settings = schedules(8, steps=20)
