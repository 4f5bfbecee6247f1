"""Bars of files as lines of text: CSV or JSON, each number as exact decimal text."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from truetape.batch.bar_requests import BarRequest, FileBar
from truetape.feeds.native import iso
from truetape.market.amount_bars import Amount
from truetape.market.bars import Bar
from truetape.market.timeframe import Fill

COLUMNS = (
    "symbol", "venue", "resolution", "start", "open", "high", "low", "close",
    "volume", "vwap", "trades",
)  # fmt: skip
OF_AMOUNTS = ("session", "seq", "end")
"""More columns of bars by amount: `end` is the time of the last print."""
OF_FILLED = ("filled",)

Field = str | int | bool


def lines(bars: Iterable[FileBar], style: str, request: BarRequest | None = None) -> Iterator[str]:
    """Format bars as CSV with a header, or as JSON lines.

    Bars by amount, and those of a request with filled intervals, have more columns.
    """
    amount = request.width if request and isinstance(request.width, Amount) else None
    has_filled = request is not None and request.fill is not Fill.NONE
    columns = (*COLUMNS, *(OF_AMOUNTS if amount else OF_FILLED if has_filled else ()))
    if style == "csv":
        yield ",".join(columns)
    for bar in bars:
        if isinstance(bar, Bar):
            fields = _common(bar, bar.resolution.value) + ([bar.filled] if has_filled else [])
        else:
            fields = [*_common(bar, str(amount)), str(bar.session), bar.seq, iso(bar.end_ns)]
        if style == "csv":
            yield _csv_line(fields)
        else:
            yield json.dumps(dict(zip(columns, fields, strict=True)))


def _common(bar: FileBar, width: str) -> list[Field]:
    prices = [
        _exact(price) for price in (bar.open, bar.high, bar.low, bar.close) if price is not None
    ]
    return [
        bar.symbol,
        bar.venue,
        width,
        iso(bar.start_ns),
        *prices,
        _exact(bar.volume),
        "" if bar.vwap is None else _exact(bar.vwap),
        bar.trades,
    ]


def _csv_line(fields: Sequence[Field]) -> str:
    text = io.StringIO()
    values = (str(field).lower() if isinstance(field, bool) else field for field in fields)
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()


def _exact(value: Decimal) -> str:
    """Return a decimal without exponent and trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
