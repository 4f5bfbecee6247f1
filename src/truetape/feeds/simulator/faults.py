"""Faults of a simulated session: late, duplicate, cancelled, corrected, future and broken records.

Turns true prints into deliveries in order of arrival, and lists every fault. Encodes no payload.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from math import isfinite
from typing import NamedTuple

from truetape.feeds.simulator.market import SECOND, Draw, MarketShape, SimulatedPrint, dollars
from truetape.feeds.simulator.wire_format import MILLISECOND, Correct, Format
from truetape.host.errors import ConfigError

DELAY_MS = (2, 30)
"""Shortest and longest time from event to receipt without faults; short times are more frequent."""
REDELIVERY_S = (0.001, 120.0)
AUCTION_CODES = frozenset("OQ6M")

MAX_FAULT_S = 86_400
"""Longest outage, delay or lead of a clock: a day."""


class TroubleCause(StrEnum):
    """What goes wrong on purpose. The first four explain drift."""

    LATE = "late"
    DUPLICATE = "duplicate"
    CANCEL = "cancel"
    CORRECTION = "correction"
    OUTAGE = "outage"
    BAD_CLOCK = "bad-clock"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One injected fault: its trade, and when the record arrives.

    `event_ns` is the true event time. A record that shares its payload with later records arrives
    with them, up to 5 ms after `received_ns`. An outage has no trade; its times are start and end.
    """

    cause: TroubleCause
    symbol: str | None
    id: str | None
    event_ns: int
    received_ns: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Faults:
    """How much goes wrong. Rates are shares of prints; a print has at most one fault."""

    late: float = 0.003
    duplicate: float = 0.004
    cancel: float = 0.001
    correct: float = 0.001
    malformed: float = 0.0
    outage_s: float = 120.0
    """How long the venue is silent in mid-session, at most a tenth of the simulated time."""
    bad_clock: float = 0.05
    """Share of the simulated time in which the clock of one reporter is ahead."""
    bad_clock_ahead_s: float = 300.0
    late_s: tuple[float, float] = (70.0, 900.0)
    amend_s: tuple[float, float] = (1.0, 600.0)

    def __post_init__(self) -> None:
        rates = (self.late, self.duplicate, self.cancel, self.correct)
        times = (self.outage_s, self.bad_clock_ahead_s, *self.late_s, *self.amend_s)
        if not all(map(isfinite, (*rates, self.malformed, self.bad_clock, *times))):
            raise ConfigError("fault rates and times must be finite numbers")
        if max(self.bad_clock, *(each / MAX_FAULT_S for each in times)) > 1:
            raise ConfigError(
                f"the share of a wrong clock is at most 1, a fault's time at most {MAX_FAULT_S:,} s"
            )
        if min(*rates, self.malformed, self.bad_clock) < 0 or max(sum(rates), self.malformed) > 1:
            raise ConfigError("fault rates must be at least 0, and at most 1 together")
        if min(times) < 0 or self.late_s[0] > self.late_s[1] or self.amend_s[0] > self.amend_s[1]:
            raise ConfigError("fault times must be at least 0 seconds, and ranges must be in order")


Encode = Callable[[SimulatedPrint], bytes]

BROKEN: dict[str, Callable[[SimulatedPrint, Encode], bytes]] = {
    "truncated": lambda item, encode: encode(item)[:-9],
    "not-utf8": lambda item, encode: b"\xff\xfe" + encode(item),
    "empty": lambda item, encode: b"",  # noqa: ARG005 - all have one signature
    "not-a-trade": lambda item, encode: b'{"type":"heartbeat"}',  # noqa: ARG005 - the same
    "nan-price": lambda item, encode: encode(item._replace(price="NaN")),
    "negative-price": lambda item, encode: encode(item._replace(price=f"-{item.price}")),
    "huge-price": lambda item, encode: encode(item._replace(price="1e400")),
    "evil-symbol": lambda item, encode: encode(item._replace(symbol="EV,IL=\\nX")),
}
"""The ways to break a record. No payload has a line end, so files keep one payload a line."""

NO_FAULTS = Faults(0, 0, 0, 0, 0, outage_s=0, bad_clock=0)


class DeliveryKind(StrEnum):
    """What a delivery is. REPEAT is a trade delivered again; FUTURE is a trade to reject."""

    TRADE = "trade"
    REPEAT = "repeat"
    FUTURE = "future"
    CANCEL = "cancel"
    CORRECT = "correct"
    MALFORMED = "malformed"


class SimulatedDelivery(NamedTuple):
    """One record on its way. Deliveries sort by arrival, then by the order of simulation."""

    received_ns: int
    order: int
    kind: DeliveryKind
    item: SimulatedPrint
    new: Correct | None = None
    broken: str = ""


def deliveries(
    items: Sequence[SimulatedPrint], faults: Faults, form: Format, shape: MarketShape, draw: Draw
) -> tuple[list[SimulatedDelivery], list[Trouble]]:
    """Return every delivery in order of arrival, and every fault in the order of simulation.

    A feed without ids has no duplicates; a feed without amendments has no cancels or corrections.
    """
    made = _Deliveries(faults, form, draw)
    is_ahead = _bad_clock(faults, shape, draw)
    for item in items:
        received = item.event_ns + _delay(draw)
        if is_ahead(item):
            made.ahead(item, received)
        elif item.conditions and item.conditions[-1] in AUCTION_CODES:
            made.add(received, DeliveryKind.TRADE, item)
        else:
            made.deliver(item, received)
    for _ in range(round(faults.malformed * len(items))):
        made.malformed(items[int(len(items) * draw())])
    made.sent.sort()
    return made.sent, made.troubles


class _Deliveries:
    def __init__(self, faults: Faults, form: Format, draw: Draw) -> None:
        self.faults, self.draw, self.form = faults, draw, form
        self._broken = [how for how in BROKEN if form.names_symbol or how != "evil-symbol"]
        self.sent: list[SimulatedDelivery] = []
        self.troubles: list[Trouble] = []
        shares = (
            (self.late, faults.late),
            (self.duplicate, faults.duplicate if form.ids else 0.0),
            (self.cancel, faults.cancel if form.cancel else 0.0),
            (self.correct, faults.correct if form.correct else 0.0),
        )
        self._makers = [maker for maker, _ in shares]
        self._limits = list(accumulate(share for _, share in shares))

    def add(
        self,
        received: int,
        kind: DeliveryKind,
        item: SimulatedPrint,
        new: Correct | None = None,
        broken: str = "",
    ) -> None:
        self.sent.append(SimulatedDelivery(received, len(self.sent), kind, item, new, broken))

    def trouble(
        self, cause: TroubleCause, item: SimulatedPrint, received: int, detail: str = ""
    ) -> None:
        number = str(item.number) if self.form.ids else None
        self.troubles.append(Trouble(cause, item.symbol, number, item.event_ns, received, detail))

    def deliver(self, item: SimulatedPrint, received: int) -> None:
        """Deliver one print, with a fault or, mostly, without."""
        luck = self.draw()
        if luck < self._limits[-1]:
            self._makers[bisect_right(self._limits, luck)](item, received)
        else:
            self.add(received, DeliveryKind.TRADE, item)

    def late(self, item: SimulatedPrint, received: int) -> None:
        received += self._between(self.faults.late_s)
        sold = self.form.conditions and bool(item.conditions) and self.draw() < 0.5
        if sold:
            item = item._replace(conditions=(*item.conditions, "Z"))
        self.add(received, DeliveryKind.TRADE, item)
        self.trouble(
            TroubleCause.LATE, item, received, "sold out of sequence" if sold else "delayed"
        )

    def duplicate(self, item: SimulatedPrint, received: int) -> None:
        self.add(received, DeliveryKind.TRADE, item)
        received += self._between(REDELIVERY_S)
        self.add(received, DeliveryKind.REPEAT, item)
        self.trouble(TroubleCause.DUPLICATE, item, received)

    def cancel(self, item: SimulatedPrint, received: int) -> None:
        self.add(received, DeliveryKind.TRADE, item)
        received += self._between(self.faults.amend_s)
        self.add(received, DeliveryKind.CANCEL, item)
        self.trouble(TroubleCause.CANCEL, item, received)

    def correct(self, item: SimulatedPrint, received: int) -> None:
        self.add(received, DeliveryKind.TRADE, item)
        received += self._between(self.faults.amend_s)
        cents = int(item.price.replace(".", ""))
        moved = max(1, cents + (1 + int(20 * self.draw())) * (1 if self.draw() < 0.5 else -1))
        self.add(received, DeliveryKind.CORRECT, item, Correct(dollars(moved), item.size))
        self.trouble(TroubleCause.CORRECTION, item, received, f"{item.price} to {dollars(moved)}")

    def ahead(self, item: SimulatedPrint, received: int) -> None:
        """Deliver a print with an event time in the future, which decoders must reject."""
        ahead = int(self.faults.bad_clock_ahead_s * SECOND)
        stamped = item._replace(event_ns=item.event_ns + ahead - ahead % self.form.grid_ns)
        self.add(received, DeliveryKind.FUTURE, stamped)
        self.trouble(
            TroubleCause.BAD_CLOCK, item, received, f"{self.faults.bad_clock_ahead_s} s ahead"
        )

    def malformed(self, item: SimulatedPrint) -> None:
        """Deliver an additional, broken record; the print that it copies is delivered too."""
        how = self._broken[int(len(self._broken) * self.draw())]
        received = item.event_ns + _delay(self.draw)
        self.add(received, DeliveryKind.MALFORMED, item, broken=how)
        self.trouble(TroubleCause.MALFORMED, item, received, how)

    def _between(self, seconds: tuple[float, float]) -> int:
        least, most = seconds
        return int((least + (most - least) * self.draw()) * SECOND)


def _delay(draw: Draw) -> int:
    least, most = DELAY_MS
    return int((least + (most - least) * draw() * draw()) * MILLISECOND)


def _bad_clock(faults: Faults, shape: MarketShape, draw: Draw) -> Callable[[SimulatedPrint], bool]:
    """Draw whose clock is ahead, and when: an exchange, or the last symbol without exchanges."""
    length = shape.last_ns - shape.first_ns
    start = shape.first_ns + int(draw() * (1 - faults.bad_clock) * length)
    end = start + int(faults.bad_clock * length)
    exchange, symbol = "PK"[int(2 * draw())], shape.symbols[-1]

    def is_ahead(item: SimulatedPrint) -> bool:
        if not start <= item.event_ns < end:
            return False
        return item.exchange == exchange if shape.equity else item.symbol == symbol

    return is_ahead


def outage(faults: Faults, window: tuple[int, int], grid_ns: int, draw: Draw) -> tuple[int, int]:
    """Return when the venue is silent: an interval in the second quarter, empty for 0 s."""
    first, last = window
    length = min(int(faults.outage_s * SECOND), (last - first) // 10)
    start = first + (last - first) // 4 + int(draw() * (last - first) / 4)
    start -= start % max(grid_ns, MILLISECOND)
    return start, start + length


def broken_payload(how: str, item: SimulatedPrint, encode: Encode) -> bytes:
    """Return the payload of a good print, broken in the given way."""
    return BROKEN[how](item, encode)


def frames(sent: Sequence[SimulatedDelivery], most: int) -> Iterator[list[SimulatedDelivery]]:
    """Group deliveries that share a payload: good trades of one symbol within 5 milliseconds."""
    group: list[SimulatedDelivery] = []
    for item in sent:
        if group and not _fits(group, item, most):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


_PLAIN = (DeliveryKind.TRADE, DeliveryKind.REPEAT)


def _fits(group: Sequence[SimulatedDelivery], item: SimulatedDelivery, most: int) -> bool:
    head = group[0]
    return (
        len(group) < most
        and head.kind in _PLAIN
        and item.kind in _PLAIN
        and head.item.symbol == item.item.symbol
        and item.received_ns - head.received_ns <= 5 * MILLISECOND
    )
