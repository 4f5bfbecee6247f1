"""The boundary: up to which instant a venue's bars belong to the batch layer.

Two instants, not one. The fence goes up before a publication: the speed layer writes nothing that
starts before it. The boundary proper moves after the publication, and no further than sessions
follow each other without one missing: everything from `final_from_ns` to it is final.
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
"""Most pieces that a venue's published sessions may lie in: the record of a boundary is 400 kB."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """Fence, boundary and published runs of one venue; 0 and nothing while none was published.

    `runs` are the published sessions, in epoch nanoseconds; adjacent sessions are one range. A bar
    between two runs is not final, however far the fence is.
    """

    venue: str
    fence_ns: int = 0
    final_ns: int = 0
    runs: Ranges = field(default_factory=Ranges)

    @property
    def final_from_ns(self) -> int:
        """Return from where on everything below the boundary is final."""
        starts = [run.start for run in self.runs if run.start < self.final_ns <= run.end]
        return starts[0] if starts else self.final_ns

    def final_for(self, resolution: Resolution) -> int:
        """Return the boundary of a resolution: the end of its last whole window.

        A window that begins in one session and ends in the next is not final before both are. The
        daily bar is a session's, not a window of the clock.
        """
        if resolution is Resolution.DAY:
            return self.final_ns
        return resolution.start_of(self.final_ns)

    def raised(self, end_ns: int) -> Self:
        """Raise the fence to `end_ns`; a fence never comes down."""
        fence = max(self.fence_ns, end_ns)
        return type(self)(self.venue, fence, self.final_ns, self.runs)

    def sealed(self, claim: Range, *, anew: bool = False) -> Self:
        """Add a published session, and move the boundary as far as it now reaches; never back.

        The boundary goes to the end of the run that it lies in. Sessions behind a missing one
        wait for that one, unless the boundary is to begin `anew` with this session; history before
        it changes only where it counts from.
        """
        runs = self.runs | Ranges([claim])
        if len(runs) > MAX_RUNS:
            raise ConfigError(
                f"{self.venue}: sessions are published in over {MAX_RUNS:,} pieces; "
                "publish those that are missing between them"
            )
        reached = max(self.final_ns, claim.end) if anew else self.final_ns or claim.end
        return self._with(max(self.fence_ns, claim.end), reached, runs)

    def merged(self, other: Self) -> Self:
        """Return what is known by either of two records, whichever was written last."""
        fence, reached = max(self.fence_ns, other.fence_ns), max(self.final_ns, other.final_ns)
        return self._with(fence, reached, self.runs | other.runs)

    def _with(self, fence_ns: int, reached_ns: int, runs: Ranges) -> Self:
        ends = [run.end for run in runs if run.start < reached_ns <= run.end]
        return type(self)(self.venue, fence_ns, max([reached_ns, *ends]), runs)

    def is_open(self, start_ns: int) -> bool:
        """Say whether the speed layer may still write a bar that starts at `start_ns`."""
        return start_ns >= self.fence_ns

    def encode(self) -> bytes:
        """Return the record value for the control topic."""
        fields = {"venue": self.venue, "fence_ns": self.fence_ns, "final_ns": self.final_ns}
        return json.dumps(fields | {"runs": [[run.start, run.end] for run in self.runs]}).encode()

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read a record value that `encode` wrote; one without runs is of an older version."""
        fields = json.loads(value)
        final = int(fields["final_ns"])
        runs = fields.get("runs", [[0, final]] if final else [])
        parts = (Range(int(start), int(end)) for start, end in runs)
        return cls(fields["venue"], int(fields["fence_ns"]), final, Ranges(parts))


def claim_of(session: Session, before: Session | None) -> Range:
    """Return what the publication of a session makes final.

    That is the session, and the closed days since the regular session `before`, on which nothing
    trades. A closed day that is published itself claims no more than itself.
    """
    if session.open_ns is None or before is None:
        return Range(session.start_ns, session.end_ns)
    return Range(before.end_ns, session.end_ns)


def fence_of(boundaries: Mapping[str, Boundary], venue: str) -> Boundary:
    """Return a venue's boundary; a venue never published is open from the beginning of time."""
    return boundaries.get(venue, Boundary(venue))
