"""Replaced logs: by the topic's id, by Kafka's end, by the stamp of the last archived record."""

import pytest

from truetape.lake.generations import Generations
from truetape.lake.record_identity import HeldRecord, KafkaLogs, ReplacedLog, replaced_logs
from truetape.market.ranges import Range

HELD = HeldRecord(offset=9, stamp_ms=1_772_550_000_123)
KNOWN = Generations("trades", {1: 1}, {1: "id-a"})


def compare(
    available: Range, stamp_ms: int | None, topic_id: str = "id-a", known: Generations = KNOWN
) -> list[ReplacedLog]:
    stamps = {1: stamp_ms} if HELD.offset in available else {}
    return replaced_logs(known, {1: HELD}, KafkaLogs(topic_id, {1: available}, stamps))


@pytest.mark.parametrize(
    ("available", "stamp_ms"),
    [
        (Range(0, 10), HELD.stamp_ms),
        (Range(9, 500), HELD.stamp_ms),
        (Range(10, 10), None),
        (Range(400, 500), None),
    ],
    ids=["nothing new", "first record left", "deleted by retention", "all deleted by retention"],
)
def test_the_same_log_is_not_replaced(available: Range, stamp_ms: int | None) -> None:
    assert compare(available, stamp_ms) == []


@pytest.mark.parametrize(
    ("available", "stamp_ms", "evidence"),
    [
        (Range(0, 0), None, "trades/1: the lake has offset 9, Kafka's log ends at 0"),
        (Range(0, 9), None, "trades/1: the lake has offset 9, Kafka's log ends at 9"),
        (
            Range(0, 10),
            HELD.stamp_ms + 1,
            "trades/1: the record at offset 9 was stamped 2026-03-03T15:00:00.123+00:00 when it "
            "was archived; Kafka's record there was stamped 2026-03-03T15:00:00.124+00:00",
        ),
        (
            Range(0, 500),
            None,
            "trades/1: the record at offset 9 was stamped 2026-03-03T15:00:00.123+00:00 when it "
            "was archived; Kafka's record there is gone",
        ),
    ],
    ids=["empty log", "one record short", "offsets passed", "no record at the offset"],
)
def test_a_replaced_log_is_named_with_its_evidence(
    available: Range, stamp_ms: int | None, evidence: str
) -> None:
    assert compare(available, stamp_ms) == [ReplacedLog(1, HELD, evidence)]


def test_another_topic_id_replaces_a_log_whatever_its_stamps_say() -> None:
    (replaced,) = compare(Range(400, 500), None, topic_id="id-b")

    assert replaced.evidence == (
        "trades/1: the topic has id id-b, the archived records are of id-a"
    )


def test_a_lake_that_never_stored_the_topics_id_is_judged_by_its_stamps() -> None:
    old = Generations("trades", {}, {})

    assert compare(Range(0, 10), HELD.stamp_ms, known=old) == []
    assert len(compare(Range(0, 10), HELD.stamp_ms - 1, known=old)) == 1


def test_a_partition_without_archived_records_has_no_log_to_replace() -> None:
    kafka = KafkaLogs("id-b", {1: Range(0, 5)}, {})

    assert replaced_logs(KNOWN, {}, kafka) == []
