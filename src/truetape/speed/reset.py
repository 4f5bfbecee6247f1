"""Resets the position of the speed layer: the next driver reads the topic anew, or from now on."""

from enum import StrEnum

from truetape.broker.control_topic import ControlTopic
from truetape.host.settings import Settings
from truetape.speed.control_records import ControlRecords
from truetape.speed.heartbeat import Phase
from truetape.speed.lease import Lease
from truetape.speed.position import NO_LOG, SpeedPosition
from truetape.speed.trades_topic import at_end


class ResetTo(StrEnum):
    """Where the next driver begins."""

    START = "start"
    END = "end"


def reset_position(settings: Settings, to: ResetTo) -> SpeedPosition:
    """Take the lease and commit a new position; return it. A running driver ends with 75.

    Raise TransientError if Kafka does not answer.
    """
    position = SpeedPosition() if to is ResetTo.START else at_end(settings)
    with ControlTopic(settings.kafka) as control:
        records = ControlRecords(control, settings.topic)
        number = records.refresh().desired.number
        lease = Lease.take(settings, records, number, must_read_last=False)
        try:
            lease.beat(state=Phase.STOPPED, position=position, log=NO_LOG)
        finally:
            lease.close()
    return position
