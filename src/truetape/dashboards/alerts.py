"""Alert rules, and the YAML that provisions them in Grafana. Sends no alert itself.

The rules watch the set "live" only: rules have no variables, and a replay must alert nobody.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from truetape.dashboards import flux
from truetape.dashboards.board import DATASOURCE
from truetape.serving.buckets import load_buckets

HOUR_S = 3_600
DAY_S = 24 * HOUR_S
INTERVAL = "1m"
FRESH_S, SILENT_S, BOUNDARY_S = 30, 60, 4 * DAY_S
MAX_LAG, MAX_LETTERS = 10_000, 100


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule. It fires if the newest value of a series stays above `above` for `for_`.

    `back_s` is the length of the query's range. `no_data` is the state without data: "OK" or
    "Alerting".
    """

    uid: str
    title: str
    summary: str
    runbook: str
    query: str
    above: float
    for_: str
    back_s: int
    severity: str = "warning"
    no_data: str = "OK"


def _points(measurement: str, name: str, *conditions: str) -> str:
    return flux.pipe(
        f'from(bucket: "{load_buckets("live").pipeline.name}")',
        flux.RANGE,
        flux.where(measurement, flux.fields(name), *conditions),
    )


def _series(query: str, *steps: str, value: str = "float(v: r._value)", by: str = "") -> str:
    """Return a query for one current point, or one for each value of the column `by`."""
    label = f", {by}: r.{by}" if by else ""
    return flux.pipe(
        query, *steps, f"map(fn: (r) => ({{_time: now(), _value: {value}{label}}}))",
        flux.group_by(*([by] if by else [])),
    )  # fmt: skip


_AGE = "float(v: int(v: now()) - int(v: r._time)) / 1000000000.0"
_BOUNDARY_AGE = "float(v: int(v: now()) - r._value) / 1000000000.0"

ALERTS = (
    Alert(
        "truetape-speed-silent",
        "Speed layer silent",
        "The speed layer said nothing for {{ $values.B }} s; provisional bars stand still.",
        "docs/RUNBOOK.md#speed-layer-silent",
        _series(_points("speed_batch", "lag"), "last()", "group()", value=_AGE),
        SILENT_S,
        "1m",
        DAY_S,
        "critical",
    ),
    Alert(
        "truetape-not-fresh",
        "Bars not fresh",
        "New bars reached InfluxDB {{ $values.B }} s after they began.",
        "docs/RUNBOOK.md#bars-not-fresh",
        _series(_points("speed_freshness", "freshness_s"), "min()", "group()"),
        FRESH_S,
        "2m",
        300,
    ),
    Alert(
        "truetape-lag",
        "Lag does not go down",
        "For ten minutes at least {{ $values.B }} records waited in Kafka for the speed layer.",
        "docs/RUNBOOK.md#lag-does-not-go-down",
        _series(_points("speed_batch", "lag"), "min()", "group()"),
        MAX_LAG,
        "5m",
        600,
    ),
    Alert(
        "truetape-holes",
        "Holes in the lake",
        "The lake lacks {{ $values.B }} stretches of offsets that Kafka still has.",
        "docs/RUNBOOK.md#holes-in-the-lake",
        _series(_points("archive", "holes"), "last()", "group()"),
        0,
        "0s",
        DAY_S,
        "critical",
    ),
    Alert(
        "truetape-dead-letters",
        "Many dead letters",
        "{{ $values.B }} records of the last hour did not fit their contract.",
        "docs/RUNBOOK.md#many-dead-letters",
        _series(_points("archive", "dead_letters"), "sum()", "group()", "sum()"),
        MAX_LETTERS,
        "0s",
        HOUR_S,
    ),
    Alert(
        "truetape-gate",
        "Quality gate closed",
        "{{ $values.B }} gate rules of {{ $labels.venue }} did not hold within the last hour.",
        "docs/RUNBOOK.md#quality-gate-closed",
        _series(
            flux.pipe(
                f'from(bucket: "{load_buckets("live").pipeline.name}")',
                flux.RANGE,
                flux.where("quality", flux.fields("passed", "severity")),
            ),
            "last()",
            "toString()",
            "group()",
            'pivot(rowKey: ["venue", "suite", "rule", "_time"], columnKey: ["_field"], '
            'valueColumn: "_value")',
            'map(fn: (r) => ({venue: r.venue, _value: if r.severity == "gate" and '
            'r.passed == "false" then 1 else 0}))',
            flux.group_by("venue"),
            "sum()",
            by="venue",
        ),
        0,
        "0s",
        HOUR_S,
    ),
    Alert(
        "truetape-unexplained",
        "Unexplained change",
        "Publications changed {{ $values.B }} bars of {{ $labels.venue }} that no cause explains.",
        "docs/RUNBOOK.md#unexplained-change",
        _series(
            _points("drift", "bars", 'r.cause == "unexplained"'),
            "sum()",
            flux.group_by("venue"),
            "sum()",
            by="venue",
        ),
        0,
        "0s",
        DAY_S,
    ),
    Alert(
        "truetape-boundary",
        "Boundary behind",
        "{{ $labels.venue }} is final up to {{ humanizeDuration $values.B.Value }} ago.",
        "docs/RUNBOOK.md#boundary-behind",
        _series(
            _points("boundary", "final_ns", 'r.resolution == "1m"'),
            "last()",
            flux.group_by("venue"),
            value=_BOUNDARY_AGE,
            by="venue",
        ),
        BOUNDARY_S,
        "0s",
        30 * DAY_S,
    ),
)


def provisioning() -> str:
    """Return the YAML that provisions all rules.

    Grafana replaces `$NAME` in such a file from its environment, so each `$` is doubled.
    """
    group = {
        "orgId": 1,
        "name": "truetape",
        "folder": "truetape",
        "interval": INTERVAL,
        "rules": [_rule(alert) for alert in ALERTS],
    }
    text = yaml.safe_dump({"apiVersion": 1, "groups": [group]}, sort_keys=False, width=100)
    return "# Written by `make dashboards` from truetape.dashboards.alerts.\n" + text.replace(
        "$", "$$"
    )


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "uid": alert.uid,
        "title": alert.title,
        "condition": "C",
        "data": list(_steps(alert)),
        "noDataState": alert.no_data,
        "execErrState": "Error",
        "for": alert.for_,
        "annotations": {"summary": alert.summary, "runbook_url": alert.runbook},
        "labels": {"service": "truetape", "severity": alert.severity},
        "isPaused": False,
    }


def _steps(alert: Alert) -> Iterator[dict[str, Any]]:
    """Yield the query, the newest value of each of its series, and the comparison."""
    back = {"from": alert.back_s, "to": 0}
    yield {
        "refId": "A",
        "relativeTimeRange": back,
        "datasourceUid": DATASOURCE["uid"],
        "model": {"refId": "A", "datasource": dict(DATASOURCE), "query": alert.query},
    }
    newest = {"refId": "B", "type": "reduce", "expression": "A", "reducer": "last"}
    above = {
        "refId": "C",
        "type": "threshold",
        "expression": "B",
        "conditions": [{"evaluator": {"type": "gt", "params": [alert.above]}}],
    }
    for model in (newest, above):
        yield {
            "refId": model["refId"],
            "relativeTimeRange": back,
            "datasourceUid": "__expr__",
            "model": model | {"datasource": {"type": "__expr__", "uid": "__expr__"}},
        }
