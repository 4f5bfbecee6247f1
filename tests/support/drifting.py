"""A small day with one fault a minute, published with its drift recorded. Uses no Spark."""

from support.build import SECOND, cancel, correction, trade
from support.session_lake import FRIDAY, NOON
from truetape.drift.recorder import DriftRecorder, SpeedRules
from truetape.host.venues import venues
from truetape.market.sessions import Session
from truetape.market.trades import Event, Trade
from truetape.publish.publication import PublicationRequest, Published, publish
from truetape.serving.store import BarStore

MINUTE = 60 * SECOND
SPEED = SpeedRules("sip", MINUTE, frozenset({"truetape"}))
HOUR = 3_600 * SECOND


def printed(number: int, price: str, size: str = "10", **fields: object) -> Trade:
    """Return trade n of IBM: n seconds after noon, received a tenth of a second later."""
    event_ns = NOON + number * SECOND
    values: dict[str, object] = {"id": str(number), "event_ns": event_ns, "symbol": "IBM"}
    values |= {"received_ns": event_ns + int(str(fields.pop("delay", SECOND // 10)))}
    values |= {"conditions": ("@",), "tape": "A", "exchange": "N"}
    return trade(price, size, **(values | fields))


QUIET = [printed(number, "100") for number in (1, 2, 61, 62, 121)]
LATE = printed(63, "101", delay=5 * MINUTE)
DAY: list[Event] = [
    *QUIET,
    LATE,
    cancel("2", NOON + 600 * SECOND, symbol="IBM"),
    correction("121", "102", "30", NOON + 601 * SECOND, symbol="IBM"),
    *(printed(number, "50", symbol="KO") for number in (1, 61)),
]
"""IBM: a cancel in minute 0, a late print in minute 1, a correction in minute 2. KO is quiet."""


def publish_and_record(
    lake: str,
    store: BarStore,
    speed: SpeedRules = SPEED,
    as_of_ns: int = NOON + HOUR,
    session: Session = FRIDAY,
) -> Published:
    """Publish a session and record its drift, as `publish_once` does after gate and fence."""
    recorder = DriftRecorder(lake, store, venues()[session.venue], session, speed)
    request = PublicationRequest(
        session, "tests", "because", as_of_ns, 0.0, before_write=recorder.record_round
    )
    outcome = publish(lake, store, request, sleep=lambda _: None)
    recorder.finish(outcome.rev)
    return outcome
