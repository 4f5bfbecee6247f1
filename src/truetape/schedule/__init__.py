"""What Airflow runs, and when: the timetable, and what the DAG files share. No pipeline logic."""
