"""The pipelines behind Kafka that `freshness.py` measures, started and observed in the same way.

Each says when a reader could first see each trade. `questdb.py` has the one without Kafka.
"""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import ClassVar

import numpy as np
from influxdb_client import InfluxDBClient
from load import Sent, Target, kafka_target
from numpy.typing import NDArray
from watch import BatchEnds

from truetape.host.errors import TransientError
from truetape.host.jars import spark_jars
from truetape.host.settings import Settings
from truetape.market.resolution import Resolution
from truetape.serving.backends import open_store
from truetape.tour.speed_process import SpeedProcess

_SERVED = "] served "
_FIELD = re.compile(r"\b(batch|acked_ns|offsets)=(\S+)")
_BUCKET = "naive"
_READY_WITHIN_S = 180.0
_STOPPED_WITHIN_S = 10.0
_POLL_S = 0.3


class Pipeline(ABC):
    """A pipeline with its own topic and home (`settings`)."""

    name: ClassVar[str]
    """The engine, as `--engines` names it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def target(self) -> Target:
        """Return where its trades come from; known while it runs."""
        return kafka_target(self.settings)

    @property
    @abstractmethod
    def pid(self) -> int:
        """Return its process, the root of all others that it started."""

    @abstractmethod
    def running(self) -> AbstractContextManager[None]:
        """Start the pipeline, wait until it reads, and stop it after the block."""

    @abstractmethod
    def watched(self) -> AbstractContextManager[object]:
        """Collect what `acknowledged` needs while the block runs; it costs processor time."""

    @abstractmethod
    def check(self) -> None:
        """Raise TransientError if the pipeline has ended."""

    @abstractmethod
    def acknowledged(self, sent: Sent) -> dict[int, NDArray[np.float64]]:
        """Return when each trade's bar was stored, by partition and offset, in nanoseconds;
        infinite for trades whose bar is not.
        """

    @abstractmethod
    def counted(self, sent: Sent) -> int | None:
        """Return the number of trades in all bars of these trades' time; None if it may be wrong
        by design.
        """


class InBatches(Pipeline):
    """A pipeline that reads Kafka in batches, each acknowledged as a whole."""

    @abstractmethod
    def ends(self) -> dict[int, dict[int, int]]:
        """Return for each batch the next offset after it, by partition."""

    @abstractmethod
    def acks(self) -> dict[int, int]:
        """Return for each batch when InfluxDB had acknowledged all of it, in nanoseconds."""

    def acknowledged(self, sent: Sent) -> dict[int, NDArray[np.float64]]:
        """Give each trade the acknowledgement of the first batch that covers its offset."""
        ends, acks = self.ends(), self.acks()
        batches = sorted(ends)
        instants = np.array([float(acks.get(batch, np.inf)) for batch in batches] + [np.inf])
        acked = {}
        for part, times in sent.items():
            limits = np.array([ends[batch].get(part, 0) for batch in batches], dtype=np.int64)
            acked[part] = instants[np.searchsorted(limits, np.arange(len(times)), side="right")]
        return acked


class SpeedLayer(InBatches):
    """truetape's own speed layer, as `truetape replay` and Airflow start it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(dataclasses.replace(settings, speed_engine=self.name))

    @property
    def pid(self) -> int:
        """Return the driver's process."""
        return self._driver.process.pid

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start the driver, wait for its first heartbeat, and stop it after the block."""
        self._driver = SpeedProcess.start(self.settings)
        try:
            self._driver.wait_until_ready(_READY_WITHIN_S)
            yield
        finally:
            self._driver.stop(_STOPPED_WITHIN_S)

    def check(self) -> None:
        """Raise TransientError if the driver has ended."""
        self._driver.check()

    def watched(self) -> AbstractContextManager[object]:
        """Collect nothing: the driver's log has all."""
        return nullcontext()

    def ends(self) -> dict[int, dict[int, int]]:
        """Return the offsets after each batch, from the driver's log."""
        return {
            int(served["batch"]): {
                int(part): int(offset)
                for part, _, offset in (
                    pair.partition(":") for pair in served["offsets"].split(",")
                )
            }
            for served in self._served()
        }

    def acks(self) -> dict[int, int]:
        """Return the instant of the last write of each batch, from the driver's log."""
        return {int(served["batch"]): int(served["acked_ns"]) for served in self._served()}

    def _served(self) -> list[dict[str, str]]:
        text = self._driver.log.read_text(errors="replace")
        lines = (line for line in text.splitlines() if _SERVED in line)
        return [dict(_FIELD.findall(line)) for line in lines]

    def counted(self, sent: Sent) -> int:
        """Add up the trades of the served 1s bars."""
        first = min(int(times[0]) for times in sent.values() if len(times))
        last = max(int(times[-1]) for times in sent.values() if len(times))
        with closing(open_store(self.settings)) as store:
            bars = store.read(Resolution.SECOND, Resolution.SECOND.start_of(first), last + 1)
            return sum(bar.trades for bar in bars)


class OnSpark(SpeedLayer):
    """The engine `spark`."""

    name = "spark"


class Direct(SpeedLayer):
    """The engine `direct`."""

    name = "direct"


class Naive(InBatches):
    """The pipeline of `naive_pipeline.py`, in its own process."""

    name = "naive"

    @property
    def checkpoint(self) -> Path:
        """Where Spark keeps the offsets of its batches."""
        return self.settings.home / "checkpoint"

    @property
    def pid(self) -> int:
        """Return the driver's process."""
        return self._process.pid

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start the pipeline, wait until its query runs, and stop it after the block."""
        _make_bucket(self.settings)
        program = str(Path(__file__).with_name("naive_pipeline.py"))
        self.settings.home.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, program, json.dumps(self._wanted())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
            yield
        finally:
            self._stop()

    def check(self) -> None:
        """Raise TransientError with the end of the log if the pipeline has ended."""
        code = self._process.poll()
        if code is not None:
            tail = self._log.read_text(errors="replace")[-2_000:]
            raise TransientError(f"the naive pipeline ended with code {code}:\n{tail}")

    def watched(self) -> BatchEnds:
        """Copy the offsets of its batches while the block runs."""
        self._ends = BatchEnds(self.checkpoint, self.settings.topic)
        return self._ends

    def ends(self) -> dict[int, dict[int, int]]:
        """Return the offsets after each batch, from Spark's checkpoint."""
        return self._ends.read()

    def acks(self) -> dict[int, int]:
        """Return the instant after the last write of each batch, as the pipeline printed it."""
        return {line["batch"]: line["acked_ns"] for line in self._said() if "batch" in line}

    def counted(self, sent: Sent) -> None:
        """Return None: whether its bars are right is not measured."""

    @property
    def _log(self) -> Path:
        return self.settings.home / "naive.log"

    def _wanted(self) -> dict[str, str]:
        return {
            "kafka": self.settings.kafka,
            "topic": self.settings.topic,
            "influx": self.settings.influx_url,
            "org": self.settings.influx_org,
            "token_file": str(self.settings.influx_token_file),
            "bucket": _BUCKET,
            "checkpoint": str(self.checkpoint),
            "memory": self.settings.spark_driver_memory,
            "jars": ",".join(str(jar) for jar in spark_jars(self.settings.cache)),
        }

    def _said(self) -> list[dict[str, int]]:
        lines = self._log.read_text(errors="replace").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}\n")]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        while not any("state" in line for line in self._said()):
            self.check()
            if time.monotonic() > deadline:
                raise TransientError(f"no naive pipeline within {_READY_WITHIN_S:.0f} s")
            time.sleep(_POLL_S)

    def _stop(self) -> None:
        """Kill Python and Java together; there is nothing to save."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _make_bucket(settings: Settings) -> None:
    token = settings.influx_token_file.read_text().strip()
    with InfluxDBClient(settings.influx_url, token=token, org=settings.influx_org) as client:
        buckets = client.buckets_api()
        if buckets.find_bucket_by_name(_BUCKET) is None:
            buckets.create_bucket(bucket_name=_BUCKET, org=settings.influx_org)
