"""Trades for the freshness benchmark: starts `LoadGenerator.java`, reads its event times."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from truetape.host.errors import TransientError
from truetape.host.jars import kafka_jars
from truetape.host.java import find_java
from truetape.host.settings import Settings

SYMBOLS = 50
_SOURCE = Path(__file__).with_name("LoadGenerator.java")

Sent = Mapping[int, NDArray[np.int64]]
"""The event times of all sent trades in nanoseconds: by partition, then by offset."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where trades go: `kind` "kafka" to a topic, "ilp" to a table of QuestDB."""

    kind: str
    address: str
    name: str


@dataclass(frozen=True, slots=True)
class Load:
    """A steady stream of trades; `folder` receives the event times by offset."""

    target: Target
    rate: int
    seconds: int
    folder: Path

    @contextmanager
    def running(self, cache: Path) -> Iterator["subprocess.Popen[bytes]"]:
        """Start the generator; it is killed when the block ends before it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        class_path = ":".join(str(jar) for jar in kafka_jars(cache))
        target = (self.target.kind, self.target.address, self.target.name)
        numbers = (str(self.rate), str(self.seconds), str(SYMBOLS))
        command = [str(find_java()), "-Xmx256m", "-Djava.net.preferIPv4Stack=true"]
        command += ["-cp", class_path, str(_SOURCE), *target, *numbers, str(self.folder)]
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ)
            )
            try:
                yield process
            finally:
                process.kill()
                process.wait()

    def sent(self) -> Sent:
        """Return the event times. Raise TransientError if the generator did not finish."""
        files = {int(file.name.split("-")[1]): file for file in self.folder.glob("partition-*")}
        if not files:
            log = (self.folder / "log").read_text()[-2_000:]
            raise TransientError(f"the load generator sent nothing; its log ends:\n{log}")
        return {
            part: np.fromfile(file, dtype=">i8").astype(np.int64)
            for part, file in sorted(files.items())
        }


def kafka_target(settings: Settings) -> Target:
    """Return the topic of the settings as a target."""
    return Target("kafka", settings.kafka, settings.topic)
