"""What the containers of `docker-compose.airflow.yml` need: secrets, set-up, health checks."""
