"""Reports on disk, the trend over them, and their metrics."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from support.build import NOON
from support.serving import own_buckets
from truetape.host.errors import ConfigError
from truetape.quality import report as reports
from truetape.quality.baselines import SymbolFacts
from truetape.quality.metrics import points
from truetape.quality.report import Report, ReportKind, new_run, newest, read, sessions, write
from truetape.quality.results import RuleResult
from truetape.quality.suite import Severity
from truetape.quality.trend import RuleTrend, earlier_reports, history, trend
from truetape.serving.embedded import EmbeddedStore

FRIDAY = date(2024, 11, 22)


def result(
    rule: str = "T4", rows: int = 1_000, unexpected: int = 0, **values: object
) -> RuleResult:
    """Build a result of the trades suite."""
    boring: dict[str, object] = {
        "suite": "trades", "rule": rule, "severity": Severity.GATE, "meaning": "a rule",
        "frame": "trades", "passed": not unexpected, "rows": rows, "unexpected": unexpected,
    }  # fmt: skip
    return RuleResult(**(boring | values))  # type: ignore[arg-type]


def report(
    *results: RuleResult, day: date = FRIDAY, now_ns: int = NOON, **values: object
) -> Report:
    """Build a report of a session's gate."""
    boring: dict[str, object] = {
        "run": new_run(now_ns), "kind": ReportKind.GATE, "venue": "XNYS", "session": day,
        "results": results, "suites": {"trades": 1},
    }  # fmt: skip
    return Report(**(boring | values))  # type: ignore[arg-type]


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    rows = ({"symbol": "IBM", "offset": "17"}, {"symbol": "KO", "offset": "18"})
    written = report(
        result(unexpected=2, examples=rows, observed="something"),
        result("T5", error="no such column", passed=False),
        fingerprint="abc",
        rows={"trades": 1_000},
        seconds={"load": 12.5},
        peak_mb=450,
        facts={"IBM": SymbolFacts(17, 0.25, 100.5), "KO": SymbolFacts(1, 1.0, None)},
        offsets={"trades/0": 12},
    )

    path = write(tmp_path, written)

    assert path == tmp_path / "quality" / "XNYS" / "2024-11-22" / f"{written.run}.json"
    assert read(path) == written
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_file_starts_with_the_rules_that_closed_the_gate(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        report(result("T4", unexpected=1), result("T9", unexpected=1, severity=Severity.FLAG)),
    )

    head = json.loads(path.read_text())
    assert list(head)[:4] == ["format", "verdict", "closed_by", "flags"]
    assert (head["verdict"], head["closed_by"], head["flags"]) == ("closed", ["T4"], ["T9"])


def test_run_names_sort_by_time_and_contain_the_start_time() -> None:
    runs = [new_run(NOON + micros * 1_000) for micros in (0, 1, 999_999, 1_000_000)]

    assert runs == sorted(runs)
    assert report(run=runs[2]).checked_ns == NOON + 999_999_000


def test_the_newest_report_of_a_kind_is_found(tmp_path: Path) -> None:
    write(tmp_path, report(now_ns=NOON))
    second = report(now_ns=NOON + 10**9)
    write(tmp_path, second)
    served = report(now_ns=NOON + 2 * 10**9, kind=ReportKind.SERVED)
    write(tmp_path, served)

    assert newest(tmp_path, ReportKind.GATE, "XNYS", FRIDAY) == second
    assert newest(tmp_path, ReportKind.SERVED, "XNYS", FRIDAY) == served
    assert newest(tmp_path, ReportKind.FEED, None, None) is None


def test_feed_reports_have_a_folder_of_their_own(tmp_path: Path) -> None:
    path = write(tmp_path, report(kind=ReportKind.FEED, venue=None, session=None))

    assert path.parent == tmp_path / "quality" / "feed"


def test_only_the_newest_reports_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_REPORTS", 3)
    kept = [write(tmp_path, report(now_ns=NOON + number * 10**9)) for number in range(5)]

    assert [path.exists() for path in kept] == [False, False, True, True, True]


@pytest.mark.parametrize("text", ["", "{}", '{"format": 2}', "[1]"])
def test_a_file_that_is_no_report_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "some.json"
    path.write_text(text)

    with pytest.raises(ConfigError, match=r"some.json is damaged"):
        read(path)


def test_earlier_sessions_end_before_the_date_and_start_with_the_oldest(tmp_path: Path) -> None:
    for day in (20, 21, 22, 25):
        write(tmp_path, report(day=FRIDAY.replace(day=day), facts=fact(day)))
    write(tmp_path, report(day=FRIDAY.replace(day=21), now_ns=NOON + 10**9, facts=fact(99)))

    earlier = earlier_reports(tmp_path, "XNYS", FRIDAY)

    assert [one.session for one in earlier] == [FRIDAY.replace(day=20), FRIDAY.replace(day=21)]
    assert [facts.trades for facts in history(earlier)["IBM"]] == [20, 99]
    assert [day.day for day in sessions(tmp_path, "XNYS")] == [25, 22, 21, 20]


def fact(trades: int) -> dict[str, SymbolFacts]:
    return {"IBM": SymbolFacts(trades, 0.0, None)}


def test_a_trend_uses_twenty_sessions_at_most(tmp_path: Path) -> None:
    for day in range(1, 29):
        write(tmp_path, report(day=FRIDAY.replace(day=day)))

    found = earlier_reports(tmp_path, "XNYS", FRIDAY.replace(day=28))

    assert [one.session and one.session.day for one in found] == list(range(8, 28))


@pytest.mark.parametrize(
    ("now", "unusual"),
    [
        pytest.param(6, False, id="three times the usual"),
        pytest.param(7, True, id="more than that"),
    ],
)
def test_a_rule_is_unusual_above_three_times_its_median(now: int, unusual: bool) -> None:
    """Before, 1, 2, 2 and 40 of a thousand: the median is 2."""
    earlier = [report(result(unexpected=count)) for count in (1, 2, 2, 40)]
    earlier += [report(result(error="could not be read", passed=False)), report(result("T5"))]

    (found,) = trend(report(result(unexpected=now)), earlier)

    assert found == RuleTrend("trades", "T4", now / 1_000, 0.002, 0.04, (0.001, 0.002, 0.002, 0.04))
    assert found.is_unusual == unusual


def test_one_row_in_a_hundred_thousand_is_not_unusual() -> None:
    earlier = [report(result(rows=100_000))] * 5

    (found,) = trend(report(result(rows=100_000, unexpected=1)), earlier)

    assert not found.is_unusual


def test_the_first_session_has_no_trend() -> None:
    (found,) = trend(report(result(unexpected=500)), [])

    assert (found.usual, found.sessions, found.is_unusual) == (None, 0, False)


def test_each_rule_becomes_a_point_that_the_store_returns(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "bars.sqlite", own_buckets("history"))
    found = report(result(unexpected=3), result("T5"))
    feeds = replace(found, kind=ReportKind.FEED, venue=None, session=None)

    for one in (found, feeds):
        assert store.write_points(points(one)).rejected == ()

    back = list(store.read_points("quality", NOON, NOON + 1))
    assert [(point.tags["venue"], point.tags["rule"]) for point in back] == [
        ("XNYS", "T4"), ("all", "T4"), ("XNYS", "T5"), ("all", "T5"),
    ]  # fmt: skip
    assert back[0].fields == {
        "session": "2024-11-22", "run": found.run, "kind": "gate", "severity": "gate",
        "passed": False, "rows": 1_000, "unexpected": 3, "share": 0.003,
    }  # fmt: skip
    store.close()
