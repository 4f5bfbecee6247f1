"""The status of what is served: up to where it is final, what is missing, dirty or held.

Reads the control topic and the lake, changes nothing. `lines` and `fields` only put it into words.
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
"""Most publications, gaps of a venue, and symbols of a session that are listed by name."""

Gap = tuple[date, date]
"""First and last date between two runs of published sessions."""


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """What is served, as of now. `newest` are the last publications of each session."""

    boundaries: tuple[Boundary, ...]
    dirty: tuple[DirtySession, ...]
    newest: tuple[Publication, ...]

    @property
    def held(self) -> list[Publication]:
        """Return the reverts that are in force."""
        return [one for one in self.newest if one.restores]


def status_of(settings: Settings, venue: str | None = None) -> PipelineStatus:
    """Read the status of all venues, or of one; TransientError when Kafka does not answer."""
    return PipelineStatus(
        boundaries_of(settings, venue),
        tuple(one for one in dirty_sessions(settings.lake) if venue in (None, one.venue)),
        tuple(newest_publications(settings.lake, venue)),
    )


def boundaries_of(settings: Settings, venue: str | None = None) -> tuple[Boundary, ...]:
    """Read the boundaries alone; TransientError when Kafka does not answer."""
    with ControlTopic(settings.kafka) as control:
        found = control.refresh().boundaries()
    return tuple(found[code] for code in sorted(found) if venue in (None, code))


def gaps(boundary: Boundary, venue: Venue) -> list[Gap]:
    """Return the dates between runs of published sessions, which nobody claims as final."""
    ends = [run.end for run in boundary.runs.parts[:-1]]
    begins = [run.start for run in boundary.runs.parts[1:]]
    return [
        (venue.date_of(end), venue.date_of(begin - 1))
        for end, begin in zip(ends, begins, strict=True)
    ]


def lines(status: PipelineStatus) -> Iterator[str]:
    """Yield what an operator reads."""
    for boundary in status.boundaries:
        yield from _boundary_lines(boundary)
    if not status.boundaries:
        yield "no boundary: nothing was published to this Kafka"
    for one in status.dirty:
        yield (
            f"dirty: {one.venue} {one.day}, {_some(one.symbols)}: {one.trades:,} trades, "
            f"{one.amendments:,} amendments since; {one.state.value}"
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
    """Return the same for programs: instants in epoch nanoseconds."""
    return {
        "boundaries": [
            {
                "venue": one.venue,
                "final_from_ns": one.final_from_ns,
                "final_ns": {each.value: one.final_for(each) for each in Resolution},
                "fence_ns": one.fence_ns,
                "runs": [[run.start, run.end] for run in one.runs],
            }
            for one in status.boundaries
        ],
        "dirty": [
            {
                "venue": one.venue,
                "session": str(one.day),
                "symbols": list(one.symbols),
                "trades": one.trades,
                "amendments": one.amendments,
                "state": one.state.name.lower(),
            }
            for one in status.dirty
        ],
        "held": [
            {
                "venue": one.venue,
                "session": str(one.session),
                "rev": one.rev,
                "restores": one.restores,
                "who": one.who,
                "reason": one.reason,
            }
            for one in status.held
        ],
    }


def _boundary_lines(boundary: Boundary) -> Iterator[str]:
    if not boundary.final_ns:
        yield f"{boundary.venue}: nothing final; fence {utc_seconds(boundary.fence_ns)}"
        return
    shorter = [
        f"{one.value} to {utc_seconds(boundary.final_for(one))}"
        for one in Resolution
        if boundary.final_for(one) != boundary.final_ns
    ]
    yield (
        f"{boundary.venue}: final from {utc_seconds(boundary.final_from_ns)} "
        f"to {', '.join([utc_seconds(boundary.final_ns), *shorter])}; "
        f"fence {utc_seconds(boundary.fence_ns)}"
    )
    known = venues().get(boundary.venue)
    found = [] if known is None else gaps(boundary, known)
    for first, last in found[-MAX_LISTED:]:
        yield f"  not published: {first}" + ("" if first == last else f" to {last}")
    if len(found) > MAX_LISTED:
        yield f"  and {len(found) - MAX_LISTED:,} gaps before"


def _some(symbols: Sequence[str]) -> str:
    rest = len(symbols) - MAX_LISTED
    named = ", ".join(symbols[:MAX_LISTED])
    return named if rest <= 0 else f"{named} and {rest:,} more symbols"
