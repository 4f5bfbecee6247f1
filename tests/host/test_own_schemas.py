"""A user's own feeds, profiles and venues come before ours, in every process."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from truetape.batch.spark.package import package
from truetape.host import resources
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings

VENUES = """version: 1
venues:
  ACME: {name: Acme, zone: UTC}
  KRAKEN: {name: Kraken of ours, zone: UTC}
"""
CONTRACT = """feed: acme
version: 3
source: ours
valid_from: 2026-01-01
ids: none
csv: {columns: [t, p, q]}
trade:
  symbol: $key
  venue: {const: ACME}
  event_time: {path: t, shape: epoch-s}
  price: p
  size: q
samples:
  - payload: '1795185070,1,2'
    native:
      - '{"kind":"rejected","reason":"missing-field","index":0}'
"""
PROFILE = "profile: acme\nversion: 1\nignores_conditions: true\n"
READ = """
import json
from truetape.feeds.contract import contract_names, load_contract
from truetape.host.profiles import load, names
from truetape.host.venues import venues
print(json.dumps([
    load_contract("acme").version, "kraken" in contract_names(), load("acme").id, "sip" in names(),
    venues()["ACME"].name, venues()["KRAKEN"].name, venues()["XNYS"].zone,
]))
"""
EXPECTED = [3, True, "acme", True, "Acme", "Kraken of ours", "America/New_York"]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    for place, text in (
        ("venues.yaml", VENUES), ("feeds/acme.yaml", CONTRACT), ("eligibility/acme.yaml", PROFILE),
    ):  # fmt: skip
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(text)
    (tmp_path / "notes.txt").write_text("no schema")
    return tmp_path


def read(environment: dict[str, str]) -> object:
    done = subprocess.run(
        [sys.executable, "-c", READ], env=os.environ | environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_own_schemas_are_read_beside_ours_and_replace_those_of_the_same_name(own: Path) -> None:
    assert read({"TRUETAPE_SCHEMAS": str(own)}) == EXPECTED


def test_the_first_folder_wins(own: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    first = tmp_path_factory.mktemp("first")
    (first / "feeds").mkdir()
    (first / "feeds/acme.yaml").write_text(CONTRACT.replace("version: 3", "version: 4"))

    found = read({"TRUETAPE_SCHEMAS": f"{first}{os.pathsep}{own}"})

    assert found == [4, *EXPECTED[1:]]


def test_a_package_that_is_shipped_has_them_and_reads_no_folder_of_the_host(
    own: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(resources.OWN_SCHEMAS, str(own))
    shipped = package(tmp_path_factory.mktemp("cache"))

    with zipfile.ZipFile(shipped) as archive:
        names = [name for name in archive.namelist() if "own-schemas" in name]
    assert len(names) == 3
    gone = {"TRUETAPE_SCHEMAS": "/nowhere/at/all", "PYTHONPATH": str(shipped)}
    assert read(gone) == EXPECTED


def test_settings_name_the_folders_absolutely_for_child_processes(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own.parent)
    settings = Settings.from_env({"TRUETAPE_SCHEMAS": own.name})

    assert settings.to_env()["TRUETAPE_SCHEMAS"] == str(own)


def test_a_folder_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(resources.OWN_SCHEMAS, "/nowhere/at/all")

    with pytest.raises(ConfigError, match="TRUETAPE_SCHEMAS names '/nowhere/at/all'"):
        resources.schema_folders()
