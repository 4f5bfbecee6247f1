"""Every DAG file loads without an error, has an owner and documentation, and has limits."""

import ast
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from support.documents import anchors
from truetape.host.words import REPLACE_REVERT
from truetape.schedule import assets
from truetape.schedule.defaults import Tag, documentation

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG, Param

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*(ROOT / "dags").glob("*.py"), *(ROOT / "plugins").glob("*.py")])
QUESTIONS = ("### What it does", "### What a failure means", "### Is a re-run safe?", "### Runbook")
HEAVY = ("pyspark", "great_expectations", "pandas", "pyarrow", "deltalake", "kafka",
         "influxdb_client", "exchange_calendars", "plotly", "akquant_lwc", "talib")  # fmt: skip

LOAD_FILES = """
import runpy, sys
heavy, reported = set(sys.argv[1].split(",")), set()
for file in sys.argv[2:]:
    runpy.run_path(file)
    loaded = {name.partition(".")[0] for name in sys.modules} & heavy
    print(*(f"{file}:{name}" for name in loaded - reported))
    reported |= loaded
"""


def dags(bag: "DagBag") -> "list[DAG]":
    return list(bag.dags.values())


def test_every_dag_file_loads(bag: "DagBag") -> None:
    assert bag.import_errors == {}
    assert {Path(dag.fileloc).name for dag in dags(bag)} == {
        file.name for file in (ROOT / "dags").glob("*.py")
    }


def test_each_dag_has_an_owner_tags_and_the_four_sections_of_documentation(bag: "DagBag") -> None:
    for dag in dags(bag):
        assert dag.owner == "truetape", dag.dag_id
        assert dag.tags, dag.dag_id
        assert dag.tags <= set(Tag), dag.dag_id
        for question in QUESTIONS:
            assert f"{question}\n" in (dag.doc_md or ""), f"{dag.dag_id} lacks {question!r}"


def test_each_dag_limits_its_runs_retries_and_durations(bag: "DagBag") -> None:
    for dag in dags(bag):
        assert dag.dagrun_timeout is not None, dag.dag_id
        assert dag.dagrun_timeout <= timedelta(hours=4), dag.dag_id
        assert 1 <= dag.max_active_runs <= 2, dag.dag_id
        assert dag.catchup is False, dag.dag_id
        for task in dag.tasks:
            bound = task.execution_timeout or getattr(task, "response_timeout", None)
            assert bound is not None, f"{dag.dag_id}.{task.task_id}"
            assert task.retry_policy is not None, f"{dag.dag_id}.{task.task_id}"
            assert 0 <= (task.retries or 0) <= 3, f"{dag.dag_id}.{task.task_id}"


def test_each_form_field_has_a_title_a_type_and_a_description(bag: "DagBag") -> None:
    for dag in dags(bag):
        for name in dag.params:
            param = dag.params.get_param(name)
            assert {"type", "title"} <= param.schema.keys(), f"{dag.dag_id} {name}"
            assert param.description, f"{dag.dag_id} {name}"


REQUIRED = {
    "revert_session": {"venue", "session"},
    "speed_layer_control": {"reason"},
}
"""Fields that a run cannot do without. All other forms can be sent with nothing typed."""


def is_required(param: "Param") -> bool:
    """True if Airflow's form keeps its button disabled while the field is empty (3.3.2)."""
    return "null" not in param.schema["type"]


def test_a_form_can_be_sent_as_it_opens_unless_the_run_cannot_do_without_a_field(
    bag: "DagBag",
) -> None:
    for dag in dags(bag):
        params = {name: dag.params.get_param(name) for name in dag.params}
        empty = {
            name
            for name, param in params.items()
            if is_required(param) and param.value in (None, "", [])
        }
        assert empty == REQUIRED.get(dag.dag_id, set()), dag.dag_id
        for name in params.keys() - empty:
            params[name].resolve()


@pytest.mark.parametrize("dag_id", ["backfill_from_kafka", "batch_recompute_xnys"])
def test_the_first_task_accepts_a_form_with_nothing_typed(bag: "DagBag", dag_id: str) -> None:
    dag = bag.dags[dag_id]
    first: Any = dag.get_task("check_form" if "check_form" in dag.task_dict else "choose_session")
    run = SimpleNamespace(
        dag_id=dag_id, run_id="1", run_type="manual", triggering_user_name="ann",
        data_interval_start=None, run_after=datetime(2026, 11, 30, 12, tzinfo=UTC),
    )  # fmt: skip

    assert first.python_callable(params=dag.params.dump(), dag_run=run)


def test_a_revert_is_replaced_by_a_tick_and_by_nothing_else(bag: "DagBag") -> None:
    form = bag.dags["batch_recompute_xnys"].params

    ticks = {name for name in form if form.get_param(name).schema["type"] == "boolean"}

    assert ticks == {"replace_revert"}
    assert form["replace_revert"] is False
    assert form.get_param("replace_revert").schema["title"] == REPLACE_REVERT


def test_each_dag_is_described_in_one_sentence_of_its_own(bag: "DagBag") -> None:
    texts = [dag.description or "" for dag in dags(bag) if dag.dag_id != "batch_recompute_useq"]

    assert all(text.endswith(".") and len(text) <= 100 for text in texts)
    assert len(set(texts)) == len(texts)


VAGUE = {"session", "gate", "form", "decide", "who", "step", "order", "due", "arguments", "settle",
         "served", "lake", "buckets", "dirty", "metrics", "announce", "check"}  # fmt: skip
"""Names that only say something to whoever wrote the DAG."""


def test_the_name_of_a_task_says_what_it_does(bag: "DagBag") -> None:
    for dag in dags(bag):
        for task in dag.tasks:
            assert task.task_id.rpartition(".")[2] not in VAGUE, f"{dag.dag_id}.{task.task_id}"


def test_airflow_s_own_backfill_works_on_sessions_only(bag: "DagBag") -> None:
    allowed = {
        dag.dag_id
        for dag in dags(bag)
        if getattr(dag.timetable, "periodic", False)  # others have no dates to run for
        and (dag.allowed_run_types is None or "backfill" in dag.allowed_run_types)
    }

    assert allowed == {"batch_recompute_xnys"}


def test_each_asset_has_a_group_a_uri_and_a_description() -> None:
    for asset in (assets.RAW, assets.DIRTY, assets.BARS, assets.SPEED_STEP):
        assert asset.group not in ("", "asset"), asset.name
        assert asset.uri.startswith("x-truetape://"), asset.name
        assert str(asset.extra["description"]).endswith("."), asset.name


def test_each_dag_links_to_entries_of_the_runbook_that_exist(
    bag: "DagBag", monkeypatch: pytest.MonkeyPatch
) -> None:
    for dag in dags(bag):
        entries = re.findall(r"\]\(truetape/runbook#([\w-]+)\)", dag.doc_md or "")
        assert entries, dag.dag_id
        assert set(entries) <= anchors(ROOT / "docs/RUNBOOK.md"), dag.dag_id
        assert "RUNBOOK.md" not in (dag.doc_md or ""), dag.dag_id

    monkeypatch.setenv("TRUETAPE_RUNBOOK_URL", "https://wiki.example/RUNBOOK")
    assert documentation("[Disk](RUNBOOK.md#disk)") == ("[Disk](https://wiki.example/RUNBOOK#disk)")


def test_publications_and_gates_have_buttons_that_lead_to_drift_and_reports(bag: "DagBag") -> None:
    buttons = {
        f"{dag.dag_id}.{task.task_id}": [link.name for link in task.operator_extra_links]
        for dag in dags(bag)
        for task in dag.tasks
        if dag.dag_id != "batch_recompute_useq"
    }

    both = ["What changed, and why", "Quality reports of this run"]
    assert {task: names for task, names in buttons.items() if names} == {
        "batch_recompute_xnys.publish": both,
        "batch_recompute_xnys.quality_gate": both[1:],
        "data_quality.check_new_data": both[1:],
        "repair_sessions.repair.publish": both,
        "repair_sessions.repair.quality_gate": both[1:],
        "revert_session.revert": both[:1],
    }


def test_a_dag_serializes_to_the_same_bytes_twice(bag: "DagBag") -> None:
    """A difference would create a new DAG version each time a file is read."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    again = DagBag()
    for dag_id, dag in bag.dags.items():
        assert DagSerialization.to_dict(dag) == DagSerialization.to_dict(again.dags[dag_id])


def test_loading_a_file_imports_no_heavy_library() -> None:
    """All files load in one interpreter: Airflow alone takes seconds to import."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD_FILES, ",".join(HEAVY), *map(str, FILES)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.split() == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_imports_only_truetape_and_the_public_parts_of_airflow(file: Path) -> None:
    tree = ast.parse(file.read_text("utf-8"))
    modules = {
        node.module or "" if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }

    allowed = ("truetape", "airflow.sdk", "airflow.providers", "airflow.plugins_manager")
    for module in modules - sys.stdlib_module_names:
        if module.partition(".")[0] not in sys.stdlib_module_names:
            assert module.startswith(allowed), f"{file.name} imports {module}"


def test_data_quality_runs_after_the_archive_and_after_publications(bag: "DagBag") -> None:
    """It is a separate DAG, so that a failed check does not stop the archive."""
    dag = bag.dags["data_quality"]

    assert [asset.name for asset in dag.timetable.asset_condition.objects] == [
        "raw_trades", "final_bars",
    ]  # fmt: skip
    assert dag.task_dict.keys() == {"check_new_data"}


def test_batch_recompute_runs_its_six_tasks_after_each_session_of_its_venue(bag: "DagBag") -> None:
    dag = bag.dags["batch_recompute_xnys"]

    assert dag.timetable.summary == "XNYS close + 4 h 15 min"
    order = ["choose_session", "archive", "recompute", "quality_gate", "publish", "verify"]
    assert dag.task_dict.keys() == set(order)
    for before, after in pairwise(order):
        assert after in dag.task_dict[before].downstream_task_ids
