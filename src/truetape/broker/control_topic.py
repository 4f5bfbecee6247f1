"""The control topic: state that drivers, supervisors and publications share, compacted by key.

Rarely written, often read. Knows boundaries; other rooms know the meaning of the other keys.
"""

from typing import Self

from truetape.broker.boundary import Boundary, boundary_of
from truetape.broker.clients import Connection, open_producer, transient
from truetape.broker.ordered_log import records_until
from truetape.broker.topics import CONTROL
from truetape.host.errors import TransientError

_BOUNDARY = "boundary:"
_TIMEOUT_S = 10.0
MAX_ANNOUNCEMENTS = 5
"""How often to announce a boundary again if another publication announced one meanwhile."""


class ControlTopic(Connection):
    """Reads and writes the control topic. `refresh` is cheap enough to call before every batch."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(bootstrap, committed_only=True)
        self._values: dict[str, bytes] = {}
        self._boundaries: dict[str, Boundary] = {}
        self._newest: dict[str, Boundary] = {}

    def boundary(self, venue: str) -> Boundary:
        """Return a venue's boundary as of the last `refresh`."""
        return boundary_of(self._boundaries, venue)

    def boundaries(self) -> dict[str, Boundary]:
        """Return all boundaries as of the last `refresh`."""
        return dict(self._boundaries)

    def value(self, key: str) -> bytes | None:
        """Return the newest value of a key, as of the last `refresh`."""
        return self._values.get(key)

    def values(self, prefix: str) -> dict[str, bytes]:
        """Return the newest value of each key with a prefix, as of the last `refresh`."""
        items = list(self._values.items())  # another thread may be refreshing
        return {key: value for key, value in items if key.startswith(prefix)}

    def refresh(self) -> Self:
        """Read to the end of the topic. Raise TransientError if Kafka does not answer."""
        from kafka import TopicPartition

        partition = TopicPartition(CONTROL, 0)
        with transient(f"cannot read {CONTROL} at {self.bootstrap}"):
            consumer = self.consumer()
            if not consumer.assignment():
                consumer.assign([partition])
                consumer.seek_to_beginning(partition)
            end = consumer.end_offsets([partition])[partition]
            for record in records_until(consumer, partition, end):
                self._store(record.key, record.value)
        return self

    def announce(self, boundary: Boundary) -> None:
        """Write a venue's boundary so that the newest record includes every earlier one.

        Two publications at once may each write what they read before the other one wrote. So read
        the topic again, and write again until its newest record has everything. Raise
        TransientError after `MAX_ANNOUNCEMENTS` attempts.
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
        """Return the newest record of a venue, not combined with earlier ones."""
        return boundary_of(self._newest, venue)

    def put(self, key: str, value: bytes | None) -> None:
        """Write the value of a key, None to delete it, and wait for the acknowledgement."""
        name = key.encode()
        with transient(f"cannot write {CONTROL} at {self.bootstrap}"):
            producer = open_producer(self.bootstrap)
            try:
                producer.send(CONTROL, key=name, value=value).get(_TIMEOUT_S)
            finally:
                producer.close(timeout=_TIMEOUT_S)
        self._store(name, value)

    def _store(self, name: bytes | None, value: bytes | None) -> None:
        key = (name or b"").decode()
        if value is None:
            self._values.pop(key, None)
        elif key.startswith(_BOUNDARY):
            boundary = Boundary.decode(value)
            self._newest[boundary.venue] = boundary
            # a fence never falls, whoever wrote the record
            self._boundaries[boundary.venue] = self.boundary(boundary.venue).merged(boundary)
        else:
            self._values[key] = value
