"""Pages inside the Airflow UI: what is served, how the pipeline is, why a bar changed.

Changes nothing: a form on a page starts a DAG run through Airflow's API.
"""
