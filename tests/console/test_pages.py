"""The console's pages, without Airflow: what they show, what they refuse, what a browser may do."""

import json
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
from support.drifting import DAY, publish_and_record
from support.html import Tags, text_of
from support.ledger import publication
from support.serving import bar, bars, indicators
from support.session_lake import FRIDAY, lake_session
from support.session_lake import NOON as LAKE_NOON
from support.speed_toy import heard, provisional_bars, serve
from truetape.batch.backfill_request import FORM
from truetape.console.app import create
from truetape.console.security import PLOTLY, guard
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
from truetape.lake.coverage import Counted
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
         "/quality/run?dag=d&run=r", "/backfill", "/files/plotly.js",
         "/files/console.css"]  # fmt: skip


def test_a_page_holds_no_script_and_no_style_of_its_own(client: TestClient) -> None:
    for path in ("/", "/market", "/drift", "/quality", "/quality/run?dag=d&run=r", "/backfill"):
        tags = Tags(client.get(path).text).tags
        assert all("src" in attributes for tag, attributes in tags if tag == "script")
        assert not [1 for tag, attributes in tags if tag == "style" or "style" in attributes]
        assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]


def test_nothing_comes_from_elsewhere(client: TestClient) -> None:
    for path in PATHS[:2]:
        for _, attributes in Tags(client.get(path).text).tags:
            for name in ("src", "href", "action"):
                assert "//" not in (attributes.get(name) or "")


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_says_what_a_browser_may_do(client: TestClient, path: str) -> None:
    headers = client.get(path).headers

    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"


ANYTHING = {"symbol": "IBM", "start_ns": 1, "venue": "XNYS", "session": "2024-11-22", "run": "x",
            "dag": "batch_recompute_xnys"}  # fmt: skip


def routes(app: FastAPI) -> list[APIRoute]:
    return [route for route in app.routes if isinstance(route, APIRoute)]


def test_every_route_asks_who_comes(here: Settings) -> None:
    def nobody() -> None:
        raise HTTPException(401, "Not authenticated")

    app = create(lambda: here, nobody)
    turned_away = TestClient(app)

    assert len(app.routes) == len(routes(app)) > 5
    for route in routes(app):
        path = route.path.replace("{name}", "console.css")
        assert turned_away.get(path, params=ANYTHING).status_code == 401


def test_where_airflow_s_security_is_missing_nobody_gets_in(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "airflow.api_fastapi.core_api.security", None)

    refused = TestClient(create(lambda: here, guard()))

    assert {refused.get(path).status_code for path in PATHS} == {503}


@pytest.mark.parametrize("takes", ["gzip, deflate", "identity"])
def test_the_script_that_draws_is_that_of_the_installed_package(
    client: TestClient, takes: str
) -> None:
    """The client unpacks what is packed, as a browser does."""
    answer = client.get("/files/plotly.js", headers={"Accept-Encoding": takes})

    assert answer.content == PLOTLY.read_bytes()
    assert answer.headers.get("content-encoding") == ("gzip" if "gzip" in takes else None)
    assert "max-age" in answer.headers["cache-control"]


def test_no_file_but_those_that_are_named(client: TestClient) -> None:
    for name in ("app.py", "..%2fapp.py", "plotly.min.js"):
        assert client.get(f"/files/{name}").status_code == 404


def test_what_cannot_be_read_is_said_and_the_rest_is_shown(client: TestClient) -> None:
    text = Tags(client.get("/").text).text

    assert "No." in text
    assert "boundaries cannot be read" in text
    assert "None." in text or "Cannot be read" in text


def test_a_chart_tells_final_bars_from_provisional_ones(
    client: TestClient, store: BarStore
) -> None:
    store.write(MINUTE, bars(3))
    store.write(MINUTE, [bar(start_ns=NOON + 180 * SECOND, layer="speed", final=False)])
    store.write(MINUTE, [bar(start_ns=NOON + 240 * SECOND, void=True)])
    store.write_indicators(MINUTE, [indicators(sma_20=100.5)])

    figure = client.get("/market/chart", params={"symbol": "IBM"}).json()

    traces = {trace["name"]: trace for trace in figure["data"]}
    assert len(traces["final"]["x"]) == 3
    assert traces["provisional"]["x"] == ["2026-11-20T17:03:00Z"]
    assert traces["final"]["customdata"][0] == str(NOON)
    assert traces["sma_20"]["visible"] == "legendonly"


@pytest.mark.parametrize(
    ("below", "wanted"),
    [
        ("rsi", {"rsi_14": [55.0, 60.0]}),
        ("macd", {"macd": [0.5, 0.6], "macd_signal": [0.4, 0.4], "macd_histogram": [0.1, 0.2]}),
        ("", {}),
    ],
    ids=["rsi", "macd", "nothing"],
)
def test_an_oscillator_has_an_axis_of_its_own_below_the_volume(
    client: TestClient, store: BarStore, below: str, wanted: dict[str, list[float]]
) -> None:
    store.write(MINUTE, bars(2))
    rows = [
        indicators(NOON, rsi_14=55.0, macd=0.5, macd_signal=0.4, macd_histogram=0.1),
        indicators(NOON + 60 * SECOND, rsi_14=60.0, macd=0.6, macd_signal=0.4, macd_histogram=0.2),
    ]
    store.write_indicators(MINUTE, rows)

    figure = client.get("/market/chart", params={"symbol": "IBM", "below": below}).json()

    lowest = {one["name"]: one["y"] for one in figure["data"] if one.get("yaxis") == "y3"}
    assert lowest == wanted
    assert ("yaxis3" in figure["layout"]) == bool(below)


def test_what_is_chosen_below_the_chart_stays_chosen(client: TestClient, store: BarStore) -> None:
    store.write(MINUTE, bars(2))

    asked = {"symbol": "IBM", "venue": "XNYS", "session": "2026-11-20", "below": "macd"}
    page = client.get("/market", params=asked).text

    assert '<option value="macd" selected>' in page
    assert 'data-below="macd"' in page
    assert page.count("&amp;below=macd") == 2
    assert client.get("/market", params=asked | {"below": "all"}).status_code == 422


def test_changed_bars_are_marked_with_their_causes(
    here: Settings, client: TestClient, store: BarStore
) -> None:
    lake_session(DAY).write(here.lake)
    store.write(
        MINUTE, [bar(symbol="IBM", start_ns=LAKE_NOON + 60 * SECOND, layer="speed", final=False)]
    )
    publish_and_record(here.lake, store)

    asked = {"symbol": "IBM", "session": str(FRIDAY.date), "venue": "XNYS"}
    figure = client.get("/market/chart", params=asked).json()

    (marks,) = [trace for trace in figure["data"] if trace["name"].startswith("changed")]
    assert marks["x"][0].startswith("2024-11-22T17:0")
    assert any("late" in text for text in marks["text"])


def test_a_bar_is_shown_with_its_trades(
    here: Settings, client: TestClient, store: BarStore
) -> None:
    lake_session(DAY).write(here.lake)
    publish_and_record(here.lake, store)

    asked = {"symbol": "IBM", "start_ns": LAKE_NOON, "resolution": "1m"}
    text = Tags(client.get("/market/bar", params=asked).text).text

    assert "Trades that made it (1)" in text
    assert "Left out (1)" in text
    assert "cancelled 2 by trades/0@" in text


def test_a_hostile_symbol_is_text(client: TestClient, store: BarStore) -> None:
    store.write(MINUTE, [bar(symbol=HOSTILE)])

    page = client.get("/market", params={"symbol": HOSTILE})

    tags = Tags(page.text)
    assert "<script>alert" not in page.text
    assert HOSTILE in tags.text
    assert {"value": HOSTILE} in [attributes for tag, attributes in tags.tags if tag == "option"]
    assert json.loads(client.get("/market/chart", params={"symbol": HOSTILE}).text)["data"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/market/chart?symbol=NONE", 404),
        ("/market/bar?symbol=NONE&start_ns=1", 404),
        ("/market/chart?symbol=IBM&venue=MOON", 400),
        ("/market/chart?symbol=IBM&resolution=7m", 422),
        ("/market/bar?symbol=IBM&start_ns=-1", 422),
        ("/nowhere", 404),
    ],
    ids=["no symbol", "no bar", "no venue", "no resolution", "before 1970", "no page"],
)
def test_what_is_not_there_is_named(
    client: TestClient, store: BarStore, path: str, status: int
) -> None:
    store.write(MINUTE, bars(1))

    answer = client.get(path, headers={"Accept": "text/html"})

    assert answer.status_code == status
    assert "Traceback" not in answer.text


HOSTILE_DAY = [
    replace(one, symbol=HOSTILE, **({"conditions": ("<b>",)} if isinstance(one, Trade) else {}))
    for one in DAY
    if one.symbol == "IBM"
]
"""A day whose symbol and conditions are markup, with a cancel, a correction and a late print."""
ASKED = quote(HOSTILE, safe="")


@pytest.mark.parametrize(
    ("path", "shows"),
    [
        ("/", "XNYS 2024-11-22 1"),
        (f"/market?symbol={ASKED}", HOSTILE),
        (f"/market/bar?symbol={ASKED}&start_ns={LAKE_NOON}", f"{HOSTILE}, 1m from"),
        ("/drift", "XNYS 2024-11-22"),
        ("/drift/session?venue=XNYS&session=2024-11-22", f"{HOSTILE} 1m"),
        (
            f"/drift/session?venue=XNYS&session=2024-11-22&symbol={ASKED}",
            f"Line by line, {HOSTILE}",
        ),
    ],
)
def test_a_symbol_that_is_markup_is_text_wherever_its_bars_are_shown(
    here: Settings, client: TestClient, store: BarStore, path: str, shows: str
) -> None:
    lake_session(HOSTILE_DAY, profile="all").write(here.lake)
    serve(store, provisional_bars(heard(HOSTILE_DAY), "all"))
    publish_and_record(here.lake, store, SpeedRules("all", 60 * SECOND, frozenset({"truetape"})))

    page = client.get(path, headers={"Accept": "text/html"})

    assert page.status_code == 200
    assert shows in text_of(page.text)
    assert "<script>alert" not in page.text
    assert "<b>" not in page.text


def test_who_published_and_why_is_text(here: Settings, client: TestClient) -> None:
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


def test_every_kind_of_error_has_its_answer() -> None:
    def below(kind: type[TruetapeError]) -> set[type[TruetapeError]]:
        return {kind}.union(*(below(one) for one in kind.__subclasses__()))

    told = tuple(kind for kind, _ in FAILURES)
    assert {kind for kind in below(TruetapeError) if not issubclass(kind, told[:-1])} == {told[-1]}


@pytest.mark.parametrize(("kind", "status"), FAILURES, ids=lambda one: getattr(one, "__name__", ""))
def test_on_every_route_an_error_is_a_page_that_says_it(
    here: Settings, kind: type[TruetapeError], status: int
) -> None:
    def ask() -> Settings:
        raise kind(HOSTILE)

    app = create(ask, lambda: None)
    client = TestClient(app)
    reading = [route.path for route in routes(app) if not route.path.startswith("/files/")]

    assert len(reading) > 10
    for path in reading:
        page = client.get(path, params=ANYTHING, headers={"Accept": "text/html"})
        assert page.status_code == status, path
        assert HOSTILE in Tags(page.text).text, path
        assert "<script>alert" not in page.text, path
        assert 'href="' + "../" * (path.count("/") - 1) + 'market"' in page.text, path
        data = client.get(path, params=ANYTHING, headers={"Accept": "application/json"})
        assert (data.status_code, data.json()) == (status, {"detail": HOSTILE}), path


def test_with_influxdb_away_every_page_that_needs_it_says_so(here: Settings) -> None:
    token = here.home / "token"
    here.home.mkdir()
    token.write_text("a token that opens nothing")
    url = f"http://127.0.0.1:{free_port()}"
    away = replace(here, store="influx", influx_url=url, influx_token_file=token, write_attempts=1)
    client = TestClient(create(lambda: away, lambda: None))

    for path in ("/market", "/market/chart?symbol=IBM", "/market/bar?symbol=IBM&start_ns=1"):
        answer = client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 503, path
        assert url in Tags(answer.text).text, path
    for path in ("/drift", "/quality", "/quality/run?dag=d&run=r", "/backfill"):
        assert client.get(path).status_code == 200, path


def test_a_session_that_is_not_chosen_is_none(client: TestClient, store: BarStore) -> None:
    """As a browser sends the form."""
    store.write(MINUTE, bars(1))

    assert client.get("/market?symbol=IBM&resolution=1m&session=").status_code == 200
    assert client.get("/market/chart?symbol=IBM&session=").status_code == 200
    assert "session" in client.get("/market?session=yesterday").json()["detail"]


def test_a_server_that_is_away_is_an_answer_to_try_again(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> BarStore:
        raise TransientError("InfluxDB is away")

    monkeypatch.setattr("truetape.console.market.open_store", away)

    answer = TestClient(create(lambda: here, lambda: None)).get("/market")

    assert (answer.status_code, answer.json()) == (503, {"detail": "InfluxDB is away"})


def test_links_lead_back_from_however_deep(
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


def test_the_drift_of_a_session_goes_down_to_the_trades(client: TestClient, drifted: None) -> None:
    asked = {"venue": "XNYS", "session": "2024-11-22", "symbol": "IBM", "cause": "cancel"}

    page = client.get("/drift/session", params=asked).text

    rows = [line for line in page.split("<tr") if "market/bar?symbol=IBM" in line]
    assert rows
    assert all("<td>cancel</td>" in row for row in rows)
    assert any("<td>volume</td>" in row and "<td>-10</td><td>2</td>" in row for row in rows)


def test_the_chart_of_drift_has_a_trace_for_each_cause(client: TestClient, drifted: None) -> None:
    asked = {"venue": "XNYS", "session": "2024-11-22"}

    figure = client.get("/drift/chart", params=asked).json()

    assert {trace["name"] for trace in figure["data"]} == {"late", "correction", "cancel"}


def report_of(
    here: Settings, passed: bool, example: str = "", day: date = FRIDAY.date
) -> reports.Report:
    """Write the report of one gate rule."""
    result = RuleResult(
        "trades", "T5", Severity.GATE, "sizes are above 0", "trades", passed, rows=10,
        unexpected=0 if passed else 1, examples=({"symbol": example},) if example else (),
    )  # fmt: skip
    made = reports.Report(
        reports.new_run(NOON), reports.ReportKind.GATE, "XNYS", day, (result,), {"trades": 1}
    )
    reports.write(here.home, made)
    return made


def test_a_closed_gate_is_told_with_its_rules_and_rows(here: Settings, client: TestClient) -> None:
    made = report_of(here, passed=False, example=HOSTILE)

    listed = Tags(client.get("/quality").text).text
    asked = {"venue": "XNYS", "session": str(FRIDAY.date), "run": made.run}
    page = client.get("/quality/report", params=asked).text

    assert "closed" in listed
    assert "T5" in listed
    assert "T5: sizes are above 0" in Tags(page).text
    assert "1 values in 10 rows" in Tags(page).text
    assert "<script>alert" not in page
    assert "the gate of XNYS 2024-11-22 is closed: T5" in Tags(client.get("/").text).text


def test_the_reports_of_a_run_are_listed_also_one_that_is_kept_no_longer(
    here: Settings, client: TestClient
) -> None:
    closed = report_of(here, passed=False)
    other = report_of(here, passed=True, day=date(2024, 11, 21))
    gone = report_of(here, passed=True, day=date(2024, 11, 20))
    report_of(here, passed=True, day=date(2024, 11, 19))
    for made in (closed, other, gone, closed):
        record_report(here.home, RUN, made)
    reports.path_of(here.home, gone).unlink()

    page = client.get("/quality/run", params={"dag": RUN.dag, "run": RUN.run}).text

    text = text_of(page)
    assert f"DAG {RUN.dag} Run {RUN.run}" in text
    assert "XNYS 2024-11-22 gate 2026-11-20 17:00:00 UTC closed T5" in text
    assert "XNYS 2024-11-21 gate 2026-11-20 17:00:00 UTC open" in text
    assert f"Report {gone.run} of XNYS 2024-11-20 is kept no longer" in text
    assert "2024-11-19" not in text
    links = [str(tag["href"]) for name, tag in Tags(page).tags if name == "a" and "href" in tag]
    found = [link for link in links if "quality/report?" in link]
    assert [link.rpartition("run=")[2] for link in found] == [closed.run, other.run]
    assert client.get("/quality/" + found[0].removeprefix("../quality/")).status_code == 200


@pytest.mark.parametrize(
    "other", [DagRun("data_quality", "other"), DagRun("other", RUN.run)], ids=["run", "dag"]
)
def test_a_run_without_reports_says_why(here: Settings, client: TestClient, other: DagRun) -> None:
    record_report(here.home, other, report_of(here, passed=True))

    answer = client.get("/quality/run", params={"dag": RUN.dag, "run": RUN.run})

    assert answer.status_code == 200
    assert "This run has no quality report." in text_of(answer.text)


@pytest.mark.parametrize(
    "hostile", [HOSTILE, "../../secrets/influx-token", "a\x00b", "{{ 7 * 7 }}"]
)
def test_a_hostile_run_id_is_text(here: Settings, client: TestClient, hostile: str) -> None:
    made = report_of(here, passed=True, example=HOSTILE)
    record_report(here.home, DagRun(hostile, hostile), made)

    page = client.get("/quality/run", params={"dag": hostile, "run": hostile})

    assert page.status_code == 200
    assert "<script>alert" not in page.text
    text = text_of(page.text)
    assert f"DAG {hostile} Run {hostile}" in text
    assert "XNYS 2024-11-22 gate" in text
    assert [path.name for path in here.home.iterdir()] == ["quality"]


def test_a_note_that_is_none_is_named(here: Settings, client: TestClient) -> None:
    record_report(here.home, RUN, report_of(here, passed=True))
    (file,) = (here.home / "quality" / "runs").glob("*.json")
    file.write_text("[]")

    answer = client.get("/quality/run", params={"dag": RUN.dag, "run": RUN.run})

    assert answer.status_code == 400
    assert f"{file} is no entry of a report" in answer.json()["detail"]


def test_airflow_has_every_page_in_its_menu_and_the_reports_on_each_run() -> None:
    """As Airflow's own API tells its pages of them."""
    plugin = runpy.run_path(str(ROOT / "plugins/truetape_plugin.py"))["TruetapePlugin"]

    views = [ExternalViewResponse.model_validate(one) for one in plugin.external_views]

    assert [one.name for one in views if one.destination == "nav"] == [
        "truetape: overview", "truetape: market", "truetape: drift", "truetape: quality",
        "truetape: backfill",
    ]  # fmt: skip
    (of_run,) = [one for one in views if one.destination == "dag_run"]
    assert of_run.href == "truetape/quality/run?dag={DAG_ID}&run={RUN_ID}"
    assert len({one.url_route for one in views}) == len(views)
    assert not any(one.href.startswith("/") for one in views)


def test_a_rule_is_told_beside_what_is_usual(here: Settings, client: TestClient) -> None:
    earlier = date(2024, 11, 21)
    report_of(here, passed=True, day=earlier)
    made = report_of(here, passed=False)
    asked = {"venue": "XNYS", "session": str(FRIDAY.date), "run": made.run}

    text = Tags(client.get("/quality/report", params=asked).text).text

    assert "10.000% of the rows; usually 0.000%, at most 0.000% in 1 earlier sessions" in text


@pytest.mark.parametrize("run", ["../../secrets/influx-token", "20261120T170000000000-abcdef", "x"])
def test_a_report_that_is_none_is_not_looked_for(client: TestClient, run: str) -> None:
    asked = {"venue": "XNYS", "session": str(FRIDAY.date), "run": run}

    answer = client.get("/quality/report", params=asked)

    assert answer.status_code == 404
    assert "no report" in answer.json()["detail"]


def test_the_backfill_page_has_the_form_of_its_dag(client: TestClient) -> None:
    page = Tags(client.get("/backfill").text)

    names = {str(attributes.get("name")) for tag, attributes in page.tags if tag != "meta"}
    assert {*FORM} - {"dry_run"} <= names
    assert "no Kafka server accepts a connection" in page.text


def test_partitions_say_what_the_lake_lacks(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held are 0 to 4, 8 and 9; Kafka begins at 6 and has 20."""
    ranges = {0: (CountedRange(Range(0, 5), 5, 5, 0), CountedRange(Range(8, 10), 2, 2, 0))}
    held = Counted("trades", "raw", 1, ranges)
    monkeypatch.setattr("truetape.console.offsets.require_kafka", lambda _: None)
    monkeypatch.setattr("truetape.lake.coverage.last_count", lambda *_: held)
    monkeypatch.setattr(
        "truetape.broker.offsets.available_offsets",
        lambda *_: {0: Range(6, 20), 1: Range(0, 0)},
    )

    text = " ".join(Tags(client.get("/backfill").text).text.split())

    assert "0 6 to 19 7 2 1 10 1 nothing 0 0 0 0" in text
    overview = " ".join(Tags(client.get("/").text).text.split())
    assert "2 records are missing in the lake; Kafka still has them" in overview
    assert "1 records are missing in the lake; lost to retention" in overview
    assert "0 5 5 lost them 0 6 7 still has them" in overview
