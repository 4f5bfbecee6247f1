"""Airflow's side: the timetable, and what the tasks of the DAG files call. No pipeline logic."""
