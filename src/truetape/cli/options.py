"""Options that several verbs share, and the parsers of their values.

Runs no verb and reads no settings.
"""

import math
from collections.abc import Callable
from datetime import date
from typing import Any

import click

from truetape.host.dates import parse_date, parse_day
from truetape.host.errors import ConfigError
from truetape.host.timeframes import require_amount, require_timeframe
from truetape.host.words import require_reason, require_symbol
from truetape.market.event_time import Shape, TimeSpec, parse
from truetape.market.resolution import Resolution
from truetape.market.timeframe import Fill, Origin

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


class _Edge(click.ParamType[int | date]):
    """An edge of a period: an instant, or a trading day of each bar's venue."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | date:
        from truetape.history.period import parse_edge

        if isinstance(value, date):  # click may convert twice
            return value
        text = str(value)
        if text.lstrip("-").isdecimal():
            return INSTANT.convert(value, param, ctx)
        try:
            return parse_edge(text, "the time")
        except ConfigError as error:
            self.fail(str(error), param, ctx)


class _Checked(click.ParamType[Any]):
    """A value that `parse` accepts; its ConfigError is the message."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        if not isinstance(value, str):  # click may convert twice
            return value
        try:
            return self._parse(str(value))
        except ConfigError as error:
            self.fail(str(error), param, ctx)


class Number(click.FloatRange):
    """A finite number from `least` to `most`."""

    def __init__(self, least: float | None = None, most: float | None = None) -> None:
        super().__init__(least, most)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class Whole(click.IntRange):
    """A whole number from `least` to `most`, by default as far as 64 bits reach."""

    def __init__(self, least: int = 0, most: int = 2**63 - 1) -> None:
        super().__init__(least, most)


def _venue_code(text: str) -> str:
    from truetape.host.venues import venue_named

    return venue_named(text).code


def _timeframe(text: str) -> str:
    return require_timeframe(text).value


INSTANT = _Instant()
EDGE = _Edge()
DATE = _Checked("date", parse_date)
DAY = _Checked("date", parse_day)
SYMBOL = _Checked("symbol", require_symbol)
VENUE = _Checked("venue", _venue_code)
REASON = _Checked("3-500 characters", require_reason)
AMOUNT = _Checked("amount", require_amount)
TIMEFRAME = _Checked("width", _timeframe)
"""Any width of bars that readers may ask for, in its usual form."""
RESOLUTION = click.Choice([resolution.value for resolution in Resolution])


symbol_is_option = click.option(
    "--symbol-is",
    type=SYMBOL,
    help="The symbol of the files, for feeds whose rows and file names do not say it.",
)
date_is_option = click.option(
    "--date-is", "day", type=DATE, metavar="YYYY-MM-DD", help="The date of the files, likewise."
)


def session_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--venue` and `--session` to a verb that works on one session."""
    day = click.option("--session", "day", required=True, metavar="DATE", help="Session date.")
    venue = click.option("--venue", required=True, help="Venue code, such as XNYS or KRAKEN.")
    return venue(day(verb))


def resolution_option(text: str = "Width of the bars.") -> Decorator:
    """Return `--resolution`, one minute by default; `text` is its help."""
    return click.option("--resolution", type=RESOLUTION, default="1m", show_default=True, help=text)


def timeframe_option(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--resolution` for any width, one minute by default, with `--origin` and `--fill`."""
    width = click.option(
        "--resolution",
        type=TIMEFRAME,
        default="1m",
        show_default=True,
        help="Width of the bars: one that divides a day, like 15s or 4h; 1d, 1w or 1M.",
    )
    return width(origin_option(fill_option(verb)))


def feed_option(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--feed`: the name of a feed, or the file of a contract."""
    text = "The feed: a name of `truetape feed list`, or a contract's file, such as ./acme.yaml."
    return click.option("--feed", required=True, help=text)(verb)


def origin_option(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--origin`: where bars narrower than a day are counted from."""
    text = "Count bars narrower than a day from midnight UTC, or from the session's open."
    return with_default(
        "--origin", click.Choice([origin.value for origin in Origin]), Origin.UTC.value, text
    )(verb)


def fill_option(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--fill`: what an empty interval of the regular session gets."""
    text = "Empty intervals of the session get no bar, or one at the previous close."
    return with_default(
        "--fill", click.Choice([fill.value for fill in Fill]), Fill.NONE.value, text
    )(verb)


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


def with_default(name: str, kind: click.ParamType[Any], default: object, text: str) -> Decorator:
    """Return an option with a default, which its help shows; `text` is its help."""
    return click.option(name, type=kind, default=default, show_default=True, help=text)


def limit_option(default: int, text: str) -> Decorator:
    """Return `--limit`, a number of lines; `text` is its help."""
    return with_default("--limit", Whole(), default, text)
