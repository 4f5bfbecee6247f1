"""Grafana as code: boards and alerts, generated into `grafana/`. Asks no server anything."""
