"""The status of the served bars: how far they are final, which sessions are missing, dirty or held.

Reads the control topic and the lake; changes nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from truetape.broker.boundary import Boundary
from truetape.broker.control_topic import ControlTopic
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.publications import Publication, newest_publications
from truetape.market.resolution import Resolution
from truetape.market.sessions import Venue
from truetape.pipeline.repairs import DirtySession, dirty_sessions
from truetape.publish.events import utc_seconds

MAX_LISTED = 5
"""Most publications, gaps of a venue and symbols of a session to list."""

Gap = tuple[date, date]
"""First and last unpublished date between two runs of published sessions."""


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """Boundaries, dirty sessions, and the newest publication of each session."""

    boundaries: tuple[Boundary, ...]
    dirty: tuple[DirtySession, ...]
    newest: tuple[Publication, ...]

    @property
    def held(self) -> list[Publication]:
        """Return the reverts in force."""
        return [publication for publication in self.newest if publication.restores]


def status_of(settings: Settings, venue: str | None = None) -> PipelineStatus:
    """Read the status of one venue or of all. Raise TransientError if Kafka does not answer."""
    return PipelineStatus(
        boundaries_of(settings, venue),
        tuple(item for item in dirty_sessions(settings.lake) if venue in (None, item.venue)),
        tuple(newest_publications(settings.lake, venue)),
    )


def boundaries_of(settings: Settings, venue: str | None = None) -> tuple[Boundary, ...]:
    """Read only the boundaries. Raise TransientError if Kafka does not answer."""
    with ControlTopic(settings.kafka) as control:
        by_code = control.refresh().boundaries()
    return tuple(by_code[code] for code in sorted(by_code) if venue in (None, code))


def gaps(boundary: Boundary, venue: Venue) -> list[Gap]:
    """Return the gaps between runs of published sessions; their dates are not final."""
    ends = [run.end for run in boundary.runs.parts[:-1]]
    begins = [run.start for run in boundary.runs.parts[1:]]
    return [
        (venue.date_of(end), venue.date_of(begin - 1))
        for end, begin in zip(ends, begins, strict=True)
    ]


def lines(status: PipelineStatus) -> Iterator[str]:
    """Yield the status as lines for an operator."""
    for boundary in status.boundaries:
        yield from _boundary_lines(boundary)
    if not status.boundaries:
        yield "no boundary: nothing was published to this Kafka"
    for dirty in status.dirty:
        yield (
            f"dirty: {dirty.venue} {dirty.day}, {_listed(dirty.symbols)}: {dirty.trades:,} trades, "
            f"{dirty.amendments:,} amendments since; {dirty.state.value}"
        )
    for held in status.held:
        label = f"{held.venue} {held.session}"
        yield f"held: {label} at rev {held.restores} by {held.who}: {held.reason}"
    for last in sorted(status.newest, key=lambda item: item.published_ns)[-MAX_LISTED:]:
        yield (
            f"published {utc_seconds(last.published_ns)}: {last.venue} {last.session} "
            f"rev {last.rev}, {last.edits:,} edits, {last.bars:,} bars, "
            f"by {last.who}: {last.reason}"
        )


def fields(status: PipelineStatus) -> dict[str, Any]:
    """Return the status for programs; instants are epoch nanoseconds."""
    return {
        "boundaries": [
            {
                "venue": boundary.venue,
                "final_from_ns": boundary.final_from_ns,
                "final_ns": {width.value: boundary.final_for(width) for width in Resolution},
                "fence_ns": boundary.fence_ns,
                "runs": [[run.start, run.end] for run in boundary.runs],
            }
            for boundary in status.boundaries
        ],
        "dirty": [
            {
                "venue": dirty.venue,
                "session": str(dirty.day),
                "symbols": list(dirty.symbols),
                "trades": dirty.trades,
                "amendments": dirty.amendments,
                "state": dirty.state.name.lower(),
            }
            for dirty in status.dirty
        ],
        "held": [
            {
                "venue": held.venue,
                "session": str(held.session),
                "rev": held.rev,
                "restores": held.restores,
                "who": held.who,
                "reason": held.reason,
            }
            for held in status.held
        ],
    }


def _boundary_lines(boundary: Boundary) -> Iterator[str]:
    if not boundary.final_ns:
        yield f"{boundary.venue}: nothing final; fence {utc_seconds(boundary.fence_ns)}"
        return
    shorter = [
        f"{resolution.value} to {utc_seconds(boundary.final_for(resolution))}"
        for resolution in Resolution
        if boundary.final_for(resolution) != boundary.final_ns
    ]
    yield (
        f"{boundary.venue}: final from {utc_seconds(boundary.final_from_ns)} "
        f"to {', '.join([utc_seconds(boundary.final_ns), *shorter])}; "
        f"fence {utc_seconds(boundary.fence_ns)}"
    )
    venue = venues().get(boundary.venue)
    unpublished = [] if venue is None else gaps(boundary, venue)
    for first, last in unpublished[-MAX_LISTED:]:
        yield f"  not published: {first}" + ("" if first == last else f" to {last}")
    if len(unpublished) > MAX_LISTED:
        yield f"  and {len(unpublished) - MAX_LISTED:,} gaps before"


def _listed(symbols: Sequence[str]) -> str:
    rest = len(symbols) - MAX_LISTED
    named = ", ".join(symbols[:MAX_LISTED])
    return named if rest <= 0 else f"{named} and {rest:,} more symbols"
