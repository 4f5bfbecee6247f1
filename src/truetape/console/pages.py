"""Templates, and the filters that format values in them. Reads no data.

Every value is escaped: no markup comes from data.
"""

from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from truetape import __version__
from truetape.drift.table import plain
from truetape.market.resolution import SECOND_NS
from truetape.pipeline.judgement import utc as utc_minute
from truetape.schedule.ui_pages import PAGES
from truetape.serving.table import utc


def render(template: str, **values: Any) -> str:
    """Render a template. Its links are relative, so that the console works below any prefix."""
    values = {"pages": PAGES, "in_tab": False} | values
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "utc": _instant,
        "minute": utc_minute,
        "count": _count,
        "ago": _ago,
        "kind": _kind,
        "grouped": _grouped,
        "percent": _percent,
    }
    environment.globals["version"] = __version__
    return environment


def _instant(value: int | datetime) -> str:
    """Format a timestamp for readers: in UTC, to the second."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return utc(value - value % SECOND_NS).replace("T", " ").replace("Z", " UTC")


def _count(value: float) -> str:
    return f"{value:,.0f}" if isinstance(value, int) or value == int(value) else f"{value:,.2f}"


def _ago(seconds: float) -> str:
    """Format a duration in its two largest units; below a minute, to the hundredth of a second."""
    if seconds < 60:
        return f"{seconds:.2f} s"
    remaining = int(seconds)
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        number, remaining = divmod(remaining, size)
        if number or (unit == "s" and not parts):
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2])


def _grouped(value: Decimal) -> str:
    """Format an exact number with thousands separators and all its decimals."""
    return f"{Decimal(plain(value)):,}"


def _percent(share: float) -> str:
    return f"{share:.3%}"


def _kind(value: object) -> str:
    """Return the name of a value's class, for templates that branch on it."""
    return type(value).__name__
