"""The takeover: what the next holder of the lease inherits, and whose late writes it must expect.

Pure. `lease` takes the lease, `stale_bars` undoes a late write.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from truetape.speed.control_records import ExitReport
from truetape.speed.heartbeat import Heartbeat, UnfinishedWrite
from truetape.speed.position import NO_LOG, ReadLog, SpeedPosition

MAX_UNFINISHED_WRITES = 20
"""Most unfinished writes to watch, the newest ones. Only a crash in the middle of a write on
another host adds one that stays until its bars are published."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """What a new holder takes over: the last epoch, the writes that may still arrive, and how far
    the records are in the served bars, with the log that they are of.
    """

    last: int = 0
    unfinished: tuple[UnfinishedWrite, ...] = ()
    position: SpeedPosition = field(default_factory=SpeedPosition)
    log: ReadLog = NO_LOG

    def may_delete(self, report: ExitReport) -> bool:
        """True if nobody needs an exit report once its driver can write no more.

        The records after the position are read again, so this holder knows the right values of the
        bars of a batch that was not finished.
        Nobody may know the right values of other bars that were written late; only a publication
        restores these.
        """
        batches = [write.batch for write in self.unfinished if write.epoch == report.epoch]
        return not report.late_writes or max(batches, default=-1) > self.position.batch


def take_over(last: Heartbeat | None, exit_reports: Iterable[ExitReport]) -> Takeover:
    """Work out what the next holder inherits from the newest heartbeat and the exit reports."""
    if last is None:
        return Takeover(max((report.epoch for report in exit_reports), default=0))
    unfinished = last.unfinished_writes
    if last.writing:
        write = UnfinishedWrite(last.epoch, last.driver, last.writing, last.writing_batch)
        unfinished = (*unfinished, write)
    watched = unfinished[-MAX_UNFINISHED_WRITES:]
    return Takeover(last.epoch, watched, last.position, last.log)
