"""What the archive brought in: bounded steps through `raw`, and the rules of the feed suite."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from support.build import NOON, SECOND, cancel, trade
from support.session_lake import RAW, Row, raw_row
from truetape.host.errors import ConfigError
from truetape.quality import feed_tables
from truetape.quality.expectations import validate
from truetape.quality.feed_frames import feed_frames
from truetape.quality.feed_tables import FeedTables, read_feed
from truetape.quality.results import RuleResult
from truetape.quality.suite import load_suite


def record(offset: int, partition: int = 0, **changes: object) -> Row:
    """Build a record of `raw` with one trade, received a second after it."""
    event = trade(
        id=str(offset),
        event_ns=NOON + offset * SECOND,
        received_ns=NOON + (offset + 1) * SECOND,
        symbol=f"S{partition}",
    )
    return raw_row(event) | {"offset": offset, "partition": partition} | changes


def rejection(offset: int, reason: str, **changes: object) -> Row:
    """Build a record that was rejected."""
    refused = [{"index": 0, "reason": reason, "detail": ""}]
    return record(offset, **changes) | {"events": [], "rejected": refused, "rejections": 1}


def put(lake: str, rows: list[Row]) -> None:
    """Append records to `raw`."""
    table = pa.Table.from_pylist(rows, schema=RAW)
    write_deltalake(f"{lake}/raw", table, mode="append", partition_by=["date"])


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path)


def broken(tables: FeedTables) -> dict[str, RuleResult]:
    """Check and return the rules that do not hold."""
    results = validate(load_suite("feed"), feed_frames(tables), {})
    return {one.rule: one for one in results if not one.passed}


def test_good_records_break_no_rule(lake: str) -> None:
    amendment = raw_row(cancel("1", NOON + 30 * SECOND, symbol="S0")) | {"offset": 20}
    put(lake, [record(offset) for offset in range(20)] + [amendment])

    tables = read_feed(lake, "trades", 4, {})

    assert (tables.records.num_rows, tables.ends, tables.behind) == (21, {("trades", 0): 20}, 0)
    assert broken(tables) == {}


def test_a_check_begins_where_the_last_one_ended(lake: str) -> None:
    put(lake, [record(offset, partition) for offset in range(5) for partition in (0, 1)])
    first = read_feed(lake, "trades", 2, {})
    put(lake, [record(5), record(6)])

    second = read_feed(lake, "trades", 2, first.ends)
    third = read_feed(lake, "trades", 2, second.ends)

    assert first.ends == {("trades", 0): 4, ("trades", 1): 4}
    assert (second.records["offset"].to_pylist(), second.ends) == (
        [5, 6],
        {("trades", 0): 6, ("trades", 1): 4},
    )
    assert (third.records.num_rows, third.ends, third.coverage) == (
        0,
        {("trades", 0): 6, ("trades", 1): 4},
        (),
    )
    assert broken(third) == {}


def test_a_check_is_bounded_and_reports_how_many_records_are_left(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_tables, "MAX_RECORDS", 8)
    put(lake, [record(offset, partition) for offset in range(100, 110) for partition in (0, 1)])

    first = read_feed(lake, "trades", 2, {})
    second = read_feed(lake, "trades", 2, first.ends)

    assert (first.records.num_rows, first.ends, first.behind) == (
        8,
        {("trades", 0): 103, ("trades", 1): 103},
        12,
    )
    assert (second.records.num_rows, second.ends, second.behind) == (
        8,
        {("trades", 0): 107, ("trades", 1): 107},
        4,
    )
    assert broken(first) == broken(second) == {}


def test_records_of_another_topic_are_not_checked(lake: str) -> None:
    put(lake, [record(0), record(1, topic="other")])

    assert read_feed(lake, "trades", 1, {}).records["offset"].to_pylist() == [0]


def test_a_hole_between_two_checks_is_reported(lake: str) -> None:
    put(lake, [record(0)])
    first = read_feed(lake, "trades", 1, {})
    put(lake, [record(2)])

    found = broken(read_feed(lake, "trades", 1, first.ends))

    assert (
        found["F2"].examples[0] | {"first": "1", "last": "2", "holes": "1"}
        == (found["F2"].examples[0])
    )


def times(event_ns: int, received_ns: int) -> Callable[[Row], Row]:
    def change(row: Row) -> Row:
        (event,) = row["events"]
        return row | {"events": [event | {"event_ns": event_ns, "received_ns": received_ns}]}

    return change


@pytest.mark.parametrize(
    ("rows", "rules", "severity"),
    [
        pytest.param([record(1) | {"events": []}], {"F1"}, "gate", id="no outcome"),
        pytest.param([record(2)], {"F2"}, "gate", id="a hole"),
        pytest.param([record(1), record(1)], {"F2", "F6"}, "gate", id="archived twice"),
        pytest.param([rejection(1, "not-json")], {"F3"}, "flag", id="half is rejected"),
        pytest.param(
            [rejection(1, "missing-field")], {"F3", "F4"}, "flag", id="the format has changed"
        ),
        pytest.param(
            [times(NOON, NOON + 120 * SECOND)(record(1))], {"F5"}, "flag", id="two minutes late"
        ),
        pytest.param(
            [times(10**15, 10**15)(record(1))], {"F7"}, "flag", id="microseconds as nanoseconds"
        ),
        pytest.param([rejection(1, "unknown-feed", feed=None)], {"F3", "F4"}, "flag", id="no feed"),
    ],
)
def test_a_broken_rule_is_reported(
    lake: str, rows: list[Row], rules: set[str], severity: str
) -> None:
    put(lake, [record(0), *rows])

    found = broken(read_feed(lake, "trades", 1, {}))

    assert set(found) == rules
    assert found[min(rules)].severity == severity


def test_heartbeats_do_not_count_as_rejected_trades(lake: str) -> None:
    put(lake, [record(0), *(rejection(offset, "not-a-trade") for offset in range(1, 50))])

    assert broken(read_feed(lake, "trades", 1, {})) == {}


def test_a_trade_delivered_again_is_a_duplicate(lake: str) -> None:
    again = record(1) | {"events": record(0)["events"]}
    put(lake, [record(0), again])

    (found,) = broken(read_feed(lake, "trades", 1, {})).values()

    assert (found.rule, found.examples[0]["duplicate_share"]) == ("F6", "0.5")


def test_without_a_raw_table_the_error_names_the_command_to_run(lake: str) -> None:
    with pytest.raises(ConfigError, match="run `truetape archive` first"):
        read_feed(lake, "trades", 1, {})
