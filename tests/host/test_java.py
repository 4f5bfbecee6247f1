"""Java is found and its version understood before anything needs it."""

from pathlib import Path

import pytest

from truetape.host.errors import ConfigError
from truetape.host.java import find_java, java_version


def fake_java(folder: Path, says: str) -> Path:
    """A `java` that only prints a version."""
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    java.chmod(0o755)
    return java


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ('openjdk version "25-ea" 2025-09-16', 25),
        ('Picked up JAVA_TOOL_OPTIONS: -Dx=1\nopenjdk version "17.0.1"', 17),
        ("command not found", None),
    ],
    ids=["17", "8", "no minor", "early access", "after a notice", "nonsense"],
)
def test_the_release_is_read_from_the_output_of_java_version(
    text: str, release: int | None
) -> None:
    assert java_version(text) == release


def test_without_java_the_error_has_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigError, match="apt-get install openjdk-17-jre-headless"):
        find_java()


def test_an_old_java_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    fake_java(tmp_path, 'openjdk version "11.0.2"')

    with pytest.raises(ConfigError, match="is Java 11; truetape needs 17"):
        find_java()


def test_java_home_wins_over_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    java = fake_java(tmp_path / "bin", 'openjdk version "21.0.1"')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    assert find_java() == java
