"""How panels draw: options of the kinds that the boards use. Holds no query."""

from collections.abc import Mapping
from typing import Any

Drawn = Mapping[str, Any]

GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"


def thresholds(*steps: tuple[float | None, str]) -> Drawn:
    """Colour a value by the last step that it reaches; the first step has no value."""
    return {
        "color": {"mode": "thresholds"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": colour} for value, colour in steps],
        },
    }


def said(texts: Mapping[str, tuple[str, str]], otherwise: str) -> Drawn:
    """Write words in place of some values, each with its colour, and others for no value at all."""
    named = {
        value: {"text": text, "color": colour, "index": index}
        for index, (value, (text, colour)) in enumerate(texts.items())
    }
    mappings = [{"type": "value", "options": named}] if named else []
    return {"mappings": mappings, "noValue": otherwise}


def worded(texts: Mapping[str, tuple[str, str]]) -> Drawn:
    """Write words in their colours in place of some values of a table's column."""
    options = {value: {"text": text, "color": colour} for value, (text, colour) in texts.items()}
    return {
        "mappings": [{"type": "value", "options": options}],
        "custom.cellOptions": {"type": "color-text"},
    }


def stat(*, names: bool = False) -> Drawn:
    """Show the value of a one-row answer, of each of its fields with `names`."""
    return {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "value_and_name" if names else "value",
    }


def bars_of_rows() -> Drawn:
    """Draw a bar for each row of a table."""
    return {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": True},
        "displayMode": "basic",
        "orientation": "horizontal",
    }


def table(sorted_by: str, *, descending: bool = False) -> Drawn:
    """Show a table with its rows in the order of a column."""
    return {"cellHeight": "sm", "sortBy": [{"displayName": sorted_by, "desc": descending}]}


def series(*calcs: str) -> Drawn:
    """Show a legend below, and all series at the cursor."""
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "calcs": list(calcs)},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def lines(name: str = "") -> Drawn:
    """Draw lines that end at gaps; `name` is a label, or a text with labels in it."""
    return _custom("line", name, lineWidth=1, fillOpacity=0, spanNulls=False, showPoints="auto")


def stacked(name: str = "") -> Drawn:
    """Draw bars, one series on the other."""
    stacking = {"mode": "normal", "group": "A"}
    return _custom("bars", name, lineWidth=0, fillOpacity=70, stacking=stacking)


def points(name: str = "") -> Drawn:
    """Draw points: one for each event."""
    return _custom("points", name, showPoints="always", pointSize=7)


def _custom(style: str, name: str, **more: Any) -> Drawn:
    named = {"displayName": name} if name else {}
    return {"custom": {"drawStyle": style, **more}, **named}


def links(pages: Mapping[str, str]) -> Drawn:
    """Lead from a cell to pages, by their titles."""
    return {
        "links": [{"title": title, "url": url, "targetBlank": True} for title, url in pages.items()]
    }


def label(name: str) -> str:
    """Return the text that names a series by a label."""
    return f"${{__field.labels.{name}}}"


CANDLES: Drawn = {
    "mode": "candles+volume",
    "candleStyle": "candles",
    "colorStrategy": "open-close",
    "fields": {
        "open": "open", "high": "high", "low": "low", "close": "close", "volume": "volume",
    },
    "includeAllFields": True,
    "legend": {"displayMode": "list", "placement": "bottom", "calcs": []},
}  # fmt: skip
