"""The log that the speed layer has read, compared with Kafka's.

A position has offsets only. A topic made anew, and a partition that lost its log, give them to
other records; a driver would skip these. So a heartbeat has the topic's id and one record of each
partition that was read. A driver compares both with Kafka before it starts and while it runs.
"""

import time
from collections.abc import Mapping

from truetape.broker.offsets import TopicOffsets
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.lake.generations import Generations
from truetape.lake.record_identity import (
    RUNBOOK,
    HeldRecord,
    KafkaLogs,
    kafka_logs,
    replaced_logs,
)
from truetape.speed.position import ReadLog

OBSERVE_EVERY_S = 5.0
"""How old the observed records may get. Records that were read later are not compared."""


def require_same_log(settings: Settings, log: ReadLog, offsets: Mapping[str, int]) -> None:
    """Raise ConfigError if Kafka has given offsets that were read to other records; TransientError
    if Kafka does not answer. `offsets` are the next ones to read.
    """
    with TopicOffsets(settings.kafka, settings.topic) as topic:
        _same_log(log, offsets, topic)


def _same_log(log: ReadLog, offsets: Mapping[str, int], topic: TopicOffsets) -> KafkaLogs:
    """Return what Kafka has, if its records are those that were read."""
    held = {int(part): record for part, record in log.records.items()}
    kafka = kafka_logs(topic, held)
    known = Generations(topic.topic, {}, dict.fromkeys(held, log.topic_id))
    evidence = [part.evidence for part in replaced_logs(known, held, kafka)]
    evidence = evidence or _of_another_topic(log, offsets, topic.topic, kafka)
    if evidence := evidence or _beyond(offsets, topic.topic, kafka):
        raise ConfigError(
            f"the speed layer has read records of {topic.topic} that Kafka has replaced by others: "
            f"{'; '.join(evidence)}. {RUNBOOK}"
        )
    return kafka


def _of_another_topic(
    log: ReadLog, offsets: Mapping[str, int], topic: str, kafka: KafkaLogs
) -> list[str]:
    """Return the partitions that were read since the topic's id was observed, if it has another.

    No record of theirs was observed yet: a topic can be made anew between two observations.
    """
    if not log.topic_id or kafka.topic_id in (None, log.topic_id):
        return []
    return [
        f"{topic}/{part}: the topic has id {kafka.topic_id}, the records read are of {log.topic_id}"
        for part, offset in offsets.items()
        if offset
    ]


def _beyond(offsets: Mapping[str, int], topic: str, kafka: KafkaLogs) -> list[str]:
    """Return the partitions whose next offset lies beyond the end of Kafka's log."""
    ends = {str(part): span.end for part, span in kafka.available.items()}
    return [
        f"{topic}/{part}: the next offset to read is {offset}, Kafka's log ends at {ends[part]}"
        for part, offset in offsets.items()
        if offset > ends.get(part, offset)
    ]


class LogObserver:
    """Observes, every few seconds, which records a driver has read."""

    def __init__(self, topic: TopicOffsets, log: ReadLog) -> None:
        self._topic = topic
        self._due_s = 0.0
        self._log = log

    def observe(self, offsets: Mapping[str, int], *, fresh: bool) -> ReadLog:
        """Return the log, observed anew if that is due, or `fresh` is wanted, or a partition was
        not observed yet. `offsets` are the next ones to read.

        Raise ConfigError as `require_same_log`, and TransientError if Kafka does not answer.
        """
        begun = {part for part, offset in offsets.items() if offset}
        if begun <= self._log.records.keys() and not fresh and time.monotonic() < self._due_s:
            return self._log
        kafka = _same_log(self._log, offsets, self._topic)
        last = {
            int(part): offset - 1
            for part, offset in offsets.items()
            if int(part) in kafka.available and offset - 1 in kafka.available[int(part)]
        }
        stamps = self._topic.stamps(last)
        records = {
            str(part): HeldRecord(last[part], stamp)
            for part, stamp in stamps.items()
            if stamp is not None
        }
        self._log = ReadLog(kafka.topic_id or "", {**self._log.records, **records})
        self._due_s = time.monotonic() + OBSERVE_EVERY_S
        return self._log
