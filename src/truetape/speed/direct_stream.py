"""The engine `direct`: one process reads Kafka, counts, merges and writes. Needs no Java."""

import threading
from collections.abc import Callable
from queue import Empty, Full, Queue

import pyarrow as pa

from truetape.broker.record_reader import RecordFollower
from truetape.host.errors import TransientError, TruetapeError
from truetape.host.settings import Settings
from truetape.speed.counting import Counting, CountingRules
from truetape.speed.position import SpeedPosition
from truetape.speed.writer import SpeedWriter

ENOUGH_RECORDS, PAUSE_S = 50, 0.75
"""A batch waits so long for so many records: on a quiet topic, each batch costs more than it is
worth."""
END_WITHIN_S = 30.0
_POLL_S = 0.2


class DirectStream:
    """Two threads that overlap: one reads and counts, the other merges and writes."""

    def __init__(self, settings: Settings, rules: CountingRules) -> None:
        self._settings = settings
        self._rules = rules
        self._is_stopping = threading.Event()
        self._counted: Queue[pa.Table] = Queue(maxsize=1)
        self._threads: list[threading.Thread] = []
        self._failure: Exception | None = None

    def start(self) -> str:
        """Return the name of the application: there is none."""
        return ""

    def begin(self, position: SpeedPosition, writer: SpeedWriter) -> None:
        """Start to read at the horizons of a position."""
        follower = RecordFollower(
            self._settings.kafka,
            self._settings.topic,
            {int(part): offset for part, offset in position.horizons.items()},
            most=self._settings.speed_max_trades_per_batch,
            enough=ENOUGH_RECORDS,
            pause_s=max(PAUSE_S, self._settings.speed_trigger_s),
        )
        self._run("reader", lambda: self._read(follower))
        self._run("writer", lambda: self._write(writer))

    def check(self) -> None:
        """Raise what ended a thread by itself."""
        if isinstance(self._failure, TruetapeError):
            raise self._failure
        if self._failure is not None:
            raise TransientError(f"the stream ended: {self._failure!r}") from self._failure

    def stop(self) -> None:
        """End both threads; what was read and not written is left to the next driver."""
        self._is_stopping.set()
        for thread in self._threads:
            thread.join(END_WITHIN_S)

    def close(self) -> None:
        """End both threads."""
        self.stop()

    def _run(self, name: str, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - `check` raises it in the driver
                self._failure = self._failure or error
                self._is_stopping.set()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _read(self, follower: RecordFollower) -> None:
        counting = Counting(self._rules)
        try:
            while not self._is_stopping.is_set():
                records = follower.poll(_POLL_S)
                if records is not None:
                    self._hand_over(counting.counted(records))
        finally:
            follower.close()

    def _hand_over(self, counted: pa.Table) -> None:
        while not self._is_stopping.is_set():
            try:
                self._counted.put(counted, timeout=_POLL_S)
            except Full:
                continue
            return

    def _write(self, writer: SpeedWriter) -> None:
        while not self._is_stopping.is_set():
            try:
                counted = self._counted.get(timeout=_POLL_S)
            except Empty:
                continue
            writer(lambda counted=counted: counted)  # type: ignore[misc]
