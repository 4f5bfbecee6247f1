"""Bars that a vendor published beside its trades, for comparison. They are never an input."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from truetape.market.resolution import SECOND_NS, Resolution

_DECI_CENT = Decimal("0.0001")
_LEAN_FOLDERS = {Resolution.SECOND: "second", Resolution.MINUTE: "minute"}
_MID_SESSION_S = ((9 * 60 + 31) * 60, (15 * 60 + 59) * 60)
_LEAN_ZONE = ZoneInfo("America/New_York")


@dataclass(frozen=True, slots=True)
class VendorBar:
    """One bar as the vendor published it. `vwap` and `trades` are None if it has none."""

    start_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    vwap: Decimal | None = None
    trades: int | None = None


def beside(trades: Path, feed: str) -> Mapping[Resolution, list[VendorBar]]:
    """Return the vendor's bars in the files beside a trade file, by resolution."""
    match feed:
        case "lean-equity-tick":
            return {
                resolution: list(_lean(path, trades))
                for resolution, folder in _LEAN_FOLDERS.items()
                if (path := trades.parents[2] / folder / trades.parent.name / trades.name).exists()
            }
        case "kraken-rest" if (path := trades.with_name("http_ohlc.json")).exists():
            return {Resolution.MINUTE: list(_kraken(path))}
        case _:
            return {}


def _lean(path: Path, trades: Path) -> Iterator[VendorBar]:
    """LEAN's second and minute files: ms of the New York day, deci-cents, shares; no header."""
    midnight = _midnight_ns(_lean_day(trades))
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as member:
        for row in csv.reader(io.TextIOWrapper(member, "ascii")):
            prices = [Decimal(value) * _DECI_CENT for value in row[1:5]]
            start = midnight + int(row[0]) * 1_000_000
            yield _bar(start, prices, Decimal(row[5]))


def _kraken(path: Path) -> Iterator[VendorBar]:
    """Kraken's OHLC answer without its empty minutes, which Kraken fills with the last close."""
    answer = json.loads(path.read_text(), parse_float=Decimal)["result"]
    rows = next(rows for name, rows in answer.items() if name != "last")
    for start, opened, high, low, close, vwap, volume, count in rows:
        if count:
            prices = [Decimal(value) for value in (opened, high, low, close)]
            bar = _bar(int(start) * SECOND_NS, prices, Decimal(volume))
            yield replace(bar, vwap=Decimal(vwap), trades=int(count))


def _bar(start_ns: int, prices: list[Decimal], volume: Decimal) -> VendorBar:
    opened, high, low, close = prices
    return VendorBar(start_ns, opened, high, low, close, volume)


def compared_span(
    trades: Path, feed: str, covered: tuple[int, int], width_ns: int
) -> tuple[int, int]:
    """Return the half-open span of bar starts in which the vendor's bars and ours are comparable.

    LEAN: 09:31 to 15:59 New York, since the vendor has rules of its own for auctions. Other feeds:
    strictly between the first and the last bar of `covered`, which the file may contain in part.
    """
    if feed == "lean-equity-tick":
        midnight = _midnight_ns(_lean_day(trades))
        return midnight + _MID_SESSION_S[0] * SECOND_NS, midnight + _MID_SESSION_S[1] * SECOND_NS
    return covered[0] + width_ns, covered[1]


def _lean_day(trades: Path) -> date:
    return datetime.strptime(trades.name[:8], "%Y%m%d").date()  # noqa: DTZ007 - a date, no instant


def _midnight_ns(day: date) -> int:
    local = datetime(day.year, day.month, day.day, tzinfo=_LEAN_ZONE)  # no DST change by day
    return int(local.timestamp()) * SECOND_NS
