"""Orders: what the speed layer is meant to be doing, who said so and why.

A driver runs under the newest order of its time and ends, after its batch, once there is a newer
one: so "restart" is another order to run, and no handle on a process is needed.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class State(StrEnum):
    """What an order asks for."""

    STARTED = "started"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Desired:
    """An order. Numbers only grow; 0 is the state before the first one."""

    state: State
    number: int
    reason: str
    who: str
    at: datetime


NO_ORDER = Desired(State.STOPPED, 0, "never ordered to start", "", datetime.fromtimestamp(0, UTC))
