"""Pages inside the Airflow UI: what is served, how the pipeline is, why a bar changed."""
