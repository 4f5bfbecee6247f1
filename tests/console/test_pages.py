"""The console's pages without Airflow: what they show, what they reject, what a browser may do."""

import re
import runpy
from dataclasses import replace
from datetime import date
from pathlib import Path
from urllib.parse import quote

import pytest
from airflow.api_fastapi.core_api.datamodels.plugins import ExternalViewResponse
from fastapi import FastAPI, HTTPException
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from support.build import NOON, SECOND
from support.console_app import may_not_start, may_start
from support.drifting import DAY, publish_and_record
from support.html import Tags, text_of
from support.ledger import publication
from support.serving import bar, bars
from support.session_lake import FRIDAY, lake_session
from support.session_lake import NOON as LAKE_NOON
from support.speed_reference import counted_trades, provisional_bars, serve
from truetape.batch.backfill_request import FORM
from truetape.console import chart_script
from truetape.console.app import create
from truetape.console.security import guard
from truetape.drift.recorder import SpeedRules
from truetape.host.errors import (
    ConfigError,
    GateClosedError,
    LeaseLostError,
    NotThereError,
    TransientError,
    TruetapeError,
    VerificationError,
)
from truetape.host.settings import Settings
from truetape.lake.completeness import CountedRange
from truetape.lake.coverage import OffsetCount
from truetape.lake.generations import Generations
from truetape.lake.publications import record_publication
from truetape.market.ranges import Range
from truetape.market.resolution import Resolution
from truetape.market.trades import Trade
from truetape.quality import report as reports
from truetape.quality.dag_runs import DagRun, record_report
from truetape.quality.results import RuleResult
from truetape.quality.suite import Severity
from truetape.serving.store import BarStore
from truetape.stack.server import free_port

ROOT = Path(__file__).resolve().parents[2]
MINUTE = Resolution.MINUTE
HOSTILE = "<script>alert('x')</script>\"&"
RUN = DagRun("data_quality", "manual__2024-11-22T22:00:00+00:00")
PATHS = ["/", "/market", "/market/chart?symbol=IBM", f"/market/bar?symbol=IBM&start_ns={NOON}",
         "/drift", "/drift/session?venue=XNYS&session=2024-11-22", "/quality",
         "/quality/run?dag=d&run=r", "/backfill", "/runbook",
         "/files/lightweight-charts.js", "/files/console.css"]  # fmt: skip


SETTINGLESS = ("/files/", "/runbook")
"""Routes that are served with any settings."""


def test_a_page_has_no_inline_script_and_no_inline_style(client: TestClient) -> None:
    for path in PATHS:
        if path.startswith(("/files", "/market/chart")):
            continue
        tags = Tags(client.get(path).text).tags
        assert all("src" in attributes for tag, attributes in tags if tag == "script")
        assert not [1 for tag, attributes in tags if tag == "style" or "style" in attributes]
        assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]


def test_a_page_loads_nothing_from_another_host(client: TestClient) -> None:
    for path in PATHS[:2]:
        for _, attributes in Tags(client.get(path).text).tags:
            for name in ("src", "href", "action"):
                assert "//" not in (attributes.get(name) or "")


@pytest.mark.parametrize("path", PATHS)
def test_every_response_has_a_security_policy(client: TestClient, path: str) -> None:
    headers = client.get(path).headers

    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"


ANYTHING = {"symbol": "IBM", "start_ns": 1, "venue": "XNYS", "session": "2024-11-22", "run": "x",
            "dag": "batch_recompute_xnys"}  # fmt: skip


def routes(app: FastAPI) -> list[APIRoute]:
    return [route for route in app.routes if isinstance(route, APIRoute)]


def test_every_route_checks_access(here: Settings) -> None:
    def nobody() -> None:
        raise HTTPException(401, "Not authenticated")

    app = create(lambda: here, nobody)
    rejected_client = TestClient(app)

    assert len(app.routes) == len(routes(app)) > 5
    for route in routes(app):
        path = route.path.replace("{name}", "console.css")
        assert rejected_client.get(path, params=ANYTHING).status_code == 401


def test_without_airflow_s_security_every_request_is_rejected(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "airflow.api_fastapi.core_api.security", None)

    refused = TestClient(create(lambda: here, guard()))

    assert {refused.get(path).status_code for path in PATHS} == {503}


@pytest.mark.parametrize("takes", ["gzip, deflate", "identity"])
def test_the_chart_script_comes_from_an_installed_package(client: TestClient, takes: str) -> None:
    """The client decompresses the response, as a browser does."""
    answer = client.get("/files/lightweight-charts.js", headers={"Accept-Encoding": takes})

    assert answer.content == chart_script.script()
    assert answer.headers.get("content-encoding") == ("gzip" if "gzip" in takes else None)
    assert "max-age" in answer.headers["cache-control"]


def test_only_the_listed_files_are_served(client: TestClient) -> None:
    for name in ("app.py", "..%2fapp.py", "draw.js"):
        assert client.get(f"/files/{name}").status_code == 404


def test_the_overview_names_what_cannot_be_read_and_shows_the_rest(client: TestClient) -> None:
    text = Tags(client.get("/").text).text

    assert "No." in text
    assert "final ranges: no Kafka" in text
    assert "Cannot be read" in text


def test_a_bar_is_shown_with_its_trades(
    here: Settings, client: TestClient, store: BarStore
) -> None:
    lake_session(DAY).write(here.lake)
    publish_and_record(here.lake, store)

    params = {"symbol": "IBM", "start_ns": LAKE_NOON, "resolution": "1m"}
    text = Tags(client.get("/market/bar", params=params).text).text

    assert "Trades that made it (1)" in text
    assert "Left out (1)" in text
    assert "cancelled 2 by trades/0@" in text


def test_a_hostile_symbol_is_shown_as_text(client: TestClient, store: BarStore) -> None:
    store.write(MINUTE, [bar(symbol=HOSTILE)])

    page = client.get("/market", params={"symbol": HOSTILE})

    tags = Tags(page.text)
    assert "<script>alert" not in page.text
    assert HOSTILE in tags.text
    assert HOSTILE in [attributes.get("data-symbol") for _, attributes in tags.tags]
    answer = client.get("/market/chart", params={"symbol": HOSTILE}).json()
    assert len(answer["bars"]) == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/market/chart?symbol=NONE", 404),
        ("/market/bar?symbol=NONE&start_ns=1", 404),
        ("/market/chart?symbol=IBM&venue=MOON", 400),
        ("/market/chart?symbol=IBM&resolution=7m", 400),
        ("/market/bar?symbol=IBM&start_ns=-1", 400),
        ("/nowhere", 404),
    ],
    ids=["no symbol", "no bar", "no venue", "no resolution", "before 1970", "no page"],
)
def test_a_missing_bar_venue_or_page_is_a_client_error(
    client: TestClient, store: BarStore, path: str, status: int
) -> None:
    store.write(MINUTE, bars(1))

    answer = client.get(path, headers={"Accept": "text/html"})

    assert answer.status_code == status
    assert "Traceback" not in answer.text


HOSTILE_DAY = [
    replace(event, symbol=HOSTILE, **({"conditions": ("<b>",)} if isinstance(event, Trade) else {}))
    for event in DAY
    if event.symbol == "IBM"
]
"""A day whose symbol and conditions are markup, with a cancel, a correction and a late trade."""
HOSTILE_QUOTED = quote(HOSTILE, safe="")


@pytest.mark.parametrize(
    ("path", "shows"),
    [
        ("/", "XNYS 2024-11-22 1"),
        (f"/market?symbol={HOSTILE_QUOTED}", HOSTILE),
        (f"/market/bar?symbol={HOSTILE_QUOTED}&start_ns={LAKE_NOON}", f"{HOSTILE}, 1m from"),
        ("/drift", "XNYS 2024-11-22"),
        ("/drift/session?venue=XNYS&session=2024-11-22", f"{HOSTILE} 1m"),
        (
            f"/drift/session?venue=XNYS&session=2024-11-22&symbol={HOSTILE_QUOTED}",
            f"Line by line, {HOSTILE}",
        ),
    ],
)
def test_a_symbol_that_is_markup_is_shown_as_text_on_every_page(
    here: Settings, client: TestClient, store: BarStore, path: str, shows: str
) -> None:
    lake_session(HOSTILE_DAY, profile="all").write(here.lake)
    serve(store, provisional_bars(counted_trades(HOSTILE_DAY), "all"))
    publish_and_record(here.lake, store, SpeedRules("all", 60 * SECOND, frozenset({"truetape"})))

    page = client.get(path, headers={"Accept": "text/html"})

    assert page.status_code == 200
    assert shows in text_of(page.text)
    assert "<script>alert" not in page.text
    assert "<b>" not in page.text


def test_publisher_and_reason_are_shown_as_text(here: Settings, client: TestClient) -> None:
    record_publication(here.lake, publication(1, restores=1, who=HOSTILE, reason=HOSTILE))

    page = client.get("/").text

    assert text_of(page).count(HOSTILE) == 4  # in the table, and among the reverts
    assert "<script>alert" not in page


FAILURES = [
    (NotThereError, 404),
    (ConfigError, 400),
    (TransientError, 503),
    (LeaseLostError, 503),
    (VerificationError, 500),
    (GateClosedError, 500),
    (TruetapeError, 500),
]


def test_every_error_class_has_a_status() -> None:
    def below(kind: type[TruetapeError]) -> set[type[TruetapeError]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    listed = tuple(kind for kind, _ in FAILURES)
    assert {kind for kind in below(TruetapeError) if not issubclass(kind, listed[:-1])} == {
        listed[-1]
    }


@pytest.mark.parametrize(
    ("kind", "status"), FAILURES, ids=lambda value: getattr(value, "__name__", "")
)
def test_every_route_answers_an_error_with_its_message(
    here: Settings, kind: type[TruetapeError], status: int
) -> None:
    """The runbook is shown whatever the settings are: it says how to mend them."""

    def read_settings() -> Settings:
        raise kind(HOSTILE)

    app = create(read_settings, lambda: None)
    client = TestClient(app)
    paths = [route.path for route in routes(app) if not route.path.startswith(SETTINGLESS)]

    assert len(paths) > 10
    for path in paths:
        page = client.get(path, params=ANYTHING, headers={"Accept": "text/html"})
        assert page.status_code == status, path
        assert HOSTILE in Tags(page.text).text, path
        assert "<script>alert" not in page.text, path
        assert 'href="' + "../" * (path.count("/") - 1) + 'market"' in page.text, path
        data = client.get(path, params=ANYTHING, headers={"Accept": "application/json"})
        assert (data.status_code, data.json()) == (status, {"detail": HOSTILE}), path


def test_without_influxdb_every_page_that_needs_it_reports_that(here: Settings) -> None:
    token = here.home / "token"
    here.home.mkdir()
    token.write_text("a token that opens nothing")
    token.chmod(0o600)
    url = f"http://127.0.0.1:{free_port()}"
    away = replace(here, store="influx", influx_url=url, influx_token_file=token, write_attempts=1)
    client = TestClient(create(lambda: away, lambda: None, may_start))

    for path in ("/market", "/market/chart?symbol=IBM", "/market/bar?symbol=IBM&start_ns=1"):
        answer = client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 503, path
        assert url in Tags(answer.text).text, path
    for path in ("/drift", "/quality", "/quality/run?dag=d&run=r", "/backfill"):
        assert client.get(path).status_code == 200, path


def test_an_empty_session_field_means_no_session(client: TestClient, store: BarStore) -> None:
    """A browser sends the form with an empty session."""
    store.write(MINUTE, bars(1))

    assert client.get("/market?symbol=IBM&resolution=1m&session=").status_code == 200
    assert client.get("/market/chart?symbol=IBM&session=").status_code == 200
    assert "session" in client.get("/market?session=yesterday").json()["detail"]


def test_an_unreachable_server_is_a_503(here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> BarStore:
        raise TransientError("InfluxDB is away")

    monkeypatch.setattr("truetape.console.market.open_store", away)

    answer = TestClient(create(lambda: here, lambda: None)).get("/market")

    assert (answer.status_code, answer.json()) == (503, {"detail": "InfluxDB is away"})


def test_links_are_relative_to_the_console_root_at_any_depth(
    here: Settings, client: TestClient, store: BarStore
) -> None:
    lake_session(DAY).write(here.lake)
    publish_and_record(here.lake, store)

    deep = client.get(f"/market/bar?symbol=IBM&start_ns={LAKE_NOON}").text

    assert 'href="../market"' in deep
    assert 'href="market"' in client.get("/market").text


def test_drift_is_listed_by_session_and_cause(client: TestClient, drifted: None) -> None:
    text = " ".join(Tags(client.get("/drift").text).text.split())

    assert "Session Bars late correction cancel Volume XNYS 2024-11-22 6 2 2 2 20" in text


def test_the_drift_of_a_session_is_listed_down_to_the_trades(
    client: TestClient, drifted: None
) -> None:
    params = {"venue": "XNYS", "session": "2024-11-22", "symbol": "IBM", "cause": "cancel"}

    page = client.get("/drift/session", params=params).text

    rows = [line for line in page.split("<tr") if "market/bar?symbol=IBM" in line]
    assert rows
    assert all("<td>cancel</td>" in row for row in rows)
    assert any("<td>volume</td>" in row and ">-10</td><td>2</td>" in row for row in rows)


def test_the_chart_of_drift_has_a_part_for_each_cause_or_only_the_chosen_one(
    client: TestClient, drifted: None
) -> None:
    params = {"venue": "XNYS", "session": "2024-11-22"}

    of_all = client.get("/drift/session", params=params).text
    of_cancels = client.get("/drift/session", params=params | {"cause": "cancel"}).text

    assert {name for name in ("late", "cancel", "correction") if f", {name}: " in of_all} == {
        "late",
        "cancel",
        "correction",
    }
    assert ", cancel: " in of_cancels
    assert ", late: " not in of_cancels


def report_of(
    here: Settings, passed: bool, example: str = "", day: date = FRIDAY.date
) -> reports.Report:
    """Write the report of one gate rule."""
    result = RuleResult(
        "trades", "T5", Severity.GATE, "sizes are above 0", "trades", passed, rows=10,
        unexpected=0 if passed else 1, examples=({"symbol": example},) if example else (),
    )  # fmt: skip
    report = reports.Report(
        reports.new_run(NOON), reports.ReportKind.GATE, "XNYS", day, (result,), {"trades": 1}
    )
    reports.write(here.home, report)
    return report


def test_a_closed_gate_is_shown_with_its_rules_and_rows(here: Settings, client: TestClient) -> None:
    report = report_of(here, passed=False, example=HOSTILE)

    listed = Tags(client.get("/quality").text).text
    params = {"venue": "XNYS", "session": str(FRIDAY.date), "run": report.run}
    page = client.get("/quality/report", params=params).text

    assert "closed" in listed
    assert "T5" in listed
    assert "T5: sizes are above 0" in Tags(page).text
    assert "0 of 1 rules passed. The gate is closed." in Tags(page).text
    assert "1 of 10 rows break it" in Tags(page).text
    assert "<script>alert" not in page
    assert "XNYS 2024-11-22 was not published. Broken rules: T5" in Tags(client.get("/").text).text


def ruled(rule: str, severity: Severity, unexpected: int, error: str = "") -> RuleResult:
    """Return a result on ten trades."""
    passed = not unexpected and not error
    return RuleResult(
        "trades",
        rule,
        severity,
        f"meaning of {rule}",
        "trades",
        passed,
        10,
        unexpected,
        error=error,
    )


@pytest.fixture
def two_sessions(here: Settings) -> dict[str, str]:
    """Reports of two sessions; return the parameters of the second one's page."""
    run = ""
    for day, broken in ((date(2024, 11, 21), 1), (FRIDAY.date, 4)):
        results = (
            ruled("T1", Severity.GATE, 0),
            ruled("T2", Severity.GATE, broken),
            ruled("T3", Severity.FLAG, 2),
            ruled("T4", Severity.FLAG, 0, error="no such column"),
        )
        run = reports.new_run(NOON)
        made = reports.Report(run, reports.ReportKind.GATE, "XNYS", day, results, {"trades": 10})
        reports.write(here.home, made)
    return {"venue": "XNYS", "session": str(FRIDAY.date), "run": run}


def test_each_rule_has_its_result_and_those_of_earlier_sessions(
    client: TestClient, two_sessions: dict[str, str]
) -> None:
    page = client.get("/quality/report", params=two_sessions).text

    text = text_of(page)
    assert "1 of 4 rules passed. The gate is closed." in text
    assert "✗ failed T2 meaning of T2 4 of 10 rows break it" in text
    assert "! flagged T3 meaning of T3 2 of 10 rows break it" in text
    assert "? unchecked T4 meaning of T4 could not be checked: no such column" in text
    assert "✓ passed T1 meaning of T1 0 of 10 rows break it" in text
    lines = [tag for name, tag in Tags(page).tags if name == "polyline"]
    assert lines[0] == {"points": "0.0,14.5 90.0,1.0"}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"state": "broken"}, ["T2", "T4", "T3"]),
        ({"state": "flagged"}, ["T3"]),
        ({"state": "passed", "severity": "gate"}, ["T1"]),
        ({"severity": "flag", "suite": "trades"}, ["T4", "T3"]),
        ({"suite": "<script>"}, []),
    ],
    ids=str,
)
def test_rules_can_be_filtered(
    client: TestClient, two_sessions: dict[str, str], chosen: dict[str, str], expected: list[str]
) -> None:
    page = client.get("/quality/report", params=two_sessions | chosen).text

    shown = re.findall(r'<th scope="row">(T[0-9])</th>', page)
    assert sorted(shown) == sorted(expected)
    assert ("No rule of this report is like that." in page) == (not expected)


def test_the_reports_of_a_run_are_listed_even_those_whose_files_are_deleted(
    here: Settings, client: TestClient
) -> None:
    closed = report_of(here, passed=False)
    other = report_of(here, passed=True, day=date(2024, 11, 21))
    gone = report_of(here, passed=True, day=date(2024, 11, 20))
    report_of(here, passed=True, day=date(2024, 11, 19))
    for report in (closed, other, gone, closed):
        record_report(here.home, RUN, report)
    reports.path_of(here.home, gone).unlink()

    page = client.get("/quality/run", params={"dag": RUN.dag, "run": RUN.run}).text

    text = text_of(page)
    assert f"DAG {RUN.dag} Run {RUN.run}" in text
    before = "recomputed bars and trades, before publication"
    assert f"XNYS 2024-11-22 {before} 2026-11-20 17:00:00 UTC ✗ closed 0 of 1 T5 none" in text
    assert f"XNYS 2024-11-21 {before} 2026-11-20 17:00:00 UTC ✓ open 1 of 1 none none" in text
    assert f"Report {gone.run} of XNYS 2024-11-20 is kept no longer" in text
    assert "2024-11-19" not in text
    links = [str(tag["href"]) for name, tag in Tags(page).tags if name == "a" and "href" in tag]
    report_links = [link for link in links if "quality/report?" in link]
    assert [link.rpartition("run=")[2] for link in report_links] == [closed.run, other.run]
    assert client.get("/quality/" + report_links[0].removeprefix("../quality/")).status_code == 200


@pytest.mark.parametrize(
    "other", [DagRun("data_quality", "other"), DagRun("other", RUN.run)], ids=["run", "dag"]
)
def test_a_run_without_reports_says_that_there_are_none(
    here: Settings, client: TestClient, other: DagRun
) -> None:
    record_report(here.home, other, report_of(here, passed=True))

    answer = client.get("/quality/run", params={"dag": RUN.dag, "run": RUN.run})

    assert answer.status_code == 200
    assert "This run has no quality report." in text_of(answer.text)


@pytest.mark.parametrize(
    "hostile", [HOSTILE, "../../secrets/influx-token", "a\x00b", "{{ 7 * 7 }}"]
)
def test_a_hostile_run_id_is_shown_as_text(
    here: Settings, client: TestClient, hostile: str
) -> None:
    report = report_of(here, passed=True, example=HOSTILE)
    record_report(here.home, DagRun(hostile, hostile), report)

    page = client.get("/quality/run", params={"dag": hostile, "run": hostile})

    assert page.status_code == 200
    assert "<script>alert" not in page.text
    text = text_of(page.text)
    assert f"DAG {hostile} Run {hostile}" in text
    assert "XNYS 2024-11-22 recomputed bars" in text
    assert [path.name for path in here.home.iterdir()] == ["quality"]


def test_a_broken_record_of_a_report_is_named(here: Settings, client: TestClient) -> None:
    record_report(here.home, RUN, report_of(here, passed=True))
    (file,) = (here.home / "quality" / "runs").glob("*.json")
    file.write_text("[]")

    answer = client.get("/quality/run", params={"dag": RUN.dag, "run": RUN.run})

    assert answer.status_code == 400
    assert f"{file} is damaged: it is no entry of a report" in answer.json()["detail"]


def test_airflow_s_menu_has_the_console_and_each_run_has_its_reports() -> None:
    """In the form in which Airflow's API sends them to its pages."""
    plugin = runpy.run_path(str(ROOT / "plugins/truetape_plugin.py"))["TruetapePlugin"]

    views = [ExternalViewResponse.model_validate(view) for view in plugin.external_views]

    (menu,) = [view for view in views if view.destination == "nav"]
    assert (menu.name, menu.url_route, menu.category) == ("truetape", "truetape", None)
    (of_run,) = [view for view in views if view.destination == "dag_run"]
    assert of_run.href == "truetape/quality/run?dag={DAG_ID}&run={RUN_ID}&in_tab=true"
    assert len({view.url_route for view in views}) == len(views)
    assert not any(view.href.startswith("/") for view in views)


def test_a_failed_rule_is_shown_with_its_usual_share(here: Settings, client: TestClient) -> None:
    earlier = date(2024, 11, 21)
    report_of(here, passed=True, day=earlier)
    report = report_of(here, passed=False)
    params = {"venue": "XNYS", "session": str(FRIDAY.date), "run": report.run}

    text = Tags(client.get("/quality/report", params=params).text).text

    assert "10.000% of the rows, usually 0.000%" in text


@pytest.mark.parametrize("run", ["../../secrets/influx-token", "20261120T170000000000-abcdef", "x"])
def test_a_missing_report_is_a_404(client: TestClient, run: str) -> None:
    params = {"venue": "XNYS", "session": str(FRIDAY.date), "run": run}

    answer = client.get("/quality/report", params=params)

    assert answer.status_code == 404
    assert "no report" in answer.json()["detail"]


@pytest.mark.parametrize("icon", ["icon.svg", "icon-dark.svg"])
def test_the_icon_of_the_menu_is_an_image(client: TestClient, icon: str) -> None:
    answer = client.get(f"/files/{icon}")

    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.text.startswith("<svg")


def test_a_tab_of_airflow_s_has_no_menu_of_the_console(client: TestClient) -> None:
    alone = Tags(client.get("/quality/run?dag=d&run=r").text)
    in_tab = Tags(client.get("/quality/run?dag=d&run=r&in_tab=true").text)

    assert "nav" in {tag for tag, _ in alone.tags}
    assert "nav" not in {tag for tag, _ in in_tab.tags}


def test_whoever_may_not_start_runs_sees_no_form(here: Settings) -> None:
    client = TestClient(create(lambda: here, lambda: None, may_not_start))

    page = Tags(client.get("/backfill").text)

    assert not {"form", "button", "input"} & {tag for tag, _ in page.tags}
    assert "Your role may read plans, but not start runs." in page.text


def test_the_backfill_page_has_the_form_of_its_dag(client: TestClient) -> None:
    page = Tags(client.get("/backfill").text)

    names = {str(attributes.get("name")) for tag, attributes in page.tags if tag != "meta"}
    assert {*FORM} - {"dry_run"} <= names
    assert "no Kafka server accepts a connection" in page.text


def test_the_overview_names_a_partition_of_which_kafka_has_less_than_the_lake(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges = {0: (CountedRange(Range(0, 10), 10, 10, 0),), 1: (CountedRange(Range(0, 3), 3, 3, 0),)}
    counted = OffsetCount(Generations("trades", {}, {}), "raw", 1, {"trades": ranges})
    monkeypatch.setattr("truetape.broker.clients.require_listener", lambda _: None)
    monkeypatch.setattr("truetape.lake.coverage.last_count", lambda *_: counted)
    monkeypatch.setattr(
        "truetape.broker.offsets.available_offsets",
        lambda *_: {0: Range(0, 4), 1: Range(0, 3)},
    )

    overview = " ".join(Tags(client.get("/").text).text.split())

    assert (
        "Offsets reused: Kafka lost records of trades/0 and gives their offsets to others"
        in overview
    )
    assert "trades/1 and gives" not in overview


def test_partitions_list_the_offsets_that_the_lake_lacks(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lake has 0 to 4, 8 and 9; Kafka has 6 to 19."""
    ranges = {0: (CountedRange(Range(0, 5), 5, 5, 0), CountedRange(Range(8, 10), 2, 2, 0))}
    counted = OffsetCount(Generations("trades", {}, {}), "raw", 1, {"trades": ranges})
    monkeypatch.setattr("truetape.broker.clients.require_listener", lambda _: None)
    monkeypatch.setattr("truetape.lake.coverage.last_count", lambda *_: counted)
    monkeypatch.setattr(
        "truetape.broker.offsets.available_offsets",
        lambda *_: {0: Range(6, 20), 1: Range(0, 0)},
    )
    monkeypatch.setattr("truetape.broker.offsets.offsets_since", lambda *_: {0: 13, 1: 0})

    text = " ".join(Tags(client.get("/backfill").text).text.split())

    assert "0 6 to 19 7 2 1 10 1 nothing 0 0 0 0" in text
    overview = " ".join(Tags(client.get("/").text).text.split())
    assert "2 records are missing in the lake. Kafka still has them" in overview
    assert "1 record is lost for good: Kafka deleted them before they were archived" in overview
    assert "Archive behind: 3 records have waited for over 15 minutes" in overview
    assert "0 5 5 lost for good 0 6 7 can be restored from Kafka" in overview
