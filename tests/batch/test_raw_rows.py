"""Rows of `raw` for records of feeds with and without a readable contract."""

from pathlib import Path

import pyarrow as pa
import pytest

from support.build import NOON
from truetape.batch.raw_rows import all_contracts, raw_rows
from truetape.feeds.decoder import Limits
from truetape.host.errors import ConfigError
from truetape.host.resources import OWN_SCHEMAS
from truetape.kernel.columns import RECORDS


def records(feed: str) -> pa.Table:
    trade = (
        '{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"1",'
        f'"event_time":{NOON},"price":"100","size":"5"}}'
    )
    row = {
        "topic": "trades", "partition": 0, "offset": 0, "record_ms": NOON // 1_000_000,
        "value": trade.encode(), "feed": feed, "received_ns": NOON,
    }  # fmt: skip
    return pa.Table.from_pylist([row], schema=RECORDS)


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own contract that cannot be read."""
    file = tmp_path / "feeds/acme-broken.yaml"
    file.parent.mkdir()
    file.write_text("feed: acme-broken\nversion: none\n")
    monkeypatch.setenv(OWN_SCHEMAS, str(tmp_path))
    return file


@pytest.mark.usefixtures("broken")
def test_a_broken_contract_leaves_other_feeds_alone() -> None:
    rows = raw_rows(records("truetape"), all_contracts(), Limits()).to_pylist()

    assert [len(row["events"]) for row in rows] == [1]


def test_a_record_of_a_broken_contract_is_an_error_and_not_rejected(broken: Path) -> None:
    """It waits in Kafka for the contract to be mended."""
    with pytest.raises(ConfigError, match=str(broken)):
        raw_rows(records("acme-broken"), all_contracts(), Limits())


def test_a_record_without_a_contract_is_one_rejection() -> None:
    (row,) = raw_rows(records("nobody"), all_contracts(), Limits()).to_pylist()

    assert not row["events"]
    assert row["rejected"][0]["reason"] == "unknown-feed"
