"""Options that several verbs share, and the parsers of their values.

Runs no verb and reads no settings.
"""

from collections.abc import Callable
from typing import Any

import click

from truetape.market.event_time import Shape, TimeSpec, parse
from truetape.market.resolution import Resolution

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class _Instant(click.ParamType[int]):
    """An ISO 8601 time with offset, or epoch nanoseconds."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        text = str(value)
        spec = TimeSpec(Shape.EPOCH_NS if text.lstrip("-").isdecimal() else Shape.ISO8601)
        parsed = parse(text, spec)
        if not isinstance(parsed, int):
            self.fail(f"{text!r}: {parsed.detail}; write it like 2026-11-20T21:00:00Z", param, ctx)
        return parsed


INSTANT = _Instant()
RESOLUTION = click.Choice([resolution.value for resolution in Resolution])


def session_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--venue` and `--session` to a verb that works on one session."""
    day = click.option("--session", "day", required=True, metavar="DATE", help="Session date.")
    venue = click.option("--venue", required=True, help="Venue code, such as XNYS or KRAKEN.")
    return venue(day(verb))


def resolution_option(text: str = "Width of the bars.") -> Decorator:
    """Return `--resolution`, one minute by default; `text` is its help."""
    return click.option("--resolution", type=RESOLUTION, default="1m", show_default=True, help=text)


def format_option(*styles: str, text: str) -> Decorator:
    """Return `--format`, the first of `styles` by default; `text` is its help."""
    return click.option(
        "--format",
        "style",
        type=click.Choice(styles),
        default=styles[0],
        show_default=True,
        help=text,
    )


def plot_option(file: str, text: str) -> Decorator:
    """Return `--plot [FILE.html]`: `file` without a value; `text` is its help."""
    return click.option("--plot", is_flag=False, flag_value=file, metavar="[FILE.html]", help=text)


def limit_option(default: int, text: str) -> Decorator:
    """Return `--limit`, a number of lines; `text` is its help."""
    return click.option("--limit", default=default, show_default=True, help=text)
