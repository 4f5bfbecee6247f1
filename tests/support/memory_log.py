"""An ordered log in memory that several publishers share, in place of Kafka."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from truetape.broker.ordered_log import LogRecord


@dataclass
class MemoryLog:
    """One process's view of the shared records; `records` is the log itself."""

    records: list[LogRecord] = field(default_factory=list)
    position: int = 0

    def append(self, key: bytes, value: bytes) -> int:
        """Append a record and return its offset."""
        self.records.append(LogRecord(len(self.records), key, value))
        return len(self.records) - 1

    def read(self, through: int | None = None) -> Iterable[LogRecord]:
        """Return the records that this view has not read yet."""
        end = len(self.records) if through is None else max(self.position, through + 1)
        new, self.position = self.records[self.position : end], end
        return new

    def close(self) -> None:
        """Do nothing."""
