"""The containers of `docker-compose.airflow.yml`: their secrets, set-up and health checks."""
