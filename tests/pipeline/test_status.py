"""`truetape status`: boundaries, gaps, dirty and held sessions; and the points of a publication."""

from datetime import date

from support.build import SECOND, VENUES, at
from support.ledger import publication
from truetape.broker.boundary import Boundary
from truetape.host.calendars import session
from truetape.host.venues import venues
from truetape.market.ranges import Range, Ranges
from truetape.pipeline.repairs import DirtySession, RepairState
from truetape.pipeline.status import MAX_LISTED, PipelineStatus, fields, gaps, lines
from truetape.publish.diff import Change
from truetape.publish.events import publication_points
from truetape.publish.publication import Published
from truetape.serving.schema import PIPELINE

DAY = 24 * 3_600 * SECOND
W18, T19, F20, S21 = (at(f"2026-11-{day}T05:00:00") for day in (18, 19, 20, 21))
TUESDAY = at("2026-11-24T05:00:00")
BOUNDARY = Boundary(
    "XNYS",
    TUESDAY + DAY,
    S21,
    Ranges([Range(W18, S21), Range(TUESDAY, TUESDAY + DAY)]),
)
DIRTY = DirtySession("XNYS", date(2026, 11, 20), RepairState.DUE, ("IBM", "KO"), 3, 1)


def test_gaps_lie_between_published_runs() -> None:
    assert gaps(BOUNDARY, VENUES["XNYS"]) == [(date(2026, 11, 21), date(2026, 11, 23))]
    assert gaps(Boundary("XNYS", S21, S21, Ranges.between(W18, S21)), VENUES["XNYS"]) == []


def test_a_gap_of_sessions_over_midnight_has_their_dates() -> None:
    """The Friday ends and the Tuesday begins at five in the afternoon: the Monday is missing."""
    friday_ends, monday_ends = at("2026-03-06T23:00:00"), at("2026-03-09T22:00:00")
    runs = Ranges([Range(friday_ends - DAY, friday_ends), Range(monday_ends, monday_ends + DAY)])

    assert gaps(Boundary("XCME", monday_ends + DAY, friday_ends, runs), venues()["XCME"]) == [
        (date(2026, 3, 7), date(2026, 3, 9))
    ]


def test_lines_show_final_unpublished_dirty_and_held_sessions() -> None:
    reverted = publication(3, restores=1, who="ann", reason="wrong cancels", published_ns=F20)
    first = publication(1, session=date(2026, 11, 19), published_ns=T19)

    assert list(lines(PipelineStatus((BOUNDARY,), (DIRTY,), (first, reverted)))) == [
        "XNYS: final from 2026-11-18T05:00:00Z to 2026-11-21T05:00:00Z; fence 2026-11-25T05:00:00Z",
        "  not published: 2026-11-21 to 2026-11-23",
        "dirty: XNYS 2026-11-20, IBM, KO: 3 trades, 1 amendments since; due",
        "held: XNYS 2026-11-20 at rev 1 by ann: wrong cancels",
        "published 2026-11-19T05:00:00Z: XNYS 2026-11-19 rev 1, 10 edits, 10 bars, "
        "by tests: because",
        "published 2026-11-20T05:00:00Z: XNYS 2026-11-20 rev 3, 10 edits, 10 bars, "
        "by ann: wrong cancels",
    ]


def test_a_status_without_publications_says_so() -> None:
    assert list(lines(PipelineStatus((), (), ()))) == [
        "no boundary: nothing was published to this Kafka"
    ]
    assert list(lines(PipelineStatus((Boundary("XNYS", F20),), (), ()))) == [
        "XNYS: nothing final; fence 2026-11-20T05:00:00Z"
    ]


def test_long_lists_are_cut_and_counted() -> None:
    days = [W18 + 2 * number * DAY for number in range(MAX_LISTED + 3)]
    many = Boundary("XNYS", days[-1], days[0] + DAY, Ranges(Range(day, day + DAY) for day in days))
    symbols = tuple(f"S{number}" for number in range(MAX_LISTED + 2))
    dirty = DirtySession("XNYS", date(2026, 11, 20), RepairState.HELD, symbols, 9, 0)

    text = list(lines(PipelineStatus((many,), (dirty,), ())))

    assert text[-2] == "  and 2 gaps before"
    assert sum(line.startswith("  not published") for line in text) == MAX_LISTED
    assert "S0, S1, S2, S3, S4 and 2 more symbols: 9 trades" in text[-1]


def test_fields_give_instants_in_nanoseconds() -> None:
    reverted = publication(3, restores=1)

    status = fields(PipelineStatus((BOUNDARY,), (DIRTY,), (reverted,)))

    [boundary] = status["boundaries"]
    assert boundary["final_ns"] == dict.fromkeys(("1s", "1m", "5m", "1h", "1d"), S21)
    assert (boundary["final_from_ns"], boundary["fence_ns"]) == (W18, TUESDAY + DAY)
    assert status["dirty"][0]["symbols"] == ["IBM", "KO"]
    assert status["dirty"][0]["state"] == "due"
    assert [(held["rev"], held["restores"]) for held in status["held"]] == [(3, 1)]


def points_of(rev: int | None) -> list[tuple[str, dict[str, object]]]:
    day = session(VENUES["XNYS"], date(2026, 11, 20))
    outcome = Published(day, rev, 2, {Change.CHANGE: 3} if rev else {}, 10)
    points = list(publication_points(BOUNDARY, outcome, "ann", "late trades", F20, seconds=4.5))
    for point in points:
        pinned = PIPELINE[point.measurement]
        assert (set(pinned.tags), set(pinned.fields)) == (set(point.tags), set(point.fields))
    return [(point.measurement, dict(point.fields)) for point in points]


def test_a_publication_writes_the_boundary_of_each_resolution_and_an_annotation() -> None:
    *boundaries, _, (name, annotation) = points_of(2)

    assert [measurement for measurement, _ in boundaries] == ["boundary"] * 5
    assert {values["final_ns"] for _, values in boundaries} == {S21}
    assert name == "annotation"
    assert annotation["text"] == (
        "XNYS 2026-11-20 rev 2: 3 edits, final to 2026-11-21T05:00:00Z (late trades)"
    )


def test_a_publication_without_edits_writes_no_annotation() -> None:
    assert [name for name, _ in points_of(None)] == [*["boundary"] * 5, "publication"]


def test_each_publication_writes_a_point_even_without_edits() -> None:
    (_, changed), (_, idle) = points_of(2)[5], points_of(None)[5]

    assert (changed["session"], changed["rev"], changed["edits"]) == ("2026-11-20", 2, 3)
    assert (changed["bars"], changed["seconds"], changed["who"]) == (10, 4.5, "ann")
    assert (idle["rev"], idle["edits"]) == (2, 0)
