"""The control topic: what both layers must agree on, compacted by key. Rarely written, often read.

This room's only use of kafka-python.
"""

from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

from truetape.errors import TransientError
from truetape.reconcile.boundary import Boundary, fence_of
from truetape.topics import CONTROL

if TYPE_CHECKING:
    from kafka import KafkaConsumer

_BOUNDARY = "boundary:"
_TIMEOUT_S = 10.0


@dataclass(slots=True)
class ControlTopic:
    """Reads and writes the control topic. `refresh` is cheap enough to call before every batch."""

    bootstrap: str
    _consumer: "KafkaConsumer | None" = None
    _boundaries: dict[str, Boundary] = field(default_factory=dict)

    def boundary(self, venue: str) -> Boundary:
        """Return a venue's boundary as of the last `refresh`."""
        return fence_of(self._boundaries, venue)

    def boundaries(self) -> dict[str, Boundary]:
        """Return all known boundaries as of the last `refresh`."""
        return dict(self._boundaries)

    def refresh(self) -> Self:
        """Read what is new, to the end of the topic; TransientError when Kafka does not answer."""
        from kafka import TopicPartition
        from kafka.errors import KafkaError

        partition = TopicPartition(CONTROL, 0)
        try:
            consumer = self._open(partition)
            end = consumer.end_offsets([partition])[partition]
            idle = 0
            while consumer.position(partition) < end:
                records = consumer.poll(timeout_ms=500).get(partition, [])
                idle = 0 if records else idle + 1
                if idle > _TIMEOUT_S * 2:
                    raise TransientError(f"{CONTROL}: no answer at offset {end}; try again")
                for record in records:
                    self._take(record.key, record.value)
        except KafkaError as error:
            raise TransientError(f"cannot read {CONTROL} at {self.bootstrap}: {error}") from error
        return self

    def announce(self, boundary: Boundary) -> None:
        """Write a venue's boundary and wait for the acknowledgement."""
        from kafka import KafkaProducer
        from kafka.errors import KafkaError

        key = f"{_BOUNDARY}{boundary.venue}".encode()
        try:
            producer = KafkaProducer(bootstrap_servers=self.bootstrap, acks="all")
            try:
                producer.send(CONTROL, key=key, value=boundary.encode()).get(_TIMEOUT_S)
            finally:
                producer.close(timeout=_TIMEOUT_S)
        except KafkaError as error:
            raise TransientError(f"cannot write {CONTROL}: {error}") from error
        self._boundaries[boundary.venue] = boundary

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

    def _open(self, partition: object) -> "KafkaConsumer":
        from kafka import KafkaConsumer

        if self._consumer is None:
            self._consumer = KafkaConsumer(
                bootstrap_servers=self.bootstrap,
                group_id=None,
                enable_auto_commit=False,
                isolation_level="read_committed",
                auto_offset_reset="earliest",
            )
            self._consumer.assign([partition])
            self._consumer.seek_to_beginning(partition)
        return self._consumer

    def _take(self, key: bytes | None, value: bytes | None) -> None:
        if key is None or value is None or not key.startswith(_BOUNDARY.encode()):
            return
        boundary = Boundary.decode(value)
        self._boundaries[boundary.venue] = boundary
