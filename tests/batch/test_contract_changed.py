"""A contract that changes between an archive run and a recompute: used as decoded, and said."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from support.loop import own_settings, send
from truetape.batch import raw_rows as raw_rows_module
from truetape.batch.jobs import archive_once
from truetape.cli.recompute import recompute as recompute_verb
from truetape.feeds.contract import Contract, load_contract
from truetape.feeds.records import Record
from truetape.host.settings import Settings
from truetape.lake.delta import read_rows
from truetape.lake.tables import Table

pytestmark = pytest.mark.real

RECEIVED = 1_772_550_000_000_000_000
"""2026-03-03T15:00:00Z."""


def trade(number: int) -> Record:
    payload = (
        f'{{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"{number}",'
        f'"event_time":"2026-03-03T15:00:0{number}Z","price":"100","size":"10"}}'
    )
    return Record(payload.encode(), "truetape", "IBM", RECEIVED + 10_000_000_000)


def next_version(feed: str) -> Contract:
    contract = load_contract(feed)
    return contract.model_copy(update={"version": contract.version + 1})


def recompute(own: Settings) -> str:
    words = ["--venue", "XNYS", "--session", "2026-03-03"]
    done = CliRunner(env=own.to_env()).invoke(recompute_verb, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_recompute_over_two_versions_of_a_contract_says_so_each_time(
    stack: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = own_settings(stack, tmp_path)
    version = load_contract("truetape").version
    send(own, [trade(1), trade(2)])
    archive_once(own)
    assert "contract version" not in recompute(own)
    with monkeypatch.context() as patch:
        patch.setattr(raw_rows_module, "load_contract", next_version)
        send(own, [trade(3)])
        archive_once(own)

    first, second = recompute(own), recompute(own)

    said = (
        f"  feed truetape has contract version {version} now; the archive decoded records by "
        f"version {version} (2), {version + 1} (1); "
        'see "A contract that changed" in docs/RUNBOOK.md'
    )
    assert said in first.splitlines()
    assert said in second.splitlines()
    assert {row["id"] for row in read_rows(own.lake, Table.TRADES)} == {"1", "2", "3"}
