"""Wall clocks: a local date and time to its instant.

Does not choose between the two instants of a time that the clocks show twice.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from truetape.market.rejection import Reason, Refused


def zone(name: str) -> ZoneInfo:
    """Return a zone of the IANA database. Raise ValueError if the database lacks the name."""
    if name.startswith(("posix/", "right/")) or name in _NOT_PLACES:
        raise ValueError(f"{name!r} is no time zone; use an IANA name such as America/New_York")
    try:
        return _load(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f"unknown time zone {name!r}; use an IANA name such as America/New_York"
        ) from None


def instant_s(local_s: int, zone_name: str) -> int | Refused:
    """Return the epoch seconds at which the clocks of a zone show a local time.

    `local_s` is the local time as epoch seconds, as if it were UTC. Refused if the clocks show it
    twice (set back) or never (set forward). The years are 1677 to 2262.
    """
    local = _EPOCH + timedelta(seconds=local_s)
    clock = _load(zone_name)
    before, after = _offset_s(clock, local), _offset_s(clock, local.replace(fold=1))
    if before == after:
        return local_s - before
    if before > after:
        return Refused(Reason.AMBIGUOUS_LOCAL_TIME, f"the clocks of {zone_name} show {local} twice")
    return Refused(Reason.NONEXISTENT_LOCAL_TIME, f"the clocks of {zone_name} skip {local}")


def _offset_s(clock: ZoneInfo, local: datetime) -> int:
    offset = clock.utcoffset(local)
    return offset // _SECOND if offset is not None else 0


_SECOND = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock's reading has no zone yet
_NOT_PLACES = frozenset({"", "Factory", "localtime", "posixrules"})


@lru_cache(maxsize=64)
def _load(name: str) -> ZoneInfo:
    return ZoneInfo(name)
