"""What one commit of an ingest appends to `raw`. Does no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass

from truetape.lake.generations import Generations
from truetape.market.ranges import Ranges


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """Offsets of a topic, by partition, that version `raw_version` of `raw` lacks.

    `generations`: the present logs of the partitions. `note` is kept with the commit.
    """

    offsets: Mapping[int, Ranges]
    generations: Generations
    raw_version: int
    note: str

    @property
    def topic(self) -> str:
        """Return the name of the topic."""
        return self.generations.topic

    @property
    def logs(self) -> dict[int, str]:
        """Return the names of the partitions' present logs."""
        return self.generations.logs(self.offsets)

    @property
    def transaction(self) -> str:
        """Return the name under which Delta counts the commits of the topic."""
        return f"ingest-{self.topic}"
