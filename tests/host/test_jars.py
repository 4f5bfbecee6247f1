"""Jars: resolved once, whole or not at all, and never in a second version beside pyspark's."""

import threading
from pathlib import Path

import pytest

from truetape.host import jars
from truetape.host.errors import TransientError
from truetape.host.jars import Coordinate, folder_of, module_xml, without_shipped

SHIPPED = ["scala-library-2.13.18.jar", "slf4j-api-2.0.17.jar", "kafka-x-tools-1.0.jar"]


def retrieved(root: Path, module: str, file: str) -> Path:
    """A jar as Ivy lays it out for us: one folder a module."""
    path = root / module / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize(
    ("module", "file", "expected"),
    [
        ("scala-library", "scala-library-2.13.16.jar", False),
        ("slf4j-api", "slf4j-api-1.7.36.jar", False),
        ("kafka-clients", "kafka-clients-3.9.2.jar", True),
        ("spark-sql-kafka-0-10_2.13", "spark-sql-kafka-0-10_2.13-4.2.0.jar", True),
        ("slf4j", "slf4j-9.jar", True),
        ("kafka-x", "kafka-x-1.0.jar", True),
    ],
    ids=["other version", "older", "not shipped", "digits in name", "prefix", "prefix of tools"],
)
def test_a_module_that_pyspark_ships_is_left_out(
    module: str, file: str, expected: bool, tmp_path: Path
) -> None:
    jar = retrieved(tmp_path, module, file)

    assert without_shipped([jar], SHIPPED) == ([jar] if expected else [])


def test_another_version_is_another_folder(tmp_path: Path) -> None:
    first, second = (folder_of(tmp_path, [Coordinate("g", "a", v)]) for v in ("1", "2"))

    assert first != second
    assert first.parent == second.parent == tmp_path


def test_the_ivy_module_asks_for_the_coordinates() -> None:
    xml = module_xml([Coordinate("org.apache.kafka", "kafka_2.13", "4.4.0")])

    assert '<dependency org="org.apache.kafka" name="kafka_2.13" rev="4.4.0"' in xml


class _Ivy:
    """Stands in for Ivy: retrieves one jar, or fails half-way."""

    def __init__(self) -> None:
        self.runs = 0
        self.fails = False

    def __call__(self, work: Path, _wanted: tuple[Coordinate, ...]) -> None:
        self.runs += 1
        retrieved(work / "found", "kafka_2.13", "kafka_2.13-4.4.0.jar")
        if self.fails:
            raise TransientError("the network went away")


@pytest.fixture
def ivy(monkeypatch: pytest.MonkeyPatch) -> _Ivy:
    """Replace the one call that needs Java and a network."""
    fake = _Ivy()
    monkeypatch.setattr(jars, "_run_ivy", fake)
    return fake


def silent(_: str) -> None:
    """Report nothing."""


def test_jars_are_resolved_once(ivy: _Ivy, tmp_path: Path) -> None:
    first = jars.kafka_jars(tmp_path, silent)
    second = jars.kafka_jars(tmp_path, silent)

    assert [jar.name for jar in first] == ["kafka_2.13-4.4.0.jar"]
    assert second == first
    assert ivy.runs == 1


def test_a_failed_resolution_leaves_no_folder_and_is_repeated(ivy: _Ivy, tmp_path: Path) -> None:
    ivy.fails = True
    with pytest.raises(TransientError):
        jars.kafka_jars(tmp_path, silent)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]

    ivy.fails = False
    assert len(jars.kafka_jars(tmp_path, silent)) == 1


def test_callers_at_the_same_time_resolve_together_once(ivy: _Ivy, tmp_path: Path) -> None:
    answers: list[list[Path]] = []
    gate = threading.Barrier(4)

    def call() -> None:
        gate.wait()
        answers.append(jars.kafka_jars(tmp_path, silent))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert ivy.runs == 1
    assert len(answers) == 4
    assert all(answer == answers[0] for answer in answers)
