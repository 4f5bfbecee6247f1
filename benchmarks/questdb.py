"""QuestDB, the peer that `freshness.py` measures: a deduplicated table and a view of 1 s bars.

Runs from its Maven jar, on loopback, with its data in a home of its own. There is no Kafka in front
of it: trades arrive as lines over HTTP, and each request is committed as a whole.
"""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode

import numpy as np
from load import Sent, Target
from numpy.typing import NDArray
from pipelines import Pipeline

from truetape.host.errors import TransientError
from truetape.host.jars import Coordinate, _jars
from truetape.host.java import find_java
from truetape.stack.server import LOOPBACK, free_port

JAR = Coordinate("org.questdb", "questdb", "9.3.1")
_CREATE = (
    "CREATE TABLE trades (ts TIMESTAMP, symbol SYMBOL, venue SYMBOL, id LONG, price DOUBLE, "
    "size DOUBLE) TIMESTAMP(ts) PARTITION BY DAY WAL DEDUP UPSERT KEYS(ts, symbol, id)",
    "CREATE MATERIALIZED VIEW bars AS (SELECT ts, symbol, first(price) open, max(price) high, "
    "min(price) low, last(price) close, sum(size) volume, count() trades FROM trades "
    "SAMPLE BY 1s) PARTITION BY DAY",
)
_COUNT = "SELECT sum(trades) FROM bars"
_CONF = """\
http.net.bind.to={address}
http.min.enabled=false
line.tcp.enabled=false
line.udp.enabled=false
pg.enabled=false
telemetry.enabled=false
"""
_READY_WITHIN_S = 60.0
_STOPPED_WITHIN_S = 30.0
_ANSWER_WITHIN_S = 10.0
_ASK_AGAIN_S = 0.2
_POLL_S = 0.01
"""A reader asks again so long after each answer; half of it is in every measured wait."""


class QuestDb(Pipeline):
    """A QuestDB whose view a reader polls; a trade is visible once the view has counted it."""

    name = "questdb"

    @property
    def target(self) -> Target:
        """Return its table, which the generator writes to."""
        return Target("ilp", self._address, "trades")

    @property
    def pid(self) -> int:
        """Return the process of the server."""
        return self._process.pid

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start the server, create table and view, and stop it after the block."""
        self._address = f"{LOOPBACK}:{free_port()}"
        with self._server():
            self._wait_until_ready()
            for statement in _CREATE:
                self._ask(statement)
            yield

    def watched(self) -> "Reader":
        """Poll the view while the block runs."""
        self._reader = Reader(self._address)
        return self._reader

    def check(self) -> None:
        """Raise TransientError with the end of the log if the server has ended."""
        code = self._process.poll()
        if code is not None:
            tail = self._log.read_text(errors="replace")[-2_000:]
            raise TransientError(f"QuestDB ended with code {code}:\n{tail}")

    def acknowledged(self, sent: Sent) -> dict[int, NDArray[np.float64]]:
        """Return when the view had counted each trade: they are committed as they were sent."""
        return {part: self._reader.seen(len(times)) for part, times in sent.items()}

    def counted(self, sent: Sent) -> int:  # noqa: ARG002 - the view holds nothing else
        """Return the number of trades in all bars of the view."""
        return _count(self._ask(_COUNT))

    @property
    def _log(self) -> Any:
        return self.settings.home / "questdb.log"

    @contextmanager
    def _server(self) -> Iterator[None]:
        home = self.settings.home / "questdb"
        (home / "conf").mkdir(parents=True)
        (home / "conf" / "server.conf").write_text(_CONF.format(address=self._address))
        (jar,) = _jars(self.settings.cache, (JAR,), (), print)
        command = [str(find_java()), f"-Xmx{self.settings.spark_driver_memory}", "-p", str(jar)]
        command += ["-m", "io.questdb/io.questdb.ServerMain", "-d", str(home)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            yield
        finally:
            self._process.terminate()
            try:
                self._process.wait(_STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline:
            self.check()
            try:
                self._ask("SELECT 1")
                return
            except (OSError, HTTPException):
                time.sleep(_ASK_AGAIN_S)
        raise TransientError(f"no QuestDB within {_READY_WITHIN_S:.0f} s; see {self._log}")

    def _ask(self, statement: str) -> dict[str, Any]:
        connection = HTTPConnection(self._address, timeout=_ANSWER_WITHIN_S)
        try:
            return _answer(connection, statement)
        finally:
            connection.close()


class Reader:
    """Asks a view how many trades it has counted, again and again, on one connection."""

    def __init__(self, address: str) -> None:
        self._connection = HTTPConnection(address, timeout=_ANSWER_WITHIN_S)
        self._instants: list[int] = []
        self._counts: list[int] = []
        self._failure: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="questdb-reader", daemon=True)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._connection.close()

    def seen(self, count: int) -> NDArray[np.float64]:
        """Return when each of `count` trades was first seen; infinite for those that were not."""
        if self._failure is not None:
            raise TransientError(f"cannot read the view: {self._failure}") from self._failure
        polls = min(len(self._instants), len(self._counts))
        counts = np.maximum.accumulate(np.array([0, *self._counts[:polls]], np.int64))
        instants = np.array([0.0, *self._instants[:polls], np.inf])
        result: NDArray[np.float64] = instants[np.searchsorted(counts, np.arange(1, count + 1))]
        return result

    def _run(self) -> None:
        try:
            while not self._stop.wait(_POLL_S):
                count = _count(_answer(self._connection, _COUNT))
                self._instants.append(time.time_ns())
                self._counts.append(count)
        except (OSError, HTTPException, TransientError) as error:
            self._failure = error


def _answer(connection: HTTPConnection, statement: str) -> dict[str, Any]:
    connection.request("GET", f"/exec?{urlencode({'query': statement})}")
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    if "error" in answer:
        raise TransientError(f"QuestDB refused {statement!r}: {answer['error']}")
    return answer


def _count(answer: dict[str, Any]) -> int:
    ((count,),) = answer["dataset"]
    return count or 0
