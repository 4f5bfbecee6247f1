"""A home is its user's alone: an open one is closed or refused, and new files are private."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from truetape.host import log, private_home
from truetape.host.errors import ConfigError
from truetape.host.private_home import (
    close_home,
    create_home,
    current_settings,
    files_for_others,
    make_new_files_private,
)
from truetape.host.settings import Settings

OPEN = [0o755, 0o750, 0o705, 0o777, 0o2775, 0o701]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("TRUETAPE_HOME", str(home))
    return home


@pytest.fixture
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def settings_of(home: Path, **variables: str) -> Settings:
    return Settings.from_env({"TRUETAPE_HOME": str(home), **variables})


@pytest.mark.parametrize("before", OPEN, ids=oct)
@pytest.mark.parametrize("inside", [None, "lake", "bars.sqlite", "backfills"])
def test_an_open_home_is_closed_and_that_is_logged_once(
    before: int,
    inside: str | None,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    home.mkdir()
    if inside:
        (home / inside).mkdir()
    home.chmod(before)
    log.configure()
    request.addfinalizer(structlog.reset_defaults)  # it holds the stderr of this test

    current_settings()
    assert mode(home) & 0o777 == 0o700
    assert f"{before:04o}" in capsys.readouterr().err
    current_settings()
    assert capsys.readouterr().err == ""


def test_a_missing_home_is_not_created_by_reading_settings(home: Path) -> None:
    current_settings()

    assert not home.exists()


@pytest.mark.usefixtures("_usual_umask")
def test_a_new_home_is_private_whatever_the_umask(home: Path) -> None:
    create_home(settings_of(home))

    assert mode(home) == 0o700


def test_a_home_of_another_user_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: home.stat().st_uid + 1)

    with pytest.raises(ConfigError, match=r"belongs to user \d+, .* run truetape as its owner"):
        current_settings()


def test_a_folder_that_holds_other_things_is_refused_and_left_open(home: Path) -> None:
    """A slip such as TRUETAPE_HOME=/srv must not lock everybody out of it."""
    (home / "somebody-s-data").mkdir(parents=True)
    home.chmod(0o755)

    with pytest.raises(ConfigError, match=r"does not look like a home .* chmod 700"):
        current_settings()
    assert mode(home) == 0o755


@pytest.mark.parametrize("inside", ["run", None])
def test_a_folder_like_tmp_is_refused_and_left_open(inside: str | None, home: Path) -> None:
    home.mkdir()
    if inside:
        (home / inside).mkdir()
    home.chmod(0o1777)

    with pytest.raises(ConfigError, match="does not look like a home"):
        current_settings()
    assert mode(home) == 0o1777


def test_a_file_in_place_of_a_home_is_refused(home: Path) -> None:
    home.touch()

    with pytest.raises(ConfigError, match="is no folder"):
        current_settings()


def test_a_home_below_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRUETAPE_HOME", str(tmp_path / "file" / "home"))

    with pytest.raises(ConfigError, match="cannot be used: Not a directory"):
        current_settings()


def test_a_read_only_home_is_left_to_those_who_can_write_to_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The console in a container mounts the volume of the others read-only."""
    home.mkdir()
    home.chmod(0o755)
    seen = os.statvfs(home)
    read_only = os.statvfs_result((*seen[:8], seen.f_flag | os.ST_RDONLY, seen.f_namemax))
    monkeypatch.setattr(os, "statvfs", lambda _: read_only)

    current_settings()
    assert mode(home) == 0o755


def test_a_volume_of_kubernetes_keeps_its_rights(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner is root and its group the pod's."""
    home.mkdir()
    home.chmod(0o2775)
    monkeypatch.setattr(os, "geteuid", lambda: home.stat().st_uid + 1)

    close_home(
        settings_of(home, TRUETAPE_SPEED_LAUNCHER="kubernetes", TRUETAPE_SPARK_MASTER="k8s://here")
    )
    assert mode(home) == 0o2775


@pytest.mark.usefixtures("_usual_umask")
def test_files_made_after_reading_settings_are_private(home: Path, tmp_path: Path) -> None:
    current_settings()

    (tmp_path / "file").touch()
    assert mode(tmp_path / "file") == 0o600


@pytest.mark.usefixtures("_usual_umask")
def test_what_a_user_asks_for_has_the_rights_that_the_user_s_umask_gives(tmp_path: Path) -> None:
    make_new_files_private()
    make_new_files_private()

    with files_for_others():
        (tmp_path / "export.csv").touch()
    (tmp_path / "report.json").touch()
    assert mode(tmp_path / "export.csv") == 0o644
    assert mode(tmp_path / "report.json") == 0o600


@pytest.mark.usefixtures("_usual_umask")
def test_a_lake_elsewhere_keeps_the_umask_of_whoever_starts_truetape(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may read a shared lake: its rights are its owner's affair."""
    monkeypatch.setenv("TRUETAPE_LAKE", str(tmp_path / "shared"))
    home.mkdir()
    home.chmod(0o755)

    current_settings()
    (tmp_path / "file").touch()
    assert (mode(tmp_path / "file"), mode(home)) == (0o644, 0o700)


def test_every_folder_of_the_code_is_a_trace_of_a_home() -> None:
    """Else an open home that has nothing but that folder would be refused."""
    source = Path(private_home.__file__).parents[1]
    named = {
        name
        for file in source.rglob("*.py")
        for name in re.findall(r'\.home / "([\w.]+)"', file.read_text("utf-8"))
    }

    assert len(named) > 5
    assert named <= private_home._TRACES


@pytest.mark.parametrize(("store", "is_refused"), [("influx", True), ("embedded", False)])
def test_an_open_token_is_refused_where_it_is_used(
    store: str, is_refused: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUETAPE_STORE", store)
    (home / "secrets").mkdir(parents=True)
    (home / "secrets" / "influx-token").touch(0o644)
    (home / "secrets" / "influx-token").chmod(0o644)

    if not is_refused:
        current_settings()
        return
    with pytest.raises(ConfigError, match="influx-token has mode 0644; make it private"):
        current_settings()
