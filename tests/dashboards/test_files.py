"""The files that Grafana loads: as they are made, and free of what breaks boards."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.grafana import GRAFANA, QUERIES
from support.grafana_queries import Query
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
ASKING = [pytest.param(one, id=one.name) for one in QUERIES]
READING = [pytest.param(one, id=one.name) for one in QUERIES if "schema.tagValues" not in one.text]
BUILT_IN = {"__all", "__interval", "__data", "__field", "__value"}
SOURCE = re.compile(
    r"from\(bucket: [^\n]+\)\n"
    r"  \|> range\(start: [^\n]+\)\n"
    r'  \|> filter\(fn: \(r\) => r\._measurement == "\w+" and [^\n]*r\._field == "\w+"[^\n]*\)\n'
)
REFERENCE = re.compile(r"\$\{(\w+)[^}]*\}|\$(\w+)")


def named(board: dict[str, Any]) -> str:
    return str(board["title"])


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def test_what_is_committed_is_what_is_made() -> None:
    there = {str(path.relative_to(GRAFANA)): path.read_text("utf-8") for path in FILES}
    alerts = "provisioning/alerting/truetape.yaml"

    assert there | {alerts: (GRAFANA / alerts).read_text("utf-8")} == dict(file_texts())


def test_making_them_removes_boards_that_are_no_more(tmp_path: Path) -> None:
    old = tmp_path / "dashboards" / "gone" / "old.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")

    written = write(tmp_path)

    assert not old.exists()
    assert {str(path.relative_to(tmp_path)) for path in written} == file_texts().keys()


def test_boards_are_five_with_uids_of_their_own_and_cannot_be_edited() -> None:
    assert sorted(board["uid"] for board in BOARDS) == [
        "truetape-batch", "truetape-drift", "truetape-health", "truetape-market",
        "truetape-storage",
    ]  # fmt: skip
    assert [board["editable"] for board in BOARDS] == [False] * 5


@pytest.mark.parametrize("board", BOARDS, ids=named)
def test_the_first_panel_says_whether_what_is_seen_is_complete(board: dict[str, Any]) -> None:
    first = board["panels"][0]

    assert (first["type"], first["title"]) == ("stat", "Is what I see complete?")
    assert (first["gridPos"]["x"], first["gridPos"]["y"]) == (0, 0)


@pytest.mark.parametrize("board", BOARDS, ids=named)
def test_panels_have_ids_of_their_own_and_do_not_lie_on_each_other(board: dict[str, Any]) -> None:
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_what_it_is_in_which_unit_and_shapes_nothing_in_the_browser(
    panel: dict[str, Any],
) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["description"].endswith(".")
    assert len(panel["description"].split()) >= 5
    assert "transformations" not in panel
    assert panel["targets"]
    letters = [target["refId"] for target in panel["targets"]]
    assert len(set(letters)) == len(letters)


@pytest.mark.parametrize("board", BOARDS, ids=named)
def test_every_data_source_is_named_by_type_and_uid(board: dict[str, Any]) -> None:
    found: list[Any] = []

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            if "datasource" in value:
                found.append(value["datasource"])
            for one in value.values():
                collect(one)
        elif isinstance(value, list):
            for one in value:
                collect(one)

    collect(board)
    assert found
    assert all(one == dict(DATASOURCE) for one in found)


@pytest.mark.parametrize("board", BOARDS, ids=named)
def test_every_variable_is_defined_and_used(board: dict[str, Any]) -> None:
    defined = {one["name"] for one in board["templating"]["list"]}
    used = {a or b for a, b in REFERENCE.findall(json.dumps(board))} - BUILT_IN

    assert used == defined


@pytest.mark.parametrize("query", READING)
def test_a_query_says_range_measurement_and_field_before_anything_else(query: Query) -> None:
    assert len(SOURCE.findall(query.text)) == query.text.count("from(bucket:") > 0


@pytest.mark.parametrize("query", ASKING)
def test_windows_are_explicit_and_nothing_is_there_that_grafana_would_replace(
    query: Query,
) -> None:
    for call in re.findall(r"aggregateWindow\([^\n]*", query.text):
        assert "createEmpty: false" in call
        assert 'timeSrc: "_start"' in call
    macros = {"timeRangeStart", "timeRangeStop", "windowPeriod", "bucket", "defaultBucket",
              "organization"}  # fmt: skip
    for word, name in re.findall(r"([a-zA-Z]+)\.([a-zA-Z]+)", query.text):
        assert name not in macros or word == "v", f"{word}.{name}"
    assert "default" not in query.text


@pytest.mark.parametrize("query", ASKING)
def test_every_variable_of_a_query_has_a_format(query: Query) -> None:
    """Several values are a glob otherwise, which no regular expression understands."""
    for name in re.findall(r"\$\{(\w+)\}|\$(\w+)", query.text):
        assert set(name) <= {"", "__interval"}, name


def test_rules_have_a_summary_and_a_place_in_the_runbook() -> None:
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


def test_a_dollar_in_provisioned_rules_is_written_twice() -> None:
    """Grafana takes a single one for a variable of its environment."""
    text = (GRAFANA / "provisioning/alerting/truetape.yaml").read_text("utf-8")

    assert "$$" in text
    assert "$" not in text.replace("$$", "")


def test_the_data_source_takes_its_token_from_the_environment() -> None:
    text = (GRAFANA / "provisioning/datasources/truetape.yaml").read_text("utf-8")
    [source] = yaml.safe_load(text)["datasources"]

    assert {"type": source["type"], "uid": source["uid"]} == DATASOURCE
    assert source["secureJsonData"] == {"token": "$TRUETAPE_GRAFANA_TOKEN"}
    assert source["editable"] is False


def test_boards_come_from_their_files_only() -> None:
    text = (GRAFANA / "provisioning/dashboards/truetape.yaml").read_text("utf-8")
    [provider] = yaml.safe_load(text)["providers"]

    assert provider["allowUiUpdates"] is False
    assert provider["options"]["foldersFromFilesStructure"] is True
