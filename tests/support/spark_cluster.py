"""A standalone Spark cluster in tests: a master and two workers as processes on loopback.

The workers' machine is this one, but their Python has only the packages that executors need.
"""

import json
import os
import subprocess
import urllib.request
import venv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from support.wait import until
from truetape.batch.spark.executors import PACKAGES
from truetape.host import process
from truetape.host.java import find_java
from truetape.host.process import Program, Running, log_tail
from truetape.stack.server import LOOPBACK, free_port

CORES, MEMORY = 2, "3g"
"""Cores and memory of a worker: enough for the speed layer and a job at the same time."""
_STARTED_WITHIN_S = 90.0
_ENDED_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster: its address for jobs, and what each worker stores of them."""

    master: str
    state_url: str
    folder: Path

    def state(self) -> dict[str, Any]:
        """Return the master's report on its workers and applications."""
        with urllib.request.urlopen(self.state_url, timeout=10) as answer:  # noqa: S310 - its own
            found: dict[str, Any] = json.load(answer)
        return found

    def applications(self, state: str) -> set[str]:
        """Return the names of the "active" or "completed" applications."""
        return {one["name"] for one in self.state()[f"{state}apps"]}

    def shipped(self) -> set[str]:
        """Return the file names of the Python packages that executors received."""
        return {path.name for path in self.folder.glob("worker-*/work/app-*/*/*.zip")}


@contextmanager
def two_workers(folder: Path, conf: Path | None = None) -> Iterator[Cluster]:
    """Start a master and two workers, and stop them with every process that they have started.

    `conf` is the folder of their spark-defaults.conf.
    """
    port, web = free_port(), free_port()
    cluster = Cluster(f"spark://{LOOPBACK}:{port}", f"http://{LOOPBACK}:{web}/json/", folder)
    python = bare_python(folder / "python")
    started: list[Running] = []

    def start(name: str, role: str, *arguments: str) -> None:
        words = ("org.apache.spark.deploy." + role, "--host", LOOPBACK, *arguments)
        started.append(process.start(_program(folder / name, name, python, words, conf)))

    try:
        start("master", "master.Master", "--port", str(port), "--webui-port", str(web))
        until(lambda: _answers(cluster), _STARTED_WITHIN_S)
        for name in ("worker-1", "worker-2"):
            room = ("--cores", str(CORES), "--memory", MEMORY, "--webui-port", str(free_port()))
            start(name, "worker.Worker", *room, "--work-dir", str(folder / name / "work"),
                  cluster.master)  # fmt: skip
        until(lambda: cluster.state()["aliveworkers"] == 2, _STARTED_WITHIN_S)
        yield cluster
    finally:
        for running in reversed(started):
            process.stop(running, within_s=_ENDED_WITHIN_S)


def bare_python(folder: Path) -> Path:
    """Make a Python of this version with the packages of executors and what these need, and nothing
    else; return its PATH.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    (library,) = folder.glob("lib/python*/site-packages")
    for path in _parts(PACKAGES):
        (library / path.name).symlink_to(path)
    known = subprocess.run(
        [folder / "bin" / "python3", "-c", "import truetape"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert "No module named 'truetape'" in known.stderr
    return folder / "bin"


def _parts(packages: Iterable[str]) -> set[Path]:
    """Return the files and folders of packages and of all that they require."""
    left, known, parts = list(packages), set[str](), set[Path]()
    while left:
        name = left.pop()
        if name in known:
            continue
        known.add(name)
        found = metadata.distribution(name)
        root = Path(str(found.locate_file("")))
        parts |= {root / file.parts[0] for file in found.files or () if ".." not in file.parts}
        wanted = [Requirement(text) for text in found.requires or ()]
        left += [one.name for one in wanted if one.marker is None or one.marker.evaluate()]
    return parts


def _program(
    folder: Path, name: str, python: Path, words: tuple[str, ...], conf: Path | None
) -> Program:
    spec = find_spec("pyspark")
    assert spec is not None
    assert spec.origin is not None
    home = Path(spec.origin).parent
    env = {
        "PATH": f"{python}:{find_java().parent}:{os.defpath}",
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": LOOPBACK,
        "SPARK_LOCAL_DIRS": str(folder / "scratch"),
    }
    if conf is not None:
        env["SPARK_CONF_DIR"] = str(conf)
    return Program(
        name=name,
        address=LOOPBACK,
        command=(str(home / "bin" / "spark-class"), *words),
        env=env,
        cwd=folder,
        log=folder / f"{name}.log",
        pid_file=folder / f"{name}.json",
    )


def _answers(cluster: Cluster) -> bool:
    try:
        return bool(cluster.state()["status"] == "ALIVE")
    except (OSError, ValueError):  # a page for people is all it has while it starts
        log = cluster.folder / "master" / "master.log"
        assert process.find(log.with_suffix(".json")) is not None, log_tail(log)
        return False
