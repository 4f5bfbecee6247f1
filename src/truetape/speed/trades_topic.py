"""The topic of trades as a driver sees it: whether it can begin there, and how far it is behind."""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from truetape.broker.offsets import TopicOffsets
from truetape.broker.topics import require_broker_stamps
from truetape.host.errors import ConfigError
from truetape.host.log import logger
from truetape.host.settings import Settings
from truetape.market.ranges import Range
from truetape.market.resolution import MS_NS, Resolution
from truetape.speed import heartbeat
from truetape.speed.counting import NOTHING_CLOSED
from truetape.speed.heartbeat import CLOCK_NOISE, Heartbeat
from truetape.speed.position import PartitionPosition, ReadLog, SpeedPosition
from truetape.speed.read_log import LogObserver, require_same_log


class TradesTopic:
    """The topic of trades, and what was read of it."""

    def __init__(self, settings: Settings, offsets: TopicOffsets) -> None:
        self._settings = settings
        self._offsets = offsets
        self._log: LogObserver | None = None

    def require_readable(self, last: Heartbeat | None) -> None:
        """Raise ConfigError if no driver can go on after the last one: producers stamp the records,
        Kafka has replaced records that were read, or windows are closed beyond the clock.
        """
        require_broker_stamps(self._settings.kafka, self._settings.topic)
        if last is not None:
            require_same_log(self._settings, last.log, last.position.offsets)
            _require_watermark(last.position, datetime.now(UTC))

    def startable(self, position: SpeedPosition) -> SpeedPosition:
        """Return the position to begin with, with every partition of the topic.

        A partition without a position begins at its first record. If Kafka has deleted records from
        the horizon on, the windows that may lack trades by it stay closed.
        """
        places = {}
        for part, span in self._offsets.available().items():
            place = position.partitions.get(str(part))
            if place is None:
                begin = span.start
                place = PartitionPosition(begin, NOTHING_CLOSED, begin, NOTHING_CLOSED)
            elif place.horizon < span.start:
                place = self._after_deletion(part, place, span)
            places[str(part)] = place
        return replace(position, partitions=places)

    def lag(self, offsets: Mapping[str, int]) -> Mapping[str, int]:
        """Return the number of records from `offsets` to the end of the topic, by partition."""
        return heartbeat.lag(self._offsets.ends(), offsets)

    def read_log(self, offsets: Mapping[str, int], *, fresh: bool) -> ReadLog:
        """Return which records of the topic's log were read; see `LogObserver.observe`."""
        if self._log is None:
            last = heartbeat.newest(self._settings.kafka, self._settings.topic)
            self._log = LogObserver(self._offsets, ReadLog("", {}) if last is None else last.log)
        return self._log.observe(offsets, fresh=fresh)

    def _after_deletion(
        self, part: int, place: PartitionPosition, span: Range
    ) -> PartitionPosition:
        """Return where to read on if the records at the horizon are gone.

        Records before the first one were stamped before it, and no event time is later than a stamp
        by more than the slack.
        """
        unread = max(0, span.start - place.offset)
        logger("speed").warning(
            "records deleted", partition=part, until=span.start, before_they_were_read=unread
        )
        first = {part: span.start} if span.start < span.end else {}
        stamp_ms = self._offsets.stamps(first).get(part)
        stamp_ns = time.time_ns() if stamp_ms is None else (stamp_ms + 1) * MS_NS
        closed_ns = max(place.closed_ns, closed_until(stamp_ns, self._settings))
        offset = max(place.offset, span.start)
        return PartitionPosition(offset, closed_ns, span.start, closed_ns)


def at_end(settings: Settings) -> SpeedPosition:
    """Return a position after all records that Kafka has now; windows that some of them may be in
    stay closed.
    """
    with TopicOffsets(settings.kafka, settings.topic) as offsets:
        ends = offsets.ends()
    closed_ns = closed_until(time.time_ns(), settings)
    return SpeedPosition(
        partitions={
            str(part): PartitionPosition(end, closed_ns, end, closed_ns)
            for part, end in ends.items()
        }
    )


def closed_until(stamp_ns: int, settings: Settings) -> int:
    """Return the end of the last minute that may have a record stamped before an instant."""
    latest_ns = stamp_ns + settings.future_slack_ms * MS_NS
    return Resolution.MINUTE.start_of(latest_ns) + Resolution.MINUTE.width_ns


def _require_watermark(position: SpeedPosition, now: datetime) -> None:
    """Raise ConfigError if windows are closed beyond the clock: every trade before that time would
    come too late, and no bar would be served.
    """
    if position.is_ahead(now, CLOCK_NOISE):
        raise ConfigError(
            f"the speed layer has the watermark {position.watermark:%Y-%m-%dT%H:%M:%SZ}, but it is "
            f"{now:%Y-%m-%dT%H:%M:%SZ}: every trade before the watermark would come too late and "
            'no bar would be served; see "Watermark beyond the clock" in docs/RUNBOOK.md'
        )
