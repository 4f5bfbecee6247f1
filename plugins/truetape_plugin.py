"""Registers with Airflow what must be known by name: the timetable and the deadline's reference."""

from airflow.plugins_manager import AirflowPlugin

from truetape.schedule.deadline import SessionClose
from truetape.schedule.timetable import ExchangeSessionTimetable


class TruetapePlugin(AirflowPlugin):
    """The plugin; its name is what `airflow plugins` lists."""

    name = "truetape"
    timetables = [ExchangeSessionTimetable]  # noqa: RUF012 - Airflow's own shape
    deadline_references = [SessionClose]  # noqa: RUF012
