"""The succession of drivers: whose late writes the next holder of the lease must fear.

Pure: records and rules. `lease` takes the lease, `mending` undoes a late write.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from truetape.speed.bar_ranges import Span
from truetape.speed.driver import Driver
from truetape.speed.heartbeat import Heartbeat, Suspect

MAX_SUSPECTS = 20
"""More are not watched at once, the newest count; only crashes in mid-write on other hosts add one
that stays until its bars are published.
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """A driver's last word: why it ended, and which bars it may have written without the lease.

    `epoch` is 0 for a driver that never held it.
    """

    epoch: int
    driver: Driver
    code: int
    message: str
    at: datetime
    touched: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Succession:
    """What a new holder takes over: whose epoch `last` was, and whose writes may arrive late.

    `first_batch` is the batch that the new holder begins with.
    """

    last: int = 0
    suspects: tuple[Suspect, ...] = ()
    first_batch: int = 0

    def is_dealt_with(self, word: Ended) -> bool:
        """Say whether a last word may be forgotten once its driver is no longer suspect.

        A batch that was not finished is run again, so this holder knows the right values. Of other
        bars that were written late they may be known to nobody, and only a publication brings them
        back.
        """
        batch = max((one.batch for one in self.suspects if one.epoch == word.epoch), default=-1)
        return not word.touched or batch >= self.first_batch


def succeed(last: Heartbeat | None, ends: Iterable[Ended], first_batch: int) -> Succession:
    """Work out what the next holder takes over from the newest heartbeat and the last words."""
    if last is None:
        return Succession(max((one.epoch for one in ends), default=0), (), first_batch)
    suspects = last.suspects
    if last.writing:
        suspects = (*suspects, Suspect(last.epoch, last.driver, last.writing, last.writing_batch))
    return Succession(last.epoch, suspects[-MAX_SUSPECTS:], first_batch)
