"""The control topic: what drivers, supervisors and publications must agree on, compacted by key.

Rarely written, often read. Knows boundaries; what other keys mean is their room's affair. This
room's only use of kafka-python.
"""

from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

from truetape.broker.boundary import Boundary, fence_of
from truetape.broker.topic_names import CONNECT_WITHIN_MS, CONTROL
from truetape.host.errors import TransientError

if TYPE_CHECKING:
    from kafka import KafkaConsumer

_BOUNDARY = "boundary:"
_TIMEOUT_S = 10.0
MAX_ANNOUNCEMENTS = 5
"""How often a boundary is announced anew because somebody else has announced one meanwhile."""


@dataclass(slots=True)
class ControlTopic:
    """Reads and writes the control topic. `refresh` is cheap enough to call before every batch."""

    bootstrap: str
    _consumer: "KafkaConsumer | None" = None
    _values: dict[str, bytes] = field(default_factory=dict)
    _boundaries: dict[str, Boundary] = field(default_factory=dict)
    _newest: dict[str, Boundary] = field(default_factory=dict)

    def boundary(self, venue: str) -> Boundary:
        """Return a venue's boundary as of the last `refresh`."""
        return fence_of(self._boundaries, venue)

    def boundaries(self) -> dict[str, Boundary]:
        """Return all known boundaries as of the last `refresh`."""
        return dict(self._boundaries)

    def value(self, key: str) -> bytes | None:
        """Return the newest value of a key, as of the last `refresh`."""
        return self._values.get(key)

    def values(self, prefix: str) -> dict[str, bytes]:
        """Return the newest value of each key with a prefix, as of the last `refresh`."""
        items = list(self._values.items())  # another thread may be refreshing
        return {key: value for key, value in items if key.startswith(prefix)}

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
        """Write a venue's boundary, wait for the acknowledgement, and leave nothing behind it.

        Of two publications at once, each writes what it read before the other wrote. So the topic
        is read again: it must end with all that either knows.
        """
        key = f"{_BOUNDARY}{boundary.venue}"
        for _ in range(MAX_ANNOUNCEMENTS):
            self.put(key, self.boundary(boundary.venue).merged(boundary).encode())
            if self.refresh().newest(boundary.venue) == self.boundary(boundary.venue):
                return
        raise TransientError(
            f"{boundary.venue}: others announced boundaries {MAX_ANNOUNCEMENTS} times meanwhile; "
            "publish again"
        )

    def newest(self, venue: str) -> Boundary:
        """Return what the last record of a venue says by itself, as of the last `refresh`."""
        return fence_of(self._newest, venue)

    def put(self, key: str, value: bytes | None) -> None:
        """Write the value of a key, None to remove it, and wait for the acknowledgement."""
        from kafka import KafkaProducer
        from kafka.errors import KafkaError

        name = key.encode()
        try:
            producer = KafkaProducer(bootstrap_servers=self.bootstrap, acks="all")
            try:
                producer.send(CONTROL, key=name, value=value).get(_TIMEOUT_S)
            finally:
                producer.close(timeout=_TIMEOUT_S)
        except KafkaError as error:
            raise TransientError(f"cannot write {CONTROL}: {error}") from error
        self._take(name, value)

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
                bootstrap_timeout_ms=CONNECT_WITHIN_MS,
            )
            self._consumer.assign([partition])
            self._consumer.seek_to_beginning(partition)
        return self._consumer

    def _take(self, name: bytes | None, value: bytes | None) -> None:
        key = (name or b"").decode()
        if value is None:
            self._values.pop(key, None)
        elif key.startswith(_BOUNDARY):
            boundary = Boundary.decode(value)
            self._newest[boundary.venue] = boundary
            # never lower than what was read before, whoever wrote it
            self._boundaries[boundary.venue] = self.boundary(boundary.venue).merged(boundary)
        else:
            self._values[key] = value
