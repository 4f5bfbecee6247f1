"""Boards, panels, variables and annotations as objects, and the classic JSON that Grafana loads.

Does not know what a board shows. The format is schema version 41 of
https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/.
Later Grafanas migrate it when they load it. ADR 0027 says why Grafana's own builders are not used.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from truetape.dashboards.drawing import Options, Visualization

SCHEMA_VERSION = 41
MAX_POINTS = 500
"""The default number of points that a panel asks for: as many as half a screen can show."""
DATASOURCE: Mapping[str, str] = {"type": "influxdb", "uid": "truetape-influxdb"}


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: its queries, how it draws their answers, and what a reader must know.

    `unit` is Grafana's name of a unit. `defaults` are added to the defaults of the visualization.
    `overrides` are field options by field name. `links` are URLs by title.
    """

    title: str
    description: str
    visualization: Visualization
    unit: str
    queries: Sequence[str]
    width: int
    defaults: Options = field(default_factory=dict)
    overrides: Mapping[str, Options] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    max_points: int = MAX_POINTS


@dataclass(frozen=True, slots=True)
class PanelRow:
    """Panels side by side, all of one height."""

    height: int
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class ChoiceVariable:
    """A variable with fixed values, by the text that a reader sees; the first is the default."""

    name: str
    label: str
    description: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class QueryVariable:
    """A variable whose values a query returns. With `many`, a reader can pick several or all."""

    name: str
    label: str
    description: str
    query: str
    many: bool = False


@dataclass(frozen=True, slots=True)
class TextVariable:
    """A variable that a reader types."""

    name: str
    label: str
    description: str
    value: str


Variable = ChoiceVariable | QueryVariable | TextVariable


@dataclass(frozen=True, slots=True)
class Annotation:
    """Marks on the time axis, from a query that returns `_time`, `text` and `tags`."""

    name: str
    colour: str
    query: str


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard. `folder` is Grafana's folder and ours; `span` is the initial time range."""

    uid: str
    folder: str
    title: str
    description: str
    variables: Sequence[Variable]
    annotations: Sequence[Annotation]
    rows: Sequence[PanelRow]
    span: str
    refresh: str


def dashboard(board: Board) -> Options:
    """Return the classic JSON of a board. The same board always gives the same JSON."""
    link = {
        "title": "truetape's boards",
        "type": "dashboards",
        "tags": ["truetape"],
        "asDropdown": True,
        "includeVars": False,
        "keepTime": True,
    }
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
        "annotations": {"list": [_annotation(annotation) for annotation in board.annotations]},
        "templating": {"list": [_variable(variable) for variable in board.variables]},
        "links": [link],
        "panels": list(_panels(board.rows)),
    }


def _panels(rows: Sequence[PanelRow]) -> Iterator[Options]:
    """Yield panels from left to right and from top to bottom, numbered from 1."""
    number, top = 0, 0
    for row in rows:
        left = 0
        for panel in row.panels:
            number += 1
            position = {"x": left, "y": top, "w": panel.width, "h": row.height}
            yield _panel(panel, number, position)
            left += panel.width
        top += row.height


def _panel(panel: Panel, number: int, position: Options) -> Options:
    links = [{"title": title, "url": url} for title, url in panel.links.items()]
    return {
        "id": number,
        "title": panel.title,
        "description": panel.description,
        "type": panel.visualization.kind,
        "gridPos": position,
        "datasource": dict(DATASOURCE),
        "maxDataPoints": panel.max_points,
        "targets": [_target("ABCDEF"[at], query) for at, query in enumerate(panel.queries)],
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                **panel.visualization.defaults,
                **panel.defaults,
                **({"links": links} if links else {}),
            },
            "overrides": [_override(name, options) for name, options in panel.overrides.items()],
        },
        "options": panel.visualization.options,
    }


def _target(ref: str, query: str) -> Options:
    return {"refId": ref, "datasource": dict(DATASOURCE), "query": query}


def _override(name: str, options: Options) -> Options:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key, "value": value} for key, value in options.items()],
    }


def _variable(variable: Variable) -> Options:
    common = {
        "name": variable.name,
        "label": variable.label,
        "description": variable.description,
        "hide": 0,
        "skipUrlSync": False,
    }
    match variable:
        case ChoiceVariable():
            return common | _choice(variable.values)
        case QueryVariable():
            return common | _query(variable.query, many=variable.many)
        case TextVariable():
            value = {"text": variable.value, "value": variable.value}
            return common | {"type": "textbox", "query": variable.value, "current": value}


def _choice(values: Mapping[str, str]) -> Options:
    options = [{"text": text, "value": value} for text, value in values.items()]
    return {
        "type": "custom",
        "query": ",".join(f"{text} : {value}" for text, value in values.items()),
        "options": [option | {"selected": index == 0} for index, option in enumerate(options)],
        "current": options[0],
        "multi": False,
        "includeAll": False,
    }


def _query(query: str, *, many: bool) -> Options:
    all_chosen = {"text": ["All"], "value": ["$__all"]}
    return {
        "type": "query",
        "datasource": dict(DATASOURCE),
        "query": query,
        "definition": query,
        "refresh": 1,
        "sort": 1,
        "multi": many,
        "includeAll": many,
        **({"allValue": ".*", "current": all_chosen} if many else {}),
    }


def _annotation(annotation: Annotation) -> Options:
    columns = {"time": "_time", "text": "text", "tags": "tags"}
    return {
        "name": annotation.name,
        "enable": True,
        "iconColor": annotation.colour,
        "datasource": dict(DATASOURCE),
        "target": _target("Anno", annotation.query),
        "mappings": {
            name: {"source": "field", "value": column} for name, column in columns.items()
        },
    }
