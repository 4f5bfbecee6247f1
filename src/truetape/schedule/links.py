"""Buttons on Airflow's page of a task that lead to the console. Each is shown once the task ended.

An address without a leading slash works below any prefix of Airflow's.
"""

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from airflow.sdk import BaseOperatorLink, XComArg
from airflow.sdk.execution_time.xcom import XCom

from truetape.schedule.ui_pages import page_in_airflow

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class QualityReports(BaseOperatorLink):
    """The reports that the tasks of this run wrote."""

    @property
    def name(self) -> str:
        """Return the text of the button."""
        return "Quality reports of this run"

    def get_link(self, operator: "BaseOperator", *, ti_key: "TaskInstanceKey") -> str:  # noqa: ARG002 - Airflow's own shape
        """Return the address of the page with the reports of the task's run."""
        return page_in_airflow(
            f"quality/run?{urlencode({'dag': ti_key.dag_id, 'run': ti_key.run_id})}"
        )


class SessionDrift(BaseOperatorLink):
    """What the publication of the task's session changed, and why."""

    @property
    def name(self) -> str:
        """Return the text of the button."""
        return "What changed, and why"

    def get_link(self, operator: "BaseOperator", *, ti_key: "TaskInstanceKey") -> str:  # noqa: ARG002
        """Return the address of the drift of the session that the task published; an empty one if
        it published none.
        """
        published = XCom.get_value(ti_key=ti_key, key="return_value")
        if not published:
            return ""
        session = {name: published[name] for name in ("venue", "session")}
        return page_in_airflow(f"drift/session?{urlencode(session)}")


def with_links(result: XComArg, *links: BaseOperatorLink) -> XComArg:
    """Add buttons to the task whose result this is, and return the result."""
    result.operator.operator_extra_links = links  # type: ignore[attr-defined]  # of PlainXComArg
    return result
