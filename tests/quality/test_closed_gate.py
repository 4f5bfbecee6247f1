"""A closed gate on the whole way of a publication, with a real Kafka and real stores of both kinds:
nothing is published, what was served stays, and mended data opens it again.
"""

from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from support.quality_cases import CASES, Case, a_negative_size
from support.session_lake import FRIDAY, LakeSession, good_events, lake_session
from truetape.broker.boundary import Boundary
from truetape.broker.control_topic import ControlTopic
from truetape.host import calendars
from truetape.host.errors import GateClosedError, TransientError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.publications import publications
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.pipeline.publish import PublishOptions, publish_once, revert_once
from truetape.publish.publication import Published
from truetape.quality import checks
from truetape.quality.report import Report, ReportKind, newest
from truetape.quality.suite import Severity
from truetape.serving.backends import open_store
from truetape.serving.store import ServedBar

pytestmark = pytest.mark.real

ONE_A_SUITE = [case for case in CASES if case.rule in ("T8", "B16", "R20")]
Rows = dict[tuple[Resolution, str, int], ServedBar]


@dataclass(slots=True)
class World:
    """A lake whose session was published once, and the store that serves it."""

    settings: Settings
    good: LakeSession
    session: Session = FRIDAY
    shares: int = 100

    def publish(self, *, gated: bool = True) -> Published:
        """Publish the session as the command line does."""
        options = PublishOptions(gated=gated)
        return publish_once(self.settings, self.session, "tests", "because", options=options)

    def spoil(self, case: Case) -> None:
        """Put a broken session into the lake, as a defective recompute would."""
        broken = self.good.copy()
        case.change(broken)
        broken.write(self.settings.lake)

    def mend(self) -> None:
        """Recompute rightly, with a correction that has come since: SOLO traded one share more."""
        self.shares += 1
        mended = self.good.copy()
        mended.trade("SOLO")["size"] = Decimal(self.shares)
        mended.fold()
        mended.write(self.settings.lake)

    def served(self) -> Rows:
        """Return every row of the session that readers get."""
        with closing(open_store(self.settings)) as store:
            return {
                (resolution, row.symbol, row.start_ns): row
                for resolution in Resolution
                for row in store.read(
                    resolution,
                    self.session.start_ns,
                    self.session.end_ns,
                    venue=self.session.venue,
                )
            }

    def boundary(self) -> Boundary:
        """Return fence and boundary of the venue."""
        with ControlTopic(self.settings.kafka) as control:
            return control.refresh().boundary(self.session.venue)


BOTH = pytest.mark.parametrize("world", ["embedded", "influx"], indirect=True)
INFLUX = pytest.mark.parametrize("world", ["influx"], indirect=True)
EMBEDDED = pytest.mark.parametrize("world", ["embedded"], indirect=True)


@pytest.fixture(scope="module")
def world(
    request: pytest.FixtureRequest, stack: Settings, tmp_path_factory: pytest.TempPathFactory
) -> World:
    """One published session for all cases, in a store of either kind."""
    settings = own(stack, tmp_path_factory.mktemp(request.param), request.param)
    made = World(settings, lake_session(good_events()))
    made.good.write(settings.lake)
    made.publish()
    return made


def own(stack: Settings, folder: Path, store: str) -> Settings:
    """Return settings on the run's servers, with a home and a lake of their own."""
    settings = replace(
        stack,
        home=folder / "home",
        lake=str(folder / "lake"),
        store=store,
        bucket_set="history",
        seal_delay_s=0.0,
    )
    with closing(open_store(settings)) as opened:
        opened.ensure_buckets()
    return settings


def closes(world: World, case: Case) -> None:
    """Publish a broken session and assert that nothing of it went out."""
    before = (world.served(), world.boundary(), publications(world.settings.lake, FRIDAY))
    world.spoil(case)

    with pytest.raises(GateClosedError, match=f"the gate is closed by .*{case.rule}") as raised:
        world.publish()

    found = newest(world.settings.home, ReportKind.GATE, "XNYS", FRIDAY.date)
    assert found is not None
    assert found.run in str(raised.value)
    (result,) = [one for one in found.results if one.rule == case.rule]
    assert not result.passed
    assert broken_by(found, case.suite) == {case.rule, *case.also}
    if case.shows:
        assert any(case.shows.items() <= example.items() for example in result.examples)
    after = (world.served(), world.boundary(), publications(world.settings.lake, FRIDAY))
    assert after == before
    assert before[0]
    assert all(row.final for row in before[0].values())


def broken_by(report: Report, suite: str) -> set[str]:
    """The gate rules of a suite that rows break, those aside that could not be checked."""
    return {
        one.rule
        for one in report.results
        if one.suite == suite and one.severity is Severity.GATE and not one.passed and not one.error
    }


@BOTH
@pytest.mark.parametrize("case", ONE_A_SUITE, ids=str)
def test_a_closed_gate_publishes_nothing_until_the_data_are_corrected(
    world: World, case: Case
) -> None:
    revs = [item.rev for item in publications(world.settings.lake, FRIDAY)]
    closes(world, case)

    world.mend()

    outcome = world.publish()
    assert outcome.rev is not None
    assert outcome.rev > max(revs)
    assert {row.volume for row in world.served().values() if row.symbol == "SOLO"} == {
        float(world.shares)
    }


@pytest.mark.long  # in test_gate_rules each rule closes the gate; here one of a suite does
@INFLUX
@pytest.mark.parametrize("case", [one for one in CASES if one not in ONE_A_SUITE], ids=str)
def test_every_broken_gate_rule_leaves_served_bars_unchanged(world: World, case: Case) -> None:
    closes(world, case)


@EMBEDDED
def test_publishing_without_the_gate_is_recorded_in_the_ledger(world: World) -> None:
    world.spoil(Case("T5", a_negative_size, {}))
    with pytest.raises(GateClosedError):
        world.publish()
    kept = reports_of(world)

    world.publish(gated=False)

    last = publications(world.settings.lake, FRIDAY)[-1]
    assert (last.who, last.reason) == ("tests", "without the gate: because")
    assert reports_of(world) == kept


@EMBEDDED
def test_an_open_verdict_is_reused_for_the_same_files_and_rules(world: World) -> None:
    """A task that publishes right after the task of the gate does not check again."""
    world.mend()
    opened = checks.require_open(world.settings, FRIDAY)
    kept = reports_of(world)

    assert checks.require_open(world.settings, FRIDAY) == opened
    assert world.publish().rev is not None
    assert reports_of(world) == kept

    other_slack = replace(world.settings, future_slack_ms=2_000)
    assert checks.require_open(other_slack, FRIDAY).run > opened.run
    world.good.write(world.settings.lake)
    assert checks.require_open(world.settings, FRIDAY).run > opened.run
    assert len(reports_of(world)) == len(kept) + 2


@EMBEDDED
def test_a_session_recomputed_after_its_check_is_not_published(world: World) -> None:
    """The verdict is about files that are no longer the session's."""
    world.mend()
    before = world.served()

    def recompute_meanwhile(line: str) -> None:
        if "the gate is open" in line:
            world.spoil(Case("T5", a_negative_size, {}))

    with pytest.raises(TransientError, match="was recomputed while it was being published"):
        publish_once(world.settings, FRIDAY, "tests", "because", recompute_meanwhile)

    assert world.served() == before


@EMBEDDED
def test_published_bars_are_served_as_recomputed(world: World) -> None:
    world.mend()
    world.publish()

    assert checks.check_served(world.settings, FRIDAY).is_open


@EMBEDDED
def test_a_reverted_session_is_compared_with_the_restored_rev(world: World) -> None:
    world.mend()
    older = world.publish().rev
    assert older is not None
    world.mend()
    world.publish()

    revert_once(world.settings, FRIDAY, older, "tests", "the feed was wrong")

    assert checks.check_served(world.settings, FRIDAY).is_open
    publish_once(
        world.settings, FRIDAY, "tests", "because", options=PublishOptions(supersedes=True)
    )


def reports_of(world: World) -> list[str]:
    """Return the names of all reports of the session."""
    folder = world.settings.home / "quality" / "XNYS" / str(FRIDAY.date)
    return sorted(path.name for path in folder.glob("*.json"))


def test_a_closed_gate_raises_no_fence(stack: Settings, tmp_path: Path) -> None:
    """In 2027, above any fence that another test has raised; so nothing is published after it."""
    session = calendars.session(venues()["XASE"], date(2027, 11, 19))
    later_ns = session.start_ns - FRIDAY.start_ns
    events = [
        replace(
            event,
            venue="XASE",
            received_ns=event.received_ns + later_ns,
            event_ns=None if event.event_ns is None else event.event_ns + later_ns,
        )
        for event in good_events()
    ]
    new = World(own(stack, tmp_path, "embedded"), lake_session(events, session), session)
    new.spoil(Case("T5", a_negative_size, {}))
    before = new.boundary()
    assert before.fence_ns < session.end_ns

    with pytest.raises(GateClosedError):
        new.publish()

    assert new.boundary() == before
    assert new.served() == {}
