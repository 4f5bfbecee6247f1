"""The judgement of the pipeline: "Yes" only if everything was checked and nothing is wrong."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from support.facts import DAGS, NOW, SOUND, SPEED, TUESDAY, XNYS, partition, with_dag
from support.ledger import publication
from truetape.lake.completeness import Hole
from truetape.market.ranges import Range
from truetape.pipeline.facts import (
    ArchiveFacts,
    DueSession,
    Facts,
    Failed,
    LastRun,
    LedgerFacts,
    Part,
)
from truetape.pipeline.judgement import Concern, Kind, Verdict, judge
from truetape.pipeline.repairs import DirtySession, RepairState
from truetape.quality.report import Report, ReportKind
from truetape.quality.results import RuleResult
from truetape.quality.suite import Severity

SOURCES = ("speed", "venues", "ledger", "store", "archive", "closed", "dags")
EARLY = DueSession(
    date(2026, 11, 24), NOW + timedelta(minutes=10), NOW + timedelta(hours=1, minutes=10)
)


def late(day: int) -> DueSession:
    """Return a session of November whose deadline has passed."""
    deadline = datetime(2026, 11, day + 1, 2, 15, tzinfo=UTC)
    return DueSession(date(2026, 11, day), deadline - timedelta(hours=1), deadline)


def only(facts: Facts) -> Concern:
    """Return the one concern that the facts give."""
    [concern] = judge(facts).concerns
    return concern


def of_venue(**changes: object) -> Facts:
    return replace(SOUND, venues=(replace(XNYS, **changes),))  # type: ignore[arg-type]


def test_a_sound_pipeline_is_complete() -> None:
    judgement = judge(SOUND)

    assert judgement.verdict is Verdict.YES
    assert judgement.concerns == ()
    assert judgement.sentence == (
        "Yes. Every trade received is in the bars, and every closed session is final."
    )


def test_a_closed_session_whose_deadline_is_ahead_is_named_and_is_no_concern() -> None:
    judgement = judge(of_venue(missing=(EARLY,)))

    assert judgement.verdict is Verdict.YES
    assert "every closed session is final" not in judgement.sentence
    assert "XNYS 2026-11-24 (by 2026-11-24 13:10 UTC)" in judgement.sentence


def test_a_missed_deadline_is_grave() -> None:
    judgement = judge(of_venue(missing=(late(23),)))

    [concern] = judgement.concerns
    assert judgement.verdict is Verdict.NO
    assert concern.kind is Kind.DEADLINE_MISSED
    assert concern.text == "XNYS 2026-11-23 is not final. Its deadline was 2026-11-24 02:15 UTC"
    assert concern.airflow == "dags/batch_recompute_xnys"


def test_a_deadline_is_missed_at_its_instant() -> None:
    at_deadline = replace(EARLY, deadline=NOW)

    assert only(of_venue(missing=(at_deadline,))).kind is Kind.DEADLINE_MISSED


def test_a_venue_a_week_behind_is_one_concern_with_the_number_of_sessions() -> None:
    concern = only(of_venue(missing=tuple(late(day) for day in (17, 18, 19, 20, 23))))

    assert concern.is_grave
    assert concern.text == (
        "XNYS: 5 closed sessions are not final, 2026-11-17 to 2026-11-23. "
        "The deadline of the last one was 2026-11-24 02:15 UTC"
    )


def test_a_system_that_has_published_nothing_is_not_complete_yet() -> None:
    judgement = judge(of_venue(first=None, last=None))

    assert (judgement.verdict, judgement.sentence) == (Verdict.NOT_YET, "Not yet.")
    assert judgement.concerns[0].text == (
        "XNYS has no final session yet. The first will be 2026-11-24, by 2026-11-25 02:15 UTC"
    )


def test_a_venue_without_a_final_session_beside_a_final_one_is_named() -> None:
    new = replace(XNYS, venue="BITSTAMP", first=None, last=None)

    judgement = judge(replace(SOUND, venues=(XNYS, new)))

    assert judgement.verdict is Verdict.NEARLY
    assert judgement.concerns[0].venue == "BITSTAMP"


def test_a_venue_that_airflow_does_not_finalize_has_no_deadline() -> None:
    old = replace(XNYS, venue="XLON", is_scheduled=False, last=None, next=None)

    assert judge(replace(SOUND, venues=(XNYS, old))).verdict is Verdict.YES


@pytest.mark.parametrize(
    ("dag", "verdict"),
    [
        ("speed_layer", Verdict.NO),
        ("archive_trades", Verdict.NEARLY),
        ("batch_recompute_xnys", Verdict.NEARLY),
        ("data_quality", Verdict.NEARLY),
    ],
)
def test_a_paused_dag_is_a_concern_with_a_link_to_it(dag: str, verdict: Verdict) -> None:
    paused = with_dag(dag, is_paused=True)

    concern = only(paused)
    assert judge(paused).verdict is verdict
    assert (concern.kind, concern.airflow) == (Kind.DAG_PAUSED, f"dags/{dag}")
    assert f"{dag} is paused: " in concern.text


@pytest.mark.parametrize(
    ("dag", "is_grave"),
    [("archive_trades", True), ("batch_recompute_xnys", True), ("data_quality", False)],
)
def test_a_failed_run_is_a_concern_with_a_link_to_it(dag: str, is_grave: bool) -> None:
    last = LastRun("manual__2026-11-24T10:00:00+00:00", True, NOW - timedelta(hours=2))

    concern = only(with_dag(dag, last=last))

    assert (concern.kind, concern.is_grave) == (Kind.DAG_FAILED, is_grave)
    assert concern.airflow == f"dags/{dag}/runs/manual__2026-11-24T10%3A00%3A00%2B00%3A00"
    assert f"the last run of {dag} failed at 2026-11-24 10:00 UTC" in concern.text


def test_a_dag_that_airflow_lacks_is_a_concern() -> None:
    concern = only(with_dag("batch_recompute_xnys", is_known=False))

    assert (concern.kind, concern.is_grave, concern.airflow) == (Kind.DAG_MISSING, True, "dags")


@pytest.mark.parametrize(("minutes", "kinds"), [(15, []), (16, [Kind.DAG_LATE])])
def test_a_run_that_does_not_start_is_a_concern(minutes: int, kinds: list[Kind]) -> None:
    facts = with_dag("archive_trades", next=NOW - timedelta(minutes=minutes))

    assert [concern.kind for concern in judge(facts).concerns] == kinds


def test_a_paused_dag_is_not_late_as_well() -> None:
    facts = with_dag("archive_trades", next=NOW - timedelta(days=1), is_paused=True)

    assert only(facts).kind is Kind.DAG_PAUSED


def test_without_an_airflow_the_rest_is_judged() -> None:
    assert judge(replace(SOUND, dags=None)).verdict is Verdict.YES


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_that_cannot_be_read_is_grave_and_never_taken_for_an_empty_one(
    source: str,
) -> None:
    judgement = judge(replace(SOUND, **{source: Failed("it is away")}))  # type: ignore[arg-type]

    assert judgement.verdict is Verdict.NO
    assert not judgement.is_known
    [concern] = judgement.concerns
    assert (concern.kind, concern.text.endswith(": it is away")) == (Kind.CANNOT_BE_READ, True)


def test_a_closed_gate_is_grave_with_its_rules_and_its_report() -> None:
    results = tuple(
        RuleResult("trades", rule, severity, "sizes are above 0", "trades", passed=passed)
        for rule, severity, passed in (
            ("T1", Severity.GATE, True),
            ("T5", Severity.GATE, False),
            ("T6", Severity.FLAG, False),
        )
    )
    report = Report(
        "20261124T020000000000-abcdef", ReportKind.GATE, "XNYS", date(2026, 11, 23), results, {}
    )

    concern = only(replace(SOUND, closed=(report,)))

    assert (concern.kind, concern.is_grave) == (Kind.GATE_CLOSED, True)
    assert concern.text == "XNYS 2026-11-23 was not published. Broken rules: T5"
    assert concern.page == (
        "quality/report?venue=XNYS&session=2026-11-23&run=20261124T020000000000-abcdef"
    )


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (
            ArchiveFacts((partition(end=1_510),), overdue=1_500),
            "1,500 records have waited for over 15 minutes. "
            "The newest archived record is of 2026-11-24 11:45 UTC",
        ),
        (
            ArchiveFacts((partition(counted=0),), overdue=1),
            "1 record has waited for over 15 minutes. Nothing is archived yet",
        ),
    ],
    ids=["behind", "never ran"],
)
def test_records_that_wait_too_long_for_the_archive_are_grave(
    facts: ArchiveFacts, text: str
) -> None:
    concern = only(replace(SOUND, archive=facts))

    assert (concern.kind, concern.is_grave, concern.text) == (Kind.ARCHIVE_BEHIND, True, text)


def test_records_that_the_next_archive_run_takes_are_no_concern() -> None:
    waiting = ArchiveFacts((partition(end=1_510),))

    assert judge(replace(SOUND, archive=waiting)).verdict is Verdict.YES
    assert waiting.awaited == 1_500


def test_missing_and_lost_records_and_reused_offsets_are_told_apart() -> None:
    part = partition(end=5)
    holes = (Hole("trades", 0, Range(2, 4), True), Hole("trades", 0, Range(0, 1), False))
    broken = replace(part, lake=replace(part.lake, holes=holes))

    judgement = judge(replace(SOUND, archive=ArchiveFacts((broken,))))

    assert [(concern.kind, concern.is_grave) for concern in judgement.concerns] == [
        (Kind.OFFSETS_REUSED, True),
        (Kind.RECORDS_MISSING, True),
        (Kind.RECORDS_LOST, False),
    ]
    assert "2 records are missing in the lake. Kafka" in judgement.concerns[1].text
    assert "1 record is lost for good" in judgement.concerns[2].text


def test_dirty_and_held_sessions_are_concerns_and_unpublished_ones_are_not() -> None:
    day = date(2026, 11, 20)
    dirty = tuple(
        DirtySession("XNYS", day, state, ("IBM", "KO"), 3, 1)
        for state in (RepairState.DUE, RepairState.HELD, RepairState.UNPUBLISHED)
    )
    held = publication(3, restores=1, who="ann", reason="wrong cancels")

    judgement = judge(replace(SOUND, ledger=LedgerFacts(dirty, (held,))))

    assert [concern.text for concern in judgement.concerns] == [
        "XNYS 2026-11-20 has trades or changes of 2 symbols that its final bars lack. "
        "A repair is due",
        "XNYS 2026-11-20 has trades or changes of 2 symbols that its final bars lack. "
        "A revert holds the session",
        "XNYS 2026-11-20 is held at rev 1 by ann: wrong cancels",
    ]
    assert judgement.verdict is Verdict.NEARLY


@pytest.mark.parametrize(
    ("health", "ordered", "kind"),
    [
        ("healthy", "started", None),
        ("starting", "started", None),
        ("hung", "started", Kind.SPEED_LAYER_UNHEALTHY),
        ("gone", "started", Kind.SPEED_LAYER_UNHEALTHY),
        ("stopped", "stopped", Kind.SPEED_LAYER_STOPPED),
    ],
)
def test_the_health_of_the_speed_layer_is_judged_by_its_order(
    health: str, ordered: str, kind: Kind | None
) -> None:
    facts = replace(SOUND, speed=replace(SPEED, health=health, ordered=ordered))

    assert [concern.kind for concern in judge(facts).concerns] == ([] if kind is None else [kind])


@pytest.mark.parametrize(
    ("gaps", "text"),
    [
        (((date(2026, 11, 18),) * 2,), "XNYS has no publication of 2026-11-18"),
        (((date(2026, 11, 10),) * 2, (date(2026, 11, 17), date(2026, 11, 18))),
         "XNYS has 2 gaps between 2026-11-10 and 2026-11-18"),
    ],
    ids=["one date", "two gaps"],
)  # fmt: skip
def test_a_gap_before_the_boundary_is_a_light_concern(
    gaps: tuple[tuple[date, date], ...], text: str
) -> None:
    concern = only(of_venue(gaps=gaps))

    assert (concern.kind, concern.is_grave, concern.text) == (Kind.GAP, False, text)


def test_grave_concerns_come_first() -> None:
    facts = replace(with_dag("data_quality", is_paused=True), store=Failed("away"))
    facts = replace(facts, venues=(replace(XNYS, missing=(late(23),)),))

    assert [concern.is_grave for concern in judge(facts).concerns] == [True, True, False]


def test_the_facts_of_one_venue_leave_out_the_others() -> None:
    other = replace(XNYS, venue="XLON", missing=(late(23),))
    facts = replace(SOUND, venues=(XNYS, other))

    assert judge(facts.of_venue("XNYS")).verdict is Verdict.YES
    assert judge(facts.of_venue("XLON")).verdict is Verdict.NO
    kept = facts.of_venue("XLON").dags
    assert isinstance(kept, tuple)
    assert [dag.duty.part for dag in kept] == [Part.SUPERVISION, Part.ARCHIVE, Part.CHECKS]
    assert len(DAGS) == 4
    assert TUESDAY.deadline > NOW


def test_the_runbook_has_a_section_for_each_kind_of_concern_by_alphabet() -> None:
    text = (Path(__file__).parents[2] / "docs" / "RUNBOOK.md").read_text("utf-8")
    section = text.partition("\n## What the overview says\n")[2].partition("\n## ")[0]

    headings = re.findall(r"^### (.+)$", section, re.MULTILINE)
    assert headings == sorted(kind.value for kind in Kind)
