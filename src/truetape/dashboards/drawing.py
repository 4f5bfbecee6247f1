"""How panels draw: the visualizations and field options that the boards use. Holds no query."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Options = dict[str, Any]
"""Options as Grafana names them; `|` puts those of several functions together."""

GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"


@dataclass(frozen=True, slots=True)
class Visualization:
    """Grafana's kind of a panel, the options of that kind, and the defaults of its fields."""

    kind: str
    options: Options
    defaults: Options = field(default_factory=dict)


def stat(*, names: bool = False) -> Visualization:
    """Show the value of a one-row answer. With `names`, show each field with its name."""
    options = {
        "reduceOptions": _last_value(rows=False),
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "value_and_name" if names else "value",
    }
    return Visualization("stat", options)


def bars_of_rows() -> Visualization:
    """Draw a bar for each row of a table."""
    options = {
        "reduceOptions": _last_value(rows=True),
        "displayMode": "basic",
        "orientation": "horizontal",
    }
    return Visualization("bargauge", options)


def table(sorted_by: str, *, descending: bool = False, filterable: bool = False) -> Visualization:
    """Show a table with its rows in the order of a column."""
    options = {"cellHeight": "sm", "sortBy": [{"displayName": sorted_by, "desc": descending}]}
    filters = {"filterable": True} if filterable else {}
    return Visualization("table", options, {"custom": {"align": "auto", **filters}})


def lines(label: str = "", *calcs: str, at_thresholds: bool = False) -> Visualization:
    """Draw lines that end at gaps. A label names each series; the legend shows its `calcs`.

    With `at_thresholds`, draw a line at each threshold, too.
    """
    custom = {"lineWidth": 1, "fillOpacity": 0, "spanNulls": False, "showPoints": "auto"}
    custom |= {"thresholdsStyle": {"mode": "line"}} if at_thresholds else {}
    return _over_time("line", label, calcs, custom)


def stacked(label: str = "") -> Visualization:
    """Draw bars, one series on the other. A label names each series; the legend shows its sum."""
    custom = {"lineWidth": 0, "fillOpacity": 70, "stacking": {"mode": "normal", "group": "A"}}
    return _over_time("bars", label, ("sum",), custom)


def points(label: str = "", *calcs: str) -> Visualization:
    """Draw points, one for each event. A label names each series; the legend shows its `calcs`."""
    return _over_time("points", label, calcs, {"showPoints": "always", "pointSize": 7})


def across(column: str) -> Visualization:
    """Draw series over a column of numbers instead of time."""
    return Visualization("trend", {"xField": column, **_series(())})


def candles() -> Visualization:
    """Draw candles with their volume, and all other fields as lines above them."""
    options = {
        "mode": "candles+volume",
        "candleStyle": "candles",
        "colorStrategy": "open-close",
        "fields": {name: name for name in ("open", "high", "low", "close", "volume")},
        "includeAllFields": True,
        "legend": _legend(()),
    }
    custom = {"lineWidth": 1, "fillOpacity": 0, "spanNulls": False}
    return Visualization("candlestick", options, {"custom": custom})


def thresholds(*steps: tuple[float | None, str]) -> Options:
    """Colour a value by the last step that it reaches; the first step has no value."""
    return {
        "color": {"mode": "thresholds"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": colour} for value, colour in steps],
        },
    }


def fixed_colour(colour: str) -> Options:
    """Draw a field in one colour."""
    return {"color": {"mode": "fixed", "fixedColor": colour}}


def value_texts(texts: Mapping[str, tuple[str, str]], no_value: str) -> Options:
    """Show coloured words in place of some values, and `no_value` where there is no value."""
    named = {
        value: {"text": text, "color": colour, "index": index}
        for index, (value, (text, colour)) in enumerate(texts.items())
    }
    mappings = [{"type": "value", "options": named}] if named else []
    return {"mappings": mappings, "noValue": no_value}


def cell_texts(texts: Mapping[str, tuple[str, str]]) -> Options:
    """Show coloured words in place of some values of a table's column."""
    options = {value: {"text": text, "color": colour} for value, (text, colour) in texts.items()}
    return {
        "mappings": [{"type": "value", "options": options}],
        "custom.cellOptions": {"type": "color-text"},
    }


def cell_links(pages: Mapping[str, str]) -> Options:
    """Link a cell to pages, by their titles."""
    return {
        "links": [{"title": title, "url": url, "targetBlank": True} for title, url in pages.items()]
    }


def _over_time(style: str, label: str, calcs: tuple[str, ...], custom: Options) -> Visualization:
    name = {"displayName": f"${{__field.labels.{label}}}"} if label else {}
    return Visualization(
        "timeseries", _series(calcs), {"custom": {"drawStyle": style} | custom} | name
    )


def _series(calcs: tuple[str, ...]) -> Options:
    """Show a legend below, and all series at the cursor."""
    return {"legend": _legend(calcs), "tooltip": {"mode": "multi", "sort": "desc"}}


def _legend(calcs: tuple[str, ...]) -> Options:
    return {"displayMode": "list", "placement": "bottom", "calcs": list(calcs)}


def _last_value(*, rows: bool) -> Options:
    return {"calcs": ["lastNotNull"], "fields": "", "values": rows}
