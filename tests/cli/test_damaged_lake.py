"""Every verb and page that reads a damaged table says so in one line, never with a traceback."""

import shutil
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import truetape
from support.session_lake import FRIDAY, good_events, lake_session
from truetape.cli.main import main
from truetape.console.app import create
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.lake.bars_lineage import record_basis
from truetape.lake.delta import append_rows
from truetape.lake.tables import Table
from truetape.publish.publication import PublicationRequest, publish
from truetape.serving.backends import open_store

DAY = ["--venue", "XNYS", "--session", "2024-11-22"]
MINUTE = "2024-11-22T14:30:00Z"
VERBS = {
    Table.BARS: [
        ["verify", *DAY],
        ["quality", *DAY],
        ["quality", "served", *DAY],
    ],
    Table.TRADES: [
        ["quality", *DAY],
        ["export", "IBM", "--trades", "--from", "2024-11-22", "--output", "t.csv"],
    ],
    Table.RAW: [
        ["explain", "IBM", MINUTE, "--venue", "XNYS"],
        ["quality", *DAY],
    ],
    Table.PUBLICATIONS: [
        ["verify", *DAY],
        ["quality", "served", *DAY],
        ["explain", "IBM", MINUTE, "--venue", "XNYS"],
    ],
    Table.BARS_LINEAGE: [["verify", *DAY]],
    Table.DRIFT: [["drift"], ["drift", "--session", "2024-11-22"]],
}
PAGES = {
    Table.RAW: [f"/market/bar?symbol=IBM&venue=XNYS&start_ns={FRIDAY.open_ns}"],
    Table.DRIFT: ["/drift", "/drift/session?venue=XNYS&session=2024-11-22"],
}


def remove_files(table: Path) -> None:
    for path in table.rglob("*.parquet"):
        path.unlink()


def empty_newest_commit(table: Path) -> None:
    max((table / "_delta_log").glob("*.json")).write_bytes(b"")


def cut_newest_commit(table: Path) -> None:
    newest = max((table / "_delta_log").glob("*.json"))
    newest.write_bytes(newest.read_bytes()[:100])


DAMAGES = [remove_files, empty_newest_commit, cut_newest_commit]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a session that was recomputed, published, and has drift."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings.from_env(environment_of(home))
    lake_session(good_events(), profile=settings.profile).write(settings.lake)
    record_basis(settings.lake, FRIDAY, ("raw", 0), None)
    with closing(open_store(settings)) as store:
        request = PublicationRequest(FRIDAY, "tests", "because", time.time_ns(), 0.0)
        publish(settings.lake, store, request)
    place = {"venue": "XNYS", "session": FRIDAY.date, "rev": 1, "symbol": "IBM"}
    append_rows(
        settings.lake,
        Table.DRIFT,
        [
            place
            | {
                "resolution": "1m",
                "start_ns": FRIDAY.open_ns,
                "field": "trades",
                "change": "change",
                "causes": [],
            }
        ],
    )
    return home


@pytest.fixture
def home(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "home"))


def environment_of(home: Path) -> dict[str, str]:
    return {
        "TRUETAPE_HOME": str(home),
        "TRUETAPE_LAKE": str(home / "lake"),
        "TRUETAPE_STORE": "embedded",
        "TRUETAPE_BUCKET_SET": "history",
        "TRUETAPE_KAFKA": "127.0.0.1:9",
    }


def use(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment_of(home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(home)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize(
    ("table", "words"),
    [
        pytest.param(table, words, id=f"{table}-{' '.join(words[:2])}")
        for table, verbs in VERBS.items()
        for words in verbs
    ],
)
def test_a_verb_names_the_damaged_table_in_one_line(  # noqa: PLR0917 - a table, and the fixtures
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    table: Table,
    words: list[str],
    damage: Callable[[Path], None],
) -> None:
    use(home, monkeypatch)
    damage(home / "lake" / table)
    monkeypatch.setattr(sys, "argv", ["truetape", *words])

    with pytest.raises(SystemExit) as ended:
        main()

    *_, last = capsys.readouterr().err.splitlines()
    assert ended.value.code == 78
    assert last.startswith("truetape: ")
    assert f"{home}/lake/{table} is damaged: " in last


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize(
    ("table", "path"), [(table, path) for table, paths in PAGES.items() for path in paths]
)
def test_a_page_of_the_console_names_the_damaged_table(
    home: Path, table: Table, path: str, damage: Callable[[Path], None]
) -> None:
    damage(home / "lake" / table)
    console = TestClient(create(lambda: Settings.from_env(environment_of(home)), lambda: None))

    answer = console.get(path)

    assert answer.status_code == 400
    assert f"{home}/lake/{table} is damaged: " in answer.json()["detail"]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_program_that_reads_trades_gets_the_same_error(
    home: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    use(home, monkeypatch)
    damage(home / "lake" / Table.TRADES)

    with pytest.raises(ConfigError, match="/lake/trades is damaged: "):
        truetape.read_trades("IBM", start="2024-11-22", end="2024-11-23")
