"""The history of launches: how often the driver was started lately, and how each one ended."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from truetape.speed.driver import Driver

MAX_LAUNCHES = 50


class How(StrEnum):
    """How a driver came under supervision."""

    START = "start"
    RESTART = "restart"
    ADOPT = "adopt"


@dataclass(frozen=True, slots=True)
class Launch:
    """One driver under supervision. `driver` is None where a cluster says no pid.

    `after` is the newest epoch that was known when it was launched. `worked_s` is how long it lived
    and finished batches, known once it has ended.
    """

    at: datetime
    order: int
    after: int
    how: How
    reason: str
    driver: Driver | None = None
    ended: datetime | None = None
    code: int | None = None
    worked_s: float = 0.0

    @property
    def has_failed(self) -> bool:
        """Say whether it ended otherwise than as it was asked to."""
        return self.ended is not None and self.code != 0


@dataclass(frozen=True, slots=True)
class History:
    """The last launches, oldest first, and the order whose fulfilment was given up."""

    launches: tuple[Launch, ...] = ()
    gave_up: int | None = None

    @property
    def last(self) -> Launch | None:
        """Return the newest launch."""
        return self.launches[-1] if self.launches else None

    def began(self, launch: Launch) -> "History":
        """Add a launch; the oldest are forgotten beyond `MAX_LAUNCHES`."""
        return replace(self, launches=(*self.launches, launch)[-MAX_LAUNCHES:])

    def with_last(self, launch: Launch) -> "History":
        """Replace the newest launch by what is now known of it."""
        return replace(self, launches=(*self.launches[:-1], launch))

    def failures(self, order: int, since: datetime) -> int:
        """Count the launches under an order that failed, of those begun after `since`."""
        return sum(one.has_failed and one.at > since for one in self._under(order))

    def failures_in_a_row(self, order: int, healthy_s: float) -> int:
        """Count the newest launches under an order that failed before they worked for long."""
        count = 0
        for one in self._under(order):
            if not one.has_failed or one.worked_s >= healthy_s:
                break
            count += 1
        return count

    def replaced(self, before: datetime) -> list[Driver]:
        """Return the drivers that were replaced before an instant."""
        return [
            one.driver
            for one in self.launches[:-1]
            if one.driver is not None and one.ended is not None and one.ended < before
        ]

    def _under(self, order: int) -> Iterator[Launch]:
        """Yield the launches under an order or a newer one, newest first."""
        return (one for one in reversed(self.launches) if one.order >= order)


def back_off(failures: int, base_s: float, cap_s: float) -> timedelta:
    """Return how far apart two launches are after so many failures in a row: doubling, capped."""
    if failures == 0:
        return timedelta(0)
    return timedelta(seconds=min(cap_s, base_s * 2.0 ** min(failures - 1, 30)))
