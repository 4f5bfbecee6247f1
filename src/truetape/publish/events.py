"""What serving is told about a publication: where the boundary is, and what was done. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime

from truetape.broker.boundary import Boundary
from truetape.market.resolution import SECOND_NS, Resolution
from truetape.publish.publication import Published
from truetape.serving.store import Point


def boundary_points(boundary: Boundary, now_ns: int) -> Iterator[Point]:
    """Yield fence and boundary of each resolution."""
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
    boundary: Boundary, outcome: Published, who: str, words: str, now_ns: int, *, seconds: float
) -> Iterator[Point]:
    """Yield the boundary of each resolution, the publication, which took so many seconds, and an
    annotation where it changed something.
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
            f"final to {utc_seconds(boundary.final_ns)} ({words})"
        )
        yield Point(
            "annotation",
            {"venue": session.venue, "kind": "publication"},
            now_ns,
            {"session": str(session.date), "rev": outcome.rev, "who": who, "text": text},
        )


def utc_seconds(ns: int) -> str:
    """Write an instant of whole seconds the way it is read."""
    return datetime.fromtimestamp(ns // SECOND_NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
