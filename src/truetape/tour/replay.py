"""Replay: send trade files to Kafka at a chosen speed, and run the speed layer meanwhile.

Every step is production's; only the producer's clock is simulated. Never sends a file twice: its
trades may have no ids, so nothing could recognise the duplicates.
"""

import hashlib
import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path

from truetape.broker.offsets import end_offsets
from truetape.broker.producer import send_all
from truetape.feeds.beside import NOTHING_GIVEN
from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import UNBOUNDED_MS, Limits
from truetape.feeds.file_log import FileLog
from truetape.feeds.file_names import NameParts
from truetape.feeds.files import FileRecord, decode_file
from truetape.feeds.native import iso
from truetape.feeds.records import Record
from truetape.host import calendars
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.host.state_files import JsonFile, of_type, write_json
from truetape.host.venues import venues
from truetape.market.rejection import Rejected
from truetape.market.resolution import MS_NS
from truetape.market.sessions import Session
from truetape.market.trades import Event
from truetape.tour.speed_process import SpeedProcess

READ_WITHIN_S = 1_800.0
Report = Callable[[str], None]


@dataclass(slots=True)
class Sent:
    """What was sent to Kafka, counted at the source, to compare with the lake."""

    records: int = 0
    events: int = 0
    rejected: int = 0
    sessions: set[tuple[str, date]] = field(default_factory=set)

    def ordered(self) -> list[Session]:
        """Return the affected sessions, oldest first."""
        by_code = venues()
        days = sorted(self.sessions, key=lambda item: (item[1], item[0]))
        return [calendars.session(by_code[venue], day) for venue, day in days]


def send(
    settings: Settings,
    paths: tuple[Path, ...],
    feed: str,
    speed: float | None,
    report: Report,
    *,
    again: bool = False,
    given: NameParts = NOTHING_GIVEN,
) -> Sent:
    """Send the records of files in the order of event times, at `speed` times their own pace.

    `speed` None sends as fast as Kafka takes them. Files in the ledger are counted, not sent, but
    for `again`. `given`: see `feeds.files.read`. Raise ConfigError before anything is sent if a
    file begins in the future.
    """
    read_ms = time.time_ns() // MS_NS
    contract, limits = load_contract(feed), Limits.of(settings)
    ledger = ReplayLedger(settings.home / "replayed.json")
    digests = {path: _digest(path) for path in paths}
    fresh = [path for path in paths if again or not ledger.has(digests[path], settings.topic)]
    for path in paths:
        if path not in fresh:
            report(f"{path.name} was replayed before; its records are in Kafka and the lake")
        else:
            require_past(path, feed, limits, read_ms, given)
    total, log = Sent(), FileLog()
    streams = [
        _records(
            decode_file(path, contract, limits, read_ms, given, log=log), feed, total, path in fresh
        )
        for path in paths
    ]

    def records() -> Iterator[Record]:
        # runs once Kafka answers: a file that was begun but not finished can never be sent again
        for path in fresh:
            ledger.begin(digests[path], settings.topic, path.name)
        merged = heapq.merge(*streams, key=lambda item: item[0])
        yield from (record for _, record in merged if record is not None)

    def progress(count: int) -> None:
        report(f"{count:,} records sent")

    send_all(settings.kafka, settings.topic, records(), speed=speed, progress=progress)
    for path in fresh:
        ledger.finish(digests[path], settings.topic)
    for line in log.lines():
        report(line)
    return total


def through_speed_layer(settings: Settings, produce: Callable[[], Sent], report: Report) -> Sent:
    """Run the speed layer while `produce` sends, until it has read everything. Then stop it."""
    report("starting the speed layer")
    driver = SpeedProcess.start(settings)
    try:
        driver.wait_until_ready()
        sent = produce()
        report(f"{sent.records:,} records are in Kafka; the speed layer catches up")
        beat = driver.wait_until_read(end_offsets(settings.kafka, settings.topic), READ_WITHIN_S)
        report(
            f"the speed layer wrote {beat.written:,} provisional bars; {beat.fenced:,} were final"
        )
        return sent
    finally:
        driver.stop()


@dataclass(frozen=True, slots=True)
class Replayed:
    """A file whose replay was begun; `finished` once Kafka acknowledged every record."""

    name: str
    finished: bool


_LEDGER = JsonFile(
    "list of replayed files",
    of_type(dict[str, Replayed]),
    "nothing else knows which files are in Kafka: restore it, or use another TRUETAPE_HOME",
)


@dataclass(frozen=True, slots=True)
class ReplayLedger:
    """The files that were sent to each topic, by the SHA-256 of their bytes; one JSON file."""

    path: Path

    def has(self, digest: str, topic: str) -> bool:
        """True if a file was sent whole. Raise ConfigError if it was begun but not finished."""
        entry = self._read().get(f"{topic}:{digest}")
        if entry is not None and not entry.finished:
            raise ConfigError(
                f"the replay of {entry.name} was interrupted: part of it is in Kafka, and "
                "sending it again would count trades without ids twice; use another TRUETAPE_HOME, "
                "or --again if Kafka has lost that part"
            )
        return entry is not None

    def begin(self, digest: str, topic: str, name: str) -> None:
        """Record that sending begins, before the first record is sent."""
        self._write(self._read() | {f"{topic}:{digest}": Replayed(name, finished=False)})

    def finish(self, digest: str, topic: str) -> None:
        """Record that Kafka acknowledged every record."""
        entries = self._read()
        entries[f"{topic}:{digest}"] = replace(entries[f"{topic}:{digest}"], finished=True)
        self._write(entries)

    def _read(self) -> dict[str, Replayed]:
        return _LEDGER.read(self.path) or {}

    def _write(self, entries: Mapping[str, Replayed]) -> None:
        write_json(self.path, {key: asdict(entry) for key, entry in entries.items()})


def require_past(
    path: Path, feed: str, limits: Limits, read_ms: int, given: NameParts = NOTHING_GIVEN
) -> None:
    """Raise ConfigError if the first event of a file lies beyond the time of reading.

    Kafka would stamp all of the file before its event times, so every record would be rejected,
    and a file is sent only once.
    """
    everything = decode_file(path, load_contract(feed), limits, UNBOUNDED_MS, given)
    events = (item for _, items in everything for item in items if not isinstance(item, Rejected))
    first_ns = next((event.event_ns for event in events if event.event_ns is not None), 0)
    if first_ns > read_ms * MS_NS + limits.future_slack_ns:
        raise ConfigError(
            f"{path} begins at {iso(first_ns)}, which is in the future: Kafka would stamp its "
            "records before their event times, and all would be rejected; replay it when that time "
            "is over, or check the clock of this machine"
        )


def _records(
    decoded: Iterable[tuple[FileRecord, list[Event | Rejected]]],
    feed: str,
    total: Sent,
    is_fresh: bool,
) -> Iterator[tuple[int, Record | None]]:
    """Yield (event time, record) of a file; the record is None if Kafka already has it.

    The receipt time is the recorded one, else the payload's, else the event time. A payload that
    does not fit its contract takes the time of its neighbour, so that it reaches the dead letters.
    """
    by_code = venues()
    latest = 0
    for record, items in decoded:
        events = [item for item in items if not isinstance(item, Rejected)]
        times = [event.event_ns for event in events if event.event_ns is not None]
        latest = max(times, default=latest or record.received_ns or 0)
        total.records += 1
        total.events += len(events)
        total.rejected += len(items) - len(events)
        total.sessions |= {
            (event.venue, by_code[event.venue].date_of(event.event_ns))
            for event in events
            if event.event_ns is not None
        }
        symbols = {event.symbol for event in events}
        key = record.key or (symbols.pop() if len(symbols) == 1 else None)
        received = record.received_ns
        if received is None:
            received = max((event.received_ns for event in events), default=latest)
        yield latest, Record(record.payload, feed, key, received) if is_fresh else None


def _digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
