"""The boundary: up to which instant a venue's bars belong to the batch layer.

Two instants, not one. The fence goes up before a publication: the speed layer writes nothing that
starts before it. The boundary proper moves after the publication: everything before it is final.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Boundary:
    """Both instants of one venue, in epoch nanoseconds; 0 while nothing was published."""

    venue: str
    fence_ns: int = 0
    final_ns: int = 0

    def raised(self, end_ns: int) -> Self:
        """Raise the fence to `end_ns`; a fence never comes down."""
        return type(self)(self.venue, max(self.fence_ns, end_ns), self.final_ns)

    def sealed(self, end_ns: int) -> Self:
        """Move the boundary to `end_ns`, and the fence with it; it never moves back."""
        final = max(self.final_ns, end_ns)
        return type(self)(self.venue, max(self.fence_ns, final), final)

    def is_open(self, start_ns: int) -> bool:
        """Say whether the speed layer may still write a bar that starts at `start_ns`."""
        return start_ns >= self.fence_ns

    def encode(self) -> bytes:
        """Return the record value for the control topic."""
        fields = {"venue": self.venue, "fence_ns": self.fence_ns, "final_ns": self.final_ns}
        return json.dumps(fields).encode()

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read a record value that `encode` wrote."""
        fields = json.loads(value)
        return cls(fields["venue"], int(fields["fence_ns"]), int(fields["final_ns"]))


def fence_of(boundaries: Mapping[str, Boundary], venue: str) -> Boundary:
    """Return a venue's boundary; a venue never published is open from the beginning of time."""
    return boundaries.get(venue, Boundary(venue))
