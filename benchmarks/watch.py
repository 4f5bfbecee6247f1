"""Which offsets each micro-batch read: copied from a Spark checkpoint while the query runs."""

import json
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_POLL_S = 0.5


class BatchEnds:
    """Reads `offsets/N` of a checkpoint as they appear, since Spark keeps the last 100 only.

    A file is written before its batch runs, and renamed into place whole.
    """

    def __init__(self, checkpoint: Path, topic: str) -> None:
        self._folder = checkpoint / "offsets"
        self._topic = topic
        self._ends: dict[int, dict[int, int]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="batch-ends", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def read(self) -> dict[int, dict[int, int]]:
        """Return for each batch the next offset after it, by partition."""
        with self._lock:
            self._copy_new()
            return dict(self._ends)

    def _run(self) -> None:
        while not self._stop.wait(_POLL_S):
            with self._lock:
                self._copy_new()

    def _copy_new(self) -> None:
        if not self._folder.is_dir():
            return
        for file in self._folder.iterdir():
            if file.name.isdecimal() and int(file.name) not in self._ends:
                by_topic = json.loads(file.read_text().splitlines()[-1])
                ends = by_topic.get(self._topic, {})
                self._ends[int(file.name)] = {int(part): end for part, end in ends.items()}
