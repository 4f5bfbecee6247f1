"""Records: payloads on their way to Kafka, at the pace they are to be sent. Sends nothing."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from truetape.market.resolution import SECOND_NS


@dataclass(frozen=True, slots=True)
class Record:
    """What a feed handler would send to Kafka: payload as received, key and receipt time."""

    payload: bytes
    feed: str
    key: str | None
    received_ns: int


def paced(
    records: Iterable[Record], clock_ns: Callable[[], int], sleep: Callable[[float], None]
) -> Iterator[Record]:
    """Yield each record when the given clock reaches its receipt time, never before.

    `sleep` takes seconds of that clock. A consumer that is slow gets every due record at once.
    """
    for record in records:
        while (early := record.received_ns - clock_ns()) > 0:
            sleep(early / SECOND_NS)
        yield record


def at_speed(
    records: Iterable[Record],
    speed: float,
    monotonic_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Record]:
    """Yield records `speed` times as fast as they were received, the first one at once."""
    stream = iter(records)
    first = next(stream, None)
    if first is None:
        return
    first_ns, began_s = first.received_ns, monotonic_s()

    def clock_ns() -> int:
        return first_ns + int((monotonic_s() - began_s) * speed * SECOND_NS)

    yield first
    yield from paced(stream, clock_ns, lambda clock_s: sleep(clock_s / speed))
