"""How verbs draw bars: an HTML page of one symbol, opened where there is a desktop."""

import re
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from truetape.host.private_home import files_for_others
from truetape.host.words import counted

if TYPE_CHECKING:
    from truetape.serving.store import ServedBar


def plot_bars(bars: "Sequence[ServedBar]", symbol: str, resolution: str, file: str) -> None:
    """Write the chart of a symbol's bars on one venue, to `file` or to a name made of both."""
    from truetape.serving.chart import write_chart

    venues = sorted({bar.venue for bar in bars})
    if len(venues) > 1:
        raise click.UsageError(f"{symbol} has bars on {', '.join(venues)}; choose one with --venue")
    if file and not file.endswith(".html"):
        raise click.UsageError(f"--plot {file!r}: give a name that ends in .html, like bars.html")
    path = Path(file or f"{re.sub(r'[^A-Za-z0-9.-]', '_', symbol)}-{resolution}.html")
    with files_for_others():
        write_chart(bars, f"{symbol} {resolution} on {venues[0]}, times in UTC", path)
    click.echo(f"{counted(len(bars), 'bar')} in {path}")
    if sys.stdout.isatty() and _has_desktop():
        webbrowser.open(path.absolute().as_uri())


def _has_desktop() -> bool:
    """True if a page would open in a window, not in this terminal."""
    try:
        return type(webbrowser.get()) is not webbrowser.GenericBrowser
    except webbrowser.Error:
        return False
