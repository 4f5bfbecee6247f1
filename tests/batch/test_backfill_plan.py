"""The plan of a backfill: each requested offset is in one set, and none is left afterwards."""

import dataclasses
import json
from collections.abc import Mapping
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truetape.batch.backfill_plan import (
    MAX_RANGES,
    AffectedSession,
    ArchiveState,
    BackfillPlan,
    OffsetPlan,
    PartitionPlan,
    PlanContents,
    plan_backfill,
)
from truetape.batch.backfill_request import BackfillRequest, ByOffsets, ByTime, Holes
from truetape.host.errors import ConfigError
from truetape.lake.completeness import CountedRange, joined
from truetape.market.ranges import Range, Ranges

ALL = BackfillRequest(Holes(), "nightly")


def offsets(*pairs: tuple[int, int]) -> Ranges:
    """Build a set of offsets from pairs of first and last."""
    return Ranges(Range(first, last + 1) for first, last in pairs)


def counted(*pairs: tuple[int, int]) -> tuple[CountedRange, ...]:
    return joined(
        CountedRange(Range(first, last + 1), last - first + 1, last - first + 1, 0)
        for first, last in pairs
    )


def asking(*ends: tuple[int, int]) -> BackfillRequest:
    return BackfillRequest(ByOffsets({0: offsets(*ends)}), "by hand")


def planned(
    request: BackfillRequest,
    held: tuple[tuple[int, int], ...],
    kafka: tuple[int, int],
    due: int | None,
) -> OffsetPlan:
    """Plan one partition whose archive continues at `due`."""
    places = {0: Ranges.between(kafka[0] if due is None else max(due, kafka[0]), kafka[1])}
    archive = ArchiveState("raw-1", {0: counted(*held)} if held else {}, places)
    return plan_backfill(request, "trades", {0: Range(*kafka)}, archive)


def sets(part: PartitionPlan) -> dict[str, list[tuple[int, int]]]:
    """Return the sets that are not empty."""
    names = ("archived", "to_ingest", "lost", "awaited", "unwritten")
    found = {name: [(run.start, run.last) for run in getattr(part, name)] for name in names}
    return {name: ends for name, ends in found.items() if ends}


@pytest.mark.parametrize(
    ("request_", "held", "kafka", "due", "expected"),
    [
        (ALL, ((0, 9),), (0, 10), 10, {"archived": [(0, 9)]}),
        (
            ALL,
            ((0, 2), (6, 9)),
            (0, 10),
            10,
            {"archived": [(0, 2), (6, 9)], "to_ingest": [(3, 5)]},
        ),
        (
            ALL,
            ((0, 2), (6, 9)),
            (5, 10),
            10,
            {"archived": [(0, 2), (6, 9)], "to_ingest": [(5, 5)], "lost": [(3, 4)]},
        ),
        (
            ALL,
            ((0, 2), (6, 9)),
            (10, 10),
            10,
            {"archived": [(0, 2), (6, 9)], "lost": [(3, 5)]},
        ),
        (ALL, (), (0, 5), 5, {"to_ingest": [(0, 4)]}),
        (ALL, (), (0, 5), None, {"awaited": [(0, 4)]}),
        (ALL, (), (0, 0), None, {}),
        (
            ALL,
            ((0, 7),),
            (0, 20),
            10,
            {"archived": [(0, 7)], "to_ingest": [(8, 9)], "awaited": [(10, 19)]},
        ),
        (
            ALL,
            ((0, 9),),
            (15, 30),
            10,
            {"archived": [(0, 9)], "awaited": [(15, 29)], "lost": [(10, 14)]},
        ),
        (ALL, ((0, 9),), (15, 15), 10, {"archived": [(0, 9)], "lost": [(10, 14)]}),
        (
            asking((1, 3), (8, 12)),
            ((0, 2),),
            (0, 10),
            10,
            {"archived": [(1, 2)], "to_ingest": [(3, 3), (8, 9)], "unwritten": [(10, 12)]},
        ),
        (asking((50, 60)), ((0, 9),), (0, 10), 10, {"unwritten": [(50, 60)]}),
    ],
    ids=[
        "nothing is missing",
        "the middle",
        "the middle, of which Kafka dropped a part",
        "the middle, which Kafka dropped",
        "everything that was archived",
        "a partition that the archive has not begun",
        "an empty partition",
        "a tail that raw lost, and one that the archive brings itself",
        "an archive that was stopped past retention",
        "an archive that was stopped until nothing was left",
        "offsets by hand",
        "offsets that nobody has written",
    ],
)
def test_each_offset_is_sorted_into_its_set(
    request_: BackfillRequest,
    held: tuple[tuple[int, int], ...],
    kafka: tuple[int, int],
    due: int | None,
    expected: dict[str, list[tuple[int, int]]],
) -> None:
    (part,) = planned(request_, held, kafka, due).partitions

    assert sets(part) == expected


@pytest.mark.parametrize(
    ("times", "asked"),
    [
        ((4, 8), offsets((4, 7))),
        ((4, 4), Ranges()),
        ((3, 8), offsets((0, 7))),
        ((3, 3), offsets((0, 2))),
    ],
    ids=["inside", "an empty window", "from before what Kafka has", "all before what Kafka has"],
)
def test_a_request_by_time_includes_the_offsets_that_kafka_dropped(
    times: tuple[int, int], asked: Ranges
) -> None:
    archive = ArchiveState("raw-1", {}, {0: Ranges.between(10, 100)})
    request = BackfillRequest(ByTime(1, 2), "outage")

    plan = plan_backfill(request, "trades", {0: Range(3, 10)}, archive, {0: times})

    assert plan.partitions[0].asked == asked
    assert plan.partitions[0].in_kafka == asked & Ranges.between(3, 10)


def test_an_unknown_partition_is_rejected() -> None:
    with pytest.raises(ConfigError, match="no partition 7; it has 0"):
        plan_backfill(
            BackfillRequest(ByOffsets({7: offsets((0, 1))}), "by hand"),
            "trades",
            {0: Range(0, 5)},
            ArchiveState("raw-1", {}, {}),
        )


def test_too_many_holes_in_one_plan_are_rejected() -> None:
    every_other = tuple((2 * n, 2 * n) for n in range(MAX_RANGES + 2))
    end = 2 * MAX_RANGES + 3

    with pytest.raises(ConfigError, match="in portions"):
        planned(ALL, every_other, (0, end), end)


OFFSETS = st.sets(st.integers(0, 30))
SITUATIONS = st.tuples(OFFSETS, st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))


def situation(
    held: set[int], begin: int, length: int, due: int
) -> tuple[tuple[tuple[int, int], ...], tuple[int, int], int]:
    """Draw the lake's offsets, Kafka's offsets, and where the archive continues, within Kafka."""
    end = begin + length
    return tuple((offset, offset) for offset in held), (begin, end), min(due, end)


def offsets_of(several: Ranges) -> list[int]:
    return [offset for part in several for offset in range(part.start, part.end)]


@given(SITUATIONS, OFFSETS)
def test_each_requested_offset_is_in_exactly_one_set(
    given_: tuple[set[int], int, int, int], asked: set[int]
) -> None:
    held, kafka, due = situation(*given_)
    request = asking(*((offset, offset) for offset in asked))

    (part,) = planned(request, held, kafka, due).partitions

    split = (part.archived, part.to_ingest, part.lost, part.awaited, part.unwritten)
    assert sorted(offset for several in split for offset in offsets_of(several)) == sorted(asked)
    assert set(offsets_of(part.archived)) == asked & given_[0]
    assert set(offsets_of(part.to_ingest)) <= set(range(*kafka)) - given_[0]
    assert not set(offsets_of(part.lost)) & set(range(*kafka))


@given(SITUATIONS)
def test_after_its_ingestion_a_plan_has_nothing_to_ingest(
    given_: tuple[set[int], int, int, int],
) -> None:
    held, kafka, due = situation(*given_)
    first = planned(ALL, held, kafka, due)
    brought = [(part.start, part.last) for part in first.partitions[0].to_ingest]

    second = planned(ALL, (*held, *brought), kafka, due)

    assert second.to_ingest == {}
    assert second.lost == first.lost
    assert second.total("awaited") == first.total("awaited")


def whole(**changes: object) -> BackfillPlan:
    plan = planned(BackfillRequest(Holes(), "nightly", ("IBM",)), ((0, 2), (6, 9)), (5, 10), 10)
    touched = (
        AffectedSession("KRAKEN", date(2026, 3, 3), ("XBTUSD",)),
        AffectedSession("XNYS", date(2026, 3, 2), ("IBM", "SPY")),
        AffectedSession("XNYS", date(2026, 3, 3), ("SPY",)),
        AffectedSession("ARCX", date(2026, 3, 1), ("IBM",)),
    )
    return BackfillPlan(
        dataclasses.replace(plan, **changes),  # type: ignore[arg-type]
        PlanContents(1, 2, 0, touched),
    )


def test_a_plan_survives_a_round_trip_through_json() -> None:
    assert BackfillPlan.from_dict(json.loads(json.dumps(whole().to_dict()))) == whole()


def test_only_sessions_with_a_requested_symbol_are_finalized_oldest_first() -> None:
    every = whole(request=ALL)

    assert whole().sessions_to_finalize() == [
        ("ARCX", date(2026, 3, 1)),
        ("XNYS", date(2026, 3, 2)),
    ]
    assert every.sessions_to_finalize() == [
        ("ARCX", date(2026, 3, 1)),
        ("XNYS", date(2026, 3, 2)),
        ("KRAKEN", date(2026, 3, 3)),
        ("XNYS", date(2026, 3, 3)),
    ]


def test_the_digest_depends_on_the_plan_only() -> None:
    assert whole().plan.digest == whole().plan.digest
    assert len({whole().plan.digest, whole(raw_id="x").plan.digest}) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digest": "0" * 16}, "was changed"),
        ({"plan": {}}, "is not an OffsetPlan"),
        ({"more": 1}, "is not a backfill plan"),
        ({"contents": []}, "is not contents"),
    ],
)
def test_an_invalid_plan_is_rejected(change: Mapping[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BackfillPlan.from_dict(whole().to_dict() | change)
