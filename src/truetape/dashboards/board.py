"""Boards, panels, variables and annotations as objects, and the classic JSON that Grafana loads.

Knows nothing of what a board shows. The format is schema version 41 of
https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/,
which later Grafanas migrate when they load it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 41
COLUMNS = 24
"""The width of Grafana's grid."""
MAX_POINTS = 500
"""Points a panel asks for where it says nothing else: what a panel of half a screen can show."""
DATASOURCE: Mapping[str, str] = {"type": "influxdb", "uid": "truetape-influxdb"}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: what it asks, how it draws the answer, and what a reader must know.

    `unit` is Grafana's name of a unit. `defaults` go into the defaults of its fields, `options`
    are those of its kind, `overrides` are by field name. `links` lead from a value elsewhere: title
    and URL.
    """

    title: str
    description: str
    kind: str
    unit: str
    queries: Sequence[str]
    width: int
    defaults: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    max_points: int = MAX_POINTS


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side, all of one height."""

    height: int
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable with fixed values: by what a reader sees, the value; the first is the default."""

    name: str
    label: str
    description: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """A variable whose values a query returns; `many` lets a reader pick several, or all."""

    name: str
    label: str
    description: str
    query: str
    many: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """A variable that a reader types."""

    name: str
    label: str
    description: str
    value: str


Variable = Choice | Asked | Written


@dataclass(frozen=True, slots=True)
class Annotation:
    """Marks on the time axis, from a query that returns `_time`, `text` and `tags`."""

    name: str
    colour: str
    query: str


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard. `folder` is Grafana's folder and ours; `span` is the range at first."""

    uid: str
    folder: str
    title: str
    description: str
    variables: Sequence[Variable]
    annotations: Sequence[Annotation]
    rows: Sequence[Row]
    span: str
    refresh: str


def dashboard(board: Board) -> Json:
    """Return the classic JSON of a board; the same board gives the same JSON."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.description,
        "tags": ["truetape", board.folder],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "utc",
        "refresh": board.refresh,
        "time": {"from": f"now-{board.span}", "to": "now"},
        "annotations": {"list": [_annotation(one) for one in board.annotations]},
        "templating": {"list": [_variable(one) for one in board.variables]},
        "links": [
            {
                "title": "truetape's boards",
                "type": "dashboards",
                "tags": ["truetape"],
                "asDropdown": True,
                "includeVars": False,
                "keepTime": True,
            }
        ],
        "panels": list(_panels(board.rows)),
    }


def _panels(rows: Sequence[Row]) -> Iterator[Json]:
    """Yield panels from left to right and from top to bottom, numbered from 1."""
    number, top = 0, 0
    for row in rows:
        left = 0
        for panel in row.panels:
            number += 1
            place = {"x": left, "y": top, "w": panel.width, "h": row.height}
            yield _panel(panel, number, place)
            left += panel.width
        top += row.height


def _panel(panel: Panel, number: int, place: Json) -> Json:
    links = [{"title": title, "url": url} for title, url in panel.links.items()]
    return {
        "id": number,
        "title": panel.title,
        "description": panel.description,
        "type": panel.kind,
        "gridPos": place,
        "datasource": dict(DATASOURCE),
        "maxDataPoints": panel.max_points,
        "targets": [
            {"refId": "ABCDEF"[index], "datasource": dict(DATASOURCE), "query": query}
            for index, query in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                **panel.defaults,
                **({"links": links} if links else {}),
            },
            "overrides": [_override(*pair) for pair in panel.overrides.items()],
        },
        "options": dict(panel.options),
    }


def _override(name: str, properties: Mapping[str, Any]) -> Json:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }


def _variable(variable: Variable) -> Json:
    common = {
        "name": variable.name,
        "label": variable.label,
        "description": variable.description,
        "hide": 0,
        "skipUrlSync": False,
    }
    match variable:
        case Choice():
            options = [{"text": text, "value": value} for text, value in variable.values.items()]
            return common | {
                "type": "custom",
                "query": ",".join(f"{one['text']} : {one['value']}" for one in options),
                "options": [one | {"selected": index == 0} for index, one in enumerate(options)],
                "current": options[0],
                "multi": False,
                "includeAll": False,
            }
        case Asked():
            return common | _asked(variable)
        case Written():
            value = {"text": variable.value, "value": variable.value}
            return common | {"type": "textbox", "query": variable.value, "current": value}


def _asked(variable: Asked) -> Json:
    every = {"text": ["All"], "value": ["$__all"]}
    return {
        "type": "query",
        "datasource": dict(DATASOURCE),
        "query": variable.query,
        "definition": variable.query,
        "refresh": 1,
        "sort": 1,
        "multi": variable.many,
        "includeAll": variable.many,
        **({"allValue": ".*", "current": every} if variable.many else {}),
    }


def _annotation(annotation: Annotation) -> Json:
    named = {name: {"source": "field", "value": name} for name in ("text", "tags")}
    return {
        "name": annotation.name,
        "enable": True,
        "iconColor": annotation.colour,
        "datasource": dict(DATASOURCE),
        "target": {"refId": "Anno", "datasource": dict(DATASOURCE), "query": annotation.query},
        "mappings": {"time": {"source": "field", "value": "_time"}, **named},
    }
