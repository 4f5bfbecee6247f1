"""The speed layer's records on the control topic: commands, exit reports, launches.

Decides nothing. A driver runs under the newest command of its time and ends, after its batch, once
there is a newer one. So a restart is another command to run, and needs no handle on a process.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Self

from truetape.broker.control_topic import ControlTopic
from truetape.broker.record_json import decode, encode, wire_name
from truetape.speed.bar_ranges import Span
from truetape.speed.driver import Driver

MAX_LAUNCHES = 50


class DesiredState(StrEnum):
    """What a command asks for."""

    STARTED = "started"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Desired:
    """A command: what the speed layer should do, who wants it and why.

    Numbers only grow; 0 is the state before the first command.
    """

    state: DesiredState
    number: int
    reason: str
    who: str
    at: datetime


NO_COMMAND = Desired(
    DesiredState.STOPPED, 0, "never ordered to start", "", datetime.fromtimestamp(0, UTC)
)


@dataclass(frozen=True, slots=True)
class ExitReport:
    """Why a driver ended, and which bars it may have written after it lost the lease.

    `epoch` is 0 for a driver that never held the lease.
    """

    epoch: int
    driver: Driver
    code: int
    message: str
    at: datetime
    late_writes: Annotated[tuple[Span, ...], wire_name("touched")] = ()


class LaunchKind(StrEnum):
    """How a driver came under supervision."""

    START = "start"
    RESTART = "restart"
    ADOPT = "adopt"


@dataclass(frozen=True, slots=True)
class Launch:
    """One driver under supervision. `driver` is None until a cluster's driver reports its pid.

    `after` is the newest epoch known at the launch. `worked_s` is how long the driver lived and
    finished batches; it is set when the driver has ended.
    """

    at: datetime
    command: Annotated[int, wire_name("order")]
    after: int
    kind: Annotated[LaunchKind, wire_name("how")]
    reason: str
    driver: Driver | None = None
    ended: datetime | None = None
    code: int | None = None
    worked_s: float = 0.0

    @property
    def has_failed(self) -> bool:
        """True if it ended for another reason than a command to stop."""
        return self.ended is not None and self.code != 0


@dataclass(frozen=True, slots=True)
class LaunchHistory:
    """The last launches, oldest first, and the command that the supervisor gave up on."""

    launches: tuple[Launch, ...] = ()
    gave_up: int | None = None

    @property
    def last(self) -> Launch | None:
        """Return the newest launch."""
        return self.launches[-1] if self.launches else None

    def with_launch(self, launch: Launch) -> "LaunchHistory":
        """Add a launch; drop the oldest beyond `MAX_LAUNCHES`."""
        return replace(self, launches=(*self.launches, launch)[-MAX_LAUNCHES:])

    def with_last(self, launch: Launch) -> "LaunchHistory":
        """Replace the newest launch."""
        return replace(self, launches=(*self.launches[:-1], launch))

    def failures(self, command: int, since: datetime) -> int:
        """Count the failed launches under a command that began after `since`."""
        return sum(launch.has_failed and launch.at > since for launch in self._under(command))

    def failures_in_a_row(self, command: int, healthy_s: float) -> int:
        """Count the newest launches under a command that failed within `healthy_s` of work."""
        count = 0
        for launch in self._under(command):
            if not launch.has_failed or launch.worked_s >= healthy_s:
                break
            count += 1
        return count

    def replaced(self, before: datetime) -> list[Driver]:
        """Return the drivers that were replaced before an instant."""
        return [
            launch.driver
            for launch in self.launches[:-1]
            if launch.driver is not None and launch.ended is not None and launch.ended < before
        ]

    def _under(self, command: int) -> Iterator[Launch]:
        """Yield the launches under a command or a newer one, newest first."""
        return (launch for launch in reversed(self.launches) if launch.command >= command)


def back_off(failures: int, base_s: float, cap_s: float) -> timedelta:
    """Return the least time between two launches after `failures` in a row: doubling, capped."""
    if failures == 0:
        return timedelta(0)
    return timedelta(seconds=min(cap_s, base_s * 2.0 ** min(failures - 1, 30)))


@dataclass(frozen=True, slots=True)
class ControlRecords:
    """One layer's records, as of the last `refresh`. A layer is named by its topic of trades."""

    control: ControlTopic
    layer: str

    def refresh(self) -> Self:
        """Read what is new. Raise TransientError if Kafka does not answer."""
        self.control.refresh()
        return self

    @property
    def desired(self) -> Desired:
        """Return the newest command."""
        value = self.control.value(self._key("order"))
        return NO_COMMAND if value is None else decode(Desired, value)

    @property
    def exit_reports(self) -> list[ExitReport]:
        """Return the exit reports that were not deleted yet, by epoch."""
        values = self.control.values(self._key("ended:")).values()
        reports = (decode(ExitReport, value) for value in values)
        return sorted(reports, key=lambda report: report.epoch)

    @property
    def history(self) -> LaunchHistory:
        """Return the last launches."""
        value = self.control.value(self._key("history"))
        return LaunchHistory() if value is None else decode(LaunchHistory, value)

    def write_command(self, state: DesiredState, reason: str, who: str) -> Desired:
        """Write a command; a driver under an older one ends after its batch."""
        number = self.refresh().desired.number + 1
        desired = Desired(state, number, reason, who, datetime.now(UTC))
        self.control.put(self._key("order"), encode(desired))
        return desired

    def write_history(self, history: LaunchHistory) -> None:
        """Write the history. If two supervisors write at once, the later record counts."""
        self.control.put(self._key("history"), encode(history))

    def write_exit_report(self, report: ExitReport) -> None:
        """Write a driver's exit report; needs no lease."""
        self.control.put(self._key(f"ended:{report.epoch}"), encode(report))

    def delete_exit_report(self, epoch: int) -> None:
        """Delete an exit report that nobody needs any more."""
        self.control.put(self._key(f"ended:{epoch}"), None)

    def _key(self, name: str) -> str:
        return f"speed:{self.layer}:{name}"
