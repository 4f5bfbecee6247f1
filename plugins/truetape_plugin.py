"""Registers with Airflow what must be known by name: timetable, deadline's reference, console."""

from airflow.plugins_manager import AirflowPlugin

from truetape.console.lazy import LazyConsole
from truetape.schedule.deadline import SessionClose
from truetape.schedule.timetable import ExchangeSessionTimetable
from truetape.schedule.ui_pages import CONSOLE_VIEW, PREFIX, RUN_VIEW


class TruetapePlugin(AirflowPlugin):
    """The plugin; its name is what `airflow plugins` lists."""

    name = "truetape"
    timetables = [ExchangeSessionTimetable]  # noqa: RUF012 - Airflow's own shape
    deadline_references = [SessionClose]  # noqa: RUF012
    fastapi_apps = [{"app": LazyConsole(), "url_prefix": PREFIX, "name": "truetape"}]  # noqa: RUF012
    external_views = [CONSOLE_VIEW, RUN_VIEW]  # noqa: RUF012
