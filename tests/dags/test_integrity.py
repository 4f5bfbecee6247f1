"""Every DAG file loads without an error, has an owner and documentation, and has limits."""

import ast
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from truetape.schedule.defaults import Tag

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG

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

    assert [asset.name for asset in dag.timetable.asset_condition.objects] == ["raw", "bars"]
    assert dag.task_dict.keys() == {"check"}


def test_batch_recompute_runs_its_six_tasks_after_each_session_of_its_venue(bag: "DagBag") -> None:
    dag = bag.dags["batch_recompute_xnys"]

    assert dag.timetable.summary == "XNYS close + 4 h 15 min"
    order = ["session", "archive", "recompute", "gate", "publish", "verify"]
    assert dag.task_dict.keys() == set(order)
    for before, after in pairwise(order):
        assert after in dag.task_dict[before].downstream_task_ids
