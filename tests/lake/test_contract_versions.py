"""Contract versions: which of them decoded a session's records, and what is said about a mix."""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from truetape.host.calendars import session
from truetape.host.venues import venues
from truetape.lake.contract_versions import DecodedBy, decoded_by
from truetape.lake.schemas import RAW, TRADES

FRIDAY = session(venues()["XNYS"], date(2026, 11, 20))
INSIDE, BEFORE = FRIDAY.start_ns + 1, FRIDAY.start_ns - 1


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path / "lake")


def put(lake: str, *records: tuple[str, int | None, int]) -> None:
    """Write records of `raw` as (feed, version, event time), and one trade of each feed."""
    raw = [
        {
            "topic": "trades", "partition": 0, "offset": offset, "feed": feed,
            "contract_version": version, "first_event_ns": at, "last_event_ns": at,
        }
        for offset, (feed, version, at) in enumerate(records)
    ]  # fmt: skip
    feeds = {feed for feed, _, at in records if at == INSIDE}
    trades = [{"venue": "XNYS", "session": FRIDAY.date, "feed": feed} for feed in sorted(feeds)]
    for name, rows, schema in (("raw", raw, RAW), ("trades", trades, TRADES)):
        write_deltalake(f"{lake}/{name}", pa.Table.from_pylist(rows, schema=schema), mode="append")


def test_records_of_the_present_version_alone_are_uniform(lake: str) -> None:
    put(lake, ("truetape", 1, INSIDE), ("truetape", 1, INSIDE))

    (feed,) = decoded_by(lake, FRIDAY)

    assert feed == DecodedBy("truetape", {1: 2}, present=1)
    assert feed.is_uniform


def test_a_session_of_two_versions_is_named_with_its_counts(lake: str) -> None:
    put(lake, ("truetape", 1, INSIDE), ("truetape", 2, INSIDE), ("truetape", 2, INSIDE))

    (feed,) = decoded_by(lake, FRIDAY)

    assert not feed.is_uniform
    assert str(feed) == (
        "feed truetape has contract version 1 now; the archive decoded records by version "
        "1 (1), 2 (2)"
    )


@pytest.mark.parametrize("version", [2, None], ids=["another version", "no version"])
def test_a_session_decoded_by_another_version_than_the_present_one_is_no_less_named(
    lake: str, version: int | None
) -> None:
    put(lake, ("truetape", version, INSIDE))

    assert [feed.is_uniform for feed in decoded_by(lake, FRIDAY)] == [False]


def test_records_outside_the_session_and_of_feeds_without_trades_do_not_count(lake: str) -> None:
    put(lake, ("truetape", 1, INSIDE), ("truetape", 7, BEFORE), ("alpaca", 7, BEFORE))

    assert decoded_by(lake, FRIDAY) == [DecodedBy("truetape", {1: 1}, present=1)]


def test_a_feed_without_a_contract_is_named(lake: str) -> None:
    put(lake, ("nobody", 1, INSIDE))

    (feed,) = decoded_by(lake, FRIDAY)

    assert str(feed) == (
        "feed nobody has no contract now; the archive decoded records by version 1 (1)"
    )


def test_a_lake_without_sessions_has_no_versions(lake: str) -> None:
    assert decoded_by(lake, FRIDAY) == []


def test_a_session_without_trades_has_no_versions(lake: str) -> None:
    """A recompute of a day without trades ended with a traceback."""
    put(lake, ("truetape", 1, INSIDE))
    saturday = session(venues()["XNYS"], date(2026, 11, 21))

    assert decoded_by(lake, saturday) == []
