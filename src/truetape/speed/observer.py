"""Reads what can be known about the speed layer: Kafka, processes, calendars. Judges nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from truetape.broker.offsets import TopicOffsets
from truetape.host import calendars
from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.speed.control_records import Board
from truetape.speed.driver import Driver, Life, life_of
from truetape.speed.heartbeat import lag, newest
from truetape.speed.observation import POLICY, Observed, Policy, last_word


def observe(
    settings: Settings, board: Board, now: datetime | None = None, policy: Policy = POLICY
) -> Observed:
    """Look once. What cannot be read is said in `problem`, and then nothing else is."""
    now = datetime.now(UTC) if now is None else now
    try:
        board.refresh()
        beat, launch = newest(settings.kafka, settings.topic), board.history.last
        found = Observed(
            beat=beat,
            life=_life(None if beat is None else beat.driver),
            ended=None if beat is None else last_word(beat, board.ends),
            launch=launch,
            launch_life=_life(None if launch is None else launch.driver),
            launch_ended=None if launch is None else last_word(launch, board.ends),
        )
        return _with_lag(found, settings, now, policy)
    except (ConfigError, TransientError) as error:
        return Observed(problem=str(error))


def open_venues(settings: Settings, now: datetime) -> tuple[str, ...]:
    """Return which of the expected venues are in their regular session; loads their calendars."""
    known, instant = venues(), int(now.timestamp() * 1e9)
    unknown = [code for code in settings.speed_venues if code not in known]
    if unknown:
        raise ConfigError(f"TRUETAPE_SPEED_VENUES has {unknown[0]!r}; see schemas/venues.yaml")
    return tuple(
        code
        for code in settings.speed_venues
        if calendars.session(known[code], known[code].date_of(instant)).is_regular(instant)
    )


def _with_lag(found: Observed, settings: Settings, now: datetime, policy: Policy) -> Observed:
    """Add how far the driver is behind what Kafka holds now, whatever it says itself."""
    read = {} if found.beat is None else found.beat.offsets
    with TopicOffsets(settings.kafka, settings.topic) as offsets:
        ends = offsets.ends()
        waited = offsets.since(_ns(now - timedelta(seconds=policy.progress_within_s)))
        is_quiet = offsets.since(_ns(now - timedelta(seconds=policy.silence_s))) == ends
    return replace(
        found,
        lag=lag(ends, read),
        overdue=sum(lag(waited, read).values()),
        open_venues=open_venues(settings, now) if is_quiet else (),
    )


def _ns(instant: datetime) -> int:
    return int(instant.timestamp() * 1e9)


def _life(driver: Driver | None) -> Life:
    return Life.UNSEEN if driver is None else life_of(driver)
