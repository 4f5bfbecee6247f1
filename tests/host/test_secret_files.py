"""Secrets are private files, made once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from truetape.host import secret_files
from truetape.host.errors import ConfigError
from truetape.host.settings import Secret


@pytest.fixture
def _open_umask() -> Iterator[None]:
    """A umask that would let everybody read new files."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_open_umask")
def test_a_secret_is_private_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "token"

    secret_files.write(path, Secret("s3cret"))

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_generated_secret_stays_the_same(tmp_path: Path) -> None:
    first = secret_files.ensure(tmp_path / "token").reveal()

    assert secret_files.ensure(tmp_path / "token").reveal() == first
    assert len(first) == 64


def test_two_generated_secrets_differ(tmp_path: Path) -> None:
    one, other = (secret_files.ensure(tmp_path / name).reveal() for name in ("one", "other"))

    assert one != other


def test_a_missing_file_reads_as_no_secret(tmp_path: Path) -> None:
    assert secret_files.read(tmp_path / "token") is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644], ids=oct)
def test_a_secret_that_other_users_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("s3cret")
    path.chmod(mode)

    with pytest.raises(ConfigError, match="chmod 600") as error:
        secret_files.read(path)
    assert "s3cret" not in str(error.value)


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.touch(mode=0o600)

    with pytest.raises(ConfigError, match="is empty"):
        secret_files.read(path)


def test_an_interrupted_write_does_not_block_the_next_one(tmp_path: Path) -> None:
    (tmp_path / ".token.abc.new").write_text("half")

    secret_files.write(tmp_path / "token", Secret("whole"))

    secret = secret_files.read(tmp_path / "token")
    assert secret is not None
    assert secret.reveal() == "whole"


@pytest.mark.parametrize(("mode", "is_accepted"), [(0o440, True), (0o640, True), (0o444, False)])
def test_a_group_may_read_a_secret_that_root_mounted(
    mode: int, is_accepted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Kubernetes does it for a pod with an `fsGroup`."""
    path = tmp_path / "token"
    path.write_text("s3cret")
    path.chmod(mode)
    monkeypatch.setattr(secret_files, "_ROOT", os.geteuid())
    monkeypatch.setattr(os, "geteuid", lambda: secret_files._ROOT + 1)

    if is_accepted:
        secret_files.require_private(path)
        return
    with pytest.raises(ConfigError, match="make it private"):
        secret_files.require_private(path)


def test_a_secret_below_a_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"file/token cannot be read \(Not a directory\)"):
        secret_files.read(tmp_path / "file" / "token")
