"""The engine `direct`: one process reads Kafka, counts, merges and writes. Needs no Java."""

import threading
from collections.abc import Callable

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
_READ_RECORDS, _READ_PAUSE_S = 50, 0.005
"""The reader hands over so many records at once, unless they do not come within the pause."""


class DirectStream:
    """Two threads that overlap: one reads, the other counts, merges and writes.

    A batch is whatever was read while the batch before it was written, so that no trade waits for
    more than one batch.
    """

    def __init__(self, settings: Settings, rules: CountingRules) -> None:
        self._settings = settings
        self._rules = rules
        self._is_stopping = threading.Event()
        self._read_records = _Buffer(settings.speed_max_trades_per_batch)
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
            enough=_READ_RECORDS,
            pause_s=_READ_PAUSE_S,
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
        self._end()
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
                self._end()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _end(self) -> None:
        self._is_stopping.set()
        self._read_records.close()

    def _read(self, follower: RecordFollower) -> None:
        try:
            while not self._is_stopping.is_set():
                records = follower.poll(_POLL_S)
                if records is not None:
                    self._read_records.put(records)
        finally:
            follower.close()

    def _write(self, writer: SpeedWriter) -> None:
        counting = Counting(self._rules)
        pause_s = max(PAUSE_S, self._settings.speed_trigger_s)
        while (records := self._read_records.take(ENOUGH_RECORDS, pause_s)) is not None:
            writer(lambda records=records: counting.counted(records))  # type: ignore[misc]


class _Buffer:
    """Records that were read and not counted yet; holds about `most` of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tables: list[pa.Table] = []
        self._count = 0
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, records: pa.Table) -> None:
        """Add records, once there is room."""
        with self._changed:
            self._changed.wait_for(lambda: self._count < self._most or self._is_closed)
            self._tables.append(records)
            self._count += records.num_rows
            self._changed.notify_all()

    def take(self, enough: int, pause_s: float) -> pa.Table | None:
        """Wait for enough records, or for `pause_s` after the first; None once it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._tables or self._is_closed)
            self._changed.wait_for(lambda: self._count >= enough or self._is_closed, pause_s)
            if self._is_closed:
                return None
            tables, self._tables, self._count = self._tables, [], 0
            self._changed.notify_all()
        return pa.concat_tables(tables)

    def close(self) -> None:
        """Wake everybody who waits."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
