"""How far a topic of trades reaches, asked of Kafka itself. Reads no record."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from truetape.broker.topic_names import CONNECT_WITHIN_MS
from truetape.host.errors import TransientError

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition


@dataclass(slots=True)
class TopicEnds:
    """Asks for the ends of one topic; a context manager. TransientError without an answer."""

    bootstrap: str
    topic: str
    _consumer: "KafkaConsumer | None" = None

    def now(self) -> dict[str, int]:
        """Return the next offset of each partition."""
        from kafka.errors import KafkaError

        try:
            consumer = self._open()
            ends = consumer.end_offsets(self._partitions(consumer))
        except KafkaError as error:
            raise self._failed(error) from error
        return {str(part.partition): end for part, end in ends.items()}

    def at(self, instant: datetime) -> dict[str, int]:
        """Return where each partition ended at an instant, by the broker's clock."""
        from kafka.errors import KafkaError

        ends = self.now()
        try:
            consumer = self._open()
            moment = int(instant.timestamp() * 1_000)
            found = consumer.offsets_for_times(dict.fromkeys(self._partitions(consumer), moment))
        except KafkaError as error:
            raise self._failed(error) from error
        later = {str(part.partition): hit.offset for part, hit in found.items() if hit is not None}
        return ends | later

    def close(self) -> None:
        """Let go of the connection."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> "KafkaConsumer":
        from kafka import KafkaConsumer

        if self._consumer is None:
            self._consumer = KafkaConsumer(
                bootstrap_servers=self.bootstrap,
                group_id=None,
                bootstrap_timeout_ms=CONNECT_WITHIN_MS,
            )
        return self._consumer

    def _partitions(self, consumer: "KafkaConsumer") -> "list[TopicPartition]":
        from kafka import TopicPartition

        found = consumer.partitions_for_topic(self.topic) or ()
        return [TopicPartition(self.topic, part) for part in found]

    def _failed(self, error: Exception) -> TransientError:
        return TransientError(f"no offsets of {self.topic} from {self.bootstrap}: {error!r}")


def behind(ends: Mapping[str, int], read: Mapping[str, int]) -> dict[str, int]:
    """Return how many records of each partition lie before `ends` and were not read."""
    return {part: max(0, end - read.get(part, 0)) for part, end in ends.items()}
