"""The boundary: the instant up to which a venue's bars belong to the batch layer. Reads no Kafka.

There are two instants. The fence rises before a publication: the speed layer writes no bar that
starts before it. The boundary itself moves after the publication, and stops at the first missing
session: every bar from `final_from_ns` to the boundary is final.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from truetape.host.errors import ConfigError
from truetape.market.ranges import Range, Ranges
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session

MAX_RUNS = 10_000
"""Most runs of published sessions of a venue: the record of a boundary is then 400 kB."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """Fence, boundary and published runs of one venue; 0 and empty before the first publication.

    `runs` are the published sessions, in epoch nanoseconds; adjacent sessions are one range. A bar
    between two runs is not final, however far the fence is.
    """

    venue: str
    fence_ns: int = 0
    final_ns: int = 0
    runs: Ranges = field(default_factory=Ranges)

    @property
    def final_from_ns(self) -> int:
        """Return the instant from which every bar up to the boundary is final."""
        starts = [run.start for run in self.runs if run.start < self.final_ns <= run.end]
        return starts[0] if starts else self.final_ns

    def final_for(self, resolution: Resolution) -> int:
        """Return the boundary of a resolution: the end of its last whole window.

        A window that begins in one session and ends in the next is final only when both are. The
        daily bar belongs to a session, not to a window of the clock.
        """
        if resolution is Resolution.DAY:
            return self.final_ns
        return resolution.start_of(self.final_ns)

    def raised(self, end_ns: int) -> Self:
        """Raise the fence to `end_ns`; a fence never falls."""
        fence = max(self.fence_ns, end_ns)
        return type(self)(self.venue, fence, self.final_ns, self.runs)

    def sealed(self, published: Range, *, restart: bool = False) -> Self:
        """Add a published session, and move the boundary forward as far as it can go.

        The boundary moves to the end of its run. Sessions after a missing session wait until that
        session is published, unless the boundary starts again (`restart`) with this session. A
        session before the boundary only moves `final_from_ns`.
        """
        runs = self.runs | Ranges([published])
        if len(runs) > MAX_RUNS:
            raise ConfigError(
                f"{self.venue}: published sessions form more than {MAX_RUNS:,} runs; "
                "publish the missing sessions between them"
            )
        reached = max(self.final_ns, published.end) if restart else self.final_ns or published.end
        return self._with(max(self.fence_ns, published.end), reached, runs)

    def merged(self, other: Self) -> Self:
        """Combine two records; it does not matter which one was written last."""
        fence, reached = max(self.fence_ns, other.fence_ns), max(self.final_ns, other.final_ns)
        return self._with(fence, reached, self.runs | other.runs)

    def _with(self, fence_ns: int, reached_ns: int, runs: Ranges) -> Self:
        ends = [run.end for run in runs if run.start < reached_ns <= run.end]
        return type(self)(self.venue, fence_ns, max([reached_ns, *ends]), runs)

    def is_open(self, start_ns: int) -> bool:
        """True if the speed layer may still write a bar that starts at `start_ns`."""
        return start_ns >= self.fence_ns

    def encode(self) -> bytes:
        """Return the record value for the control topic."""
        fields = {"venue": self.venue, "fence_ns": self.fence_ns, "final_ns": self.final_ns}
        return json.dumps(fields | {"runs": [[run.start, run.end] for run in self.runs]}).encode()

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read what `encode` wrote; a record without runs comes from an older version."""
        fields = json.loads(value)
        final = int(fields["final_ns"])
        runs = fields.get("runs", [[0, final]] if final else [])
        parts = (Range(int(start), int(end)) for start, end in runs)
        return cls(fields["venue"], int(fields["fence_ns"]), final, Ranges(parts))


def published_range(session: Session, before: Session | None) -> Range:
    """Return the range of time that the publication of a session makes final.

    It starts at the end of the regular session `before`: nothing trades on the closed days between
    them. The publication of a closed day makes only that day final.
    """
    if session.open_ns is None or before is None:
        return Range(session.start_ns, session.end_ns)
    return Range(before.end_ns, session.end_ns)


def boundary_of(boundaries: Mapping[str, Boundary], venue: str) -> Boundary:
    """Return a venue's boundary; a venue without a publication has no fence."""
    return boundaries.get(venue, Boundary(venue))
