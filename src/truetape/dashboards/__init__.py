"""Grafana as code: boards and alert rules, generated into `grafana/`. Contacts no server."""
