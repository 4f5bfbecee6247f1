"""The files that Grafana loads: up to date, and without the mistakes that break boards."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.grafana import GRAFANA, QUERIES
from support.grafana_queries import BoardQuery
from truetape.dashboards.board import DATASOURCE
from truetape.dashboards.files import file_texts, write

ROOT = GRAFANA.parent
FILES = sorted(GRAFANA.glob("dashboards/**/*.json"))
BOARDS: list[dict[str, Any]] = [json.loads(path.read_text("utf-8")) for path in FILES]
PANELS = [
    pytest.param(panel, id=f"{board['title']}: {panel['title']}")
    for board in BOARDS
    for panel in board["panels"]
]
ALL_QUERIES = [pytest.param(query, id=query.name) for query in QUERIES]
DATA_QUERIES = [
    pytest.param(query, id=query.name) for query in QUERIES if "schema.tagValues" not in query.text
]
BUILT_IN = {"__all", "__interval", "__data", "__field", "__value"}
SOURCE = re.compile(
    r"from\(bucket: [^\n]+\)\n"
    r"  \|> range\(start: [^\n]+\)\n"
    r'  \|> filter\(fn: \(r\) => r\._measurement == "\w+" and [^\n]*r\._field == "\w+"[^\n]*\)\n'
)
REFERENCE = re.compile(r"\$\{(\w+)[^}]*\}|\$(\w+)")


def title_of(board: dict[str, Any]) -> str:
    return str(board["title"])


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def test_the_committed_files_are_up_to_date() -> None:
    committed = {str(path.relative_to(GRAFANA)): path.read_text("utf-8") for path in FILES}
    alerts = "provisioning/alerting/truetape.yaml"

    assert committed | {alerts: (GRAFANA / alerts).read_text("utf-8")} == dict(file_texts())


def test_writing_the_files_deletes_boards_that_no_longer_exist(tmp_path: Path) -> None:
    old = tmp_path / "dashboards" / "gone" / "old.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")

    written = write(tmp_path)

    assert not old.exists()
    assert {str(path.relative_to(tmp_path)) for path in written} == file_texts().keys()


def test_there_are_five_boards_with_their_own_uids_and_none_is_editable() -> None:
    assert sorted(board["uid"] for board in BOARDS) == [
        "truetape-batch", "truetape-drift", "truetape-health", "truetape-market",
        "truetape-storage",
    ]  # fmt: skip
    assert [board["editable"] for board in BOARDS] == [False] * 5


@pytest.mark.parametrize("board", BOARDS, ids=title_of)
def test_the_first_panel_answers_whether_the_board_is_complete(board: dict[str, Any]) -> None:
    first = board["panels"][0]

    assert (first["type"], first["title"]) == ("stat", "Is what I see complete?")
    assert (first["gridPos"]["x"], first["gridPos"]["y"]) == (0, 0)


@pytest.mark.parametrize("board", BOARDS, ids=title_of)
def test_panels_have_their_own_ids_and_do_not_overlap(board: dict[str, Any]) -> None:
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]
    for a, b in combinations((panel["gridPos"] for panel in panels), 2):
        is_apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert is_apart, (a, b)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_has_a_description_and_a_unit_and_no_transformations_in_the_browser(
    panel: dict[str, Any],
) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["description"].endswith(".")
    assert len(panel["description"].split()) >= 5
    assert "transformations" not in panel
    assert panel["targets"]
    letters = [target["refId"] for target in panel["targets"]]
    assert len(set(letters)) == len(letters)


@pytest.mark.parametrize("board", BOARDS, ids=title_of)
def test_every_data_source_has_type_and_uid(board: dict[str, Any]) -> None:
    sources: list[Any] = []

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            if "datasource" in value:
                sources.append(value["datasource"])
            for child in value.values():
                collect(child)
        elif isinstance(value, list):
            for child in value:
                collect(child)

    collect(board)
    assert sources
    assert all(source == dict(DATASOURCE) for source in sources)


@pytest.mark.parametrize("board", BOARDS, ids=title_of)
def test_every_variable_is_defined_and_used(board: dict[str, Any]) -> None:
    defined = {variable["name"] for variable in board["templating"]["list"]}
    used = {a or b for a, b in REFERENCE.findall(json.dumps(board))} - BUILT_IN

    assert used == defined


@pytest.mark.parametrize("query", DATA_QUERIES)
def test_a_query_filters_by_range_measurement_and_field_first(query: BoardQuery) -> None:
    assert len(SOURCE.findall(query.text)) == query.text.count("from(bucket:") > 0


@pytest.mark.parametrize("query", ALL_QUERIES)
def test_windows_are_explicit_and_grafana_replaces_only_its_own_macros(
    query: BoardQuery,
) -> None:
    for call in re.findall(r"aggregateWindow\([^\n]*", query.text):
        assert "createEmpty: false" in call
        assert 'timeSrc: "_start"' in call
    macros = {"timeRangeStart", "timeRangeStop", "windowPeriod", "bucket", "defaultBucket",
              "organization"}  # fmt: skip
    for word, name in re.findall(r"([a-zA-Z]+)\.([a-zA-Z]+)", query.text):
        assert name not in macros or word == "v", f"{word}.{name}"
    assert "default" not in query.text


@pytest.mark.parametrize("query", ALL_QUERIES)
def test_every_variable_in_a_query_has_a_format(query: BoardQuery) -> None:
    """Without a format, Grafana writes several values as a glob, which is no regular expression."""
    for name in re.findall(r"\$\{(\w+)\}|\$(\w+)", query.text):
        assert set(name) <= {"", "__interval"}, name


def test_alert_rules_have_a_summary_and_a_section_of_the_runbook() -> None:
    text = (GRAFANA / "provisioning/alerting/truetape.yaml").read_text("utf-8")
    [group] = yaml.safe_load(text)["groups"]

    assert len({rule["uid"] for rule in group["rules"]}) == len(group["rules"]) > 0
    for rule in group["rules"]:
        notes = rule["annotations"]
        document, _, anchor = notes["runbook_url"].partition("#")
        assert notes["summary"]
        assert anchor in anchors(ROOT / document), anchor
        assert anchor == rule["title"].lower().replace(" ", "-")
        assert {"OK", "Alerting"} >= {rule["noDataState"]}
        assert rule["condition"] in {step["refId"] for step in rule["data"]}


def test_a_dollar_in_provisioned_rules_is_doubled() -> None:
    """Grafana reads a single dollar as a variable of its environment."""
    text = (GRAFANA / "provisioning/alerting/truetape.yaml").read_text("utf-8")

    assert "$$" in text
    assert "$" not in text.replace("$$", "")


def test_the_data_source_reads_its_token_from_the_environment() -> None:
    text = (GRAFANA / "provisioning/datasources/truetape.yaml").read_text("utf-8")
    [source] = yaml.safe_load(text)["datasources"]

    assert {"type": source["type"], "uid": source["uid"]} == DATASOURCE
    assert source["secureJsonData"] == {"token": "$TRUETAPE_GRAFANA_TOKEN"}
    assert source["editable"] is False


def test_boards_can_be_changed_only_in_their_files() -> None:
    text = (GRAFANA / "provisioning/dashboards/truetape.yaml").read_text("utf-8")
    [provider] = yaml.safe_load(text)["providers"]

    assert provider["allowUiUpdates"] is False
    assert provider["options"]["foldersFromFilesStructure"] is True
