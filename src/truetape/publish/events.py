"""Points that a publication writes to the bar store: boundary, publication, annotation.

Pure: builds the points, writes none.
"""

from collections.abc import Iterator

from truetape.broker.boundary import Boundary
from truetape.market.resolution import Resolution
from truetape.publish.publication import Published
from truetape.serving.store import Point
from truetape.serving.table import utc


def boundary_points(boundary: Boundary, now_ns: int) -> Iterator[Point]:
    """Yield the boundary and the fence of each resolution."""
    for resolution in Resolution:
        yield Point(
            "boundary",
            {"venue": boundary.venue, "resolution": resolution.value},
            now_ns,
            {
                "final_ns": boundary.final_for(resolution),
                "final_from_ns": boundary.final_from_ns,
                "fence_ns": boundary.fence_ns,
            },
        )


def publication_points(
    boundary: Boundary, outcome: Published, who: str, reason: str, now_ns: int, *, seconds: float
) -> Iterator[Point]:
    """Yield the boundary of each resolution, the publication and, if it changed rows, an
    annotation. `seconds` is how long the publication took.
    """
    yield from boundary_points(boundary, now_ns)
    session = outcome.session
    yield Point(
        "publication",
        {"venue": session.venue},
        now_ns,
        {
            "session": str(session.date),
            "rev": outcome.last_rev,
            "bars": outcome.bars,
            "edits": outcome.edits,
            "indicators": outcome.indicators,
            "seconds": seconds,
            "who": who,
        },
    )
    if outcome.rev is not None:
        text = (
            f"{session.venue} {session.date} rev {outcome.rev}: {outcome.edits:,} edits, "
            f"final to {utc_seconds(boundary.final_ns)} ({reason})"
        )
        yield Point(
            "annotation",
            {"venue": session.venue, "kind": "publication"},
            now_ns,
            {"session": str(session.date), "rev": outcome.rev, "who": who, "text": text},
        )


def utc_seconds(instant_ns: int) -> str:
    """Format an instant in UTC, cut to whole seconds."""
    return utc(Resolution.SECOND.start_of(instant_ns))
