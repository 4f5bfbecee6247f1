"""Compare the served bars with those that a vendor published beside its trades.

Only reads; `acceptance` decides what differs.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from truetape.feeds import vendor_bars
from truetape.feeds.contract import load_contract
from truetape.feeds.decoder import Limits
from truetape.feeds.files import decode_file
from truetape.feeds.vendor_bars import VendorBar
from truetape.host import calendars
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.bars import read_session_bars
from truetape.market.resolution import MS_NS, Resolution
from truetape.market.trades import Trade
from truetape.serving.store import BarStore, ServedBar
from truetape.tour.acceptance import Agreement, TapePrint, compare, reason_of

_NEARBY_NS = 180_000_000_000


@dataclass(frozen=True, slots=True)
class VendorCheck:
    """The comparison of one file at one resolution."""

    symbol: str
    file: Path
    resolution: Resolution
    agreement: Agreement


def checks(
    settings: Settings, store: BarStore, paths: tuple[Path, ...], feed: str
) -> Iterator[VendorCheck]:
    """Compare the bars in `store` for each file that has vendor bars beside it."""
    for path in paths:
        for resolution, bars in vendor_bars.beside(path, feed).items():
            first = next(_trades(path, feed, settings))
            served = _served(store, first, resolution, bars)
            covered = (served[0].start_ns, served[-1].start_ns) if served else (0, 0)
            span = vendor_bars.compared_span(path, feed, covered, resolution.width_ns)
            carried = _carried(settings, first, resolution, span)
            agreement = compare(served, bars, span, carried)
            explained = _explained(agreement, path, feed, resolution, settings)
            yield VendorCheck(first.symbol, path, resolution, explained)


def _served(
    store: BarStore, example: Trade, resolution: Resolution, vendor: list[VendorBar]
) -> list[ServedBar]:
    start, end = vendor[0].start_ns, vendor[-1].start_ns + resolution.width_ns
    return list(store.read(resolution, start, end, venue=example.venue, symbols=[example.symbol]))


def _carried(
    settings: Settings, example: Trade, resolution: Resolution, span: tuple[int, int]
) -> dict[int, Decimal]:
    venue = venues()[example.venue]
    days = (venue.date_of(span[0]), venue.date_of(span[1]))
    volumes: dict[int, Decimal] = {}
    for session in calendars.sessions(venue, *days):
        if session.open_ns is not None:
            volumes |= read_session_bars(settings.lake, session).unserved(
                resolution, example.symbol
            )
    return volumes


def _explained(
    agreement: Agreement, path: Path, feed: str, resolution: Resolution, settings: Settings
) -> Agreement:
    """Find the print behind each difference. Reads the file only if there is a difference."""
    if not agreement.differences:
        return agreement
    starts = {difference.start_ns for difference in agreement.differences}
    prints = list(_prints(_trades(path, feed, settings), starts))
    reasons = [
        replace(item, reason=reason_of(item, _near(prints, item.start_ns), resolution.width_ns))
        for item in agreement.differences
    ]
    of_bar = {item.start_ns: item.reason for item in reasons if item.reason}
    explained = tuple(replace(item, reason=of_bar.get(item.start_ns, "")) for item in reasons)
    return replace(agreement, differences=explained)


def _prints(trades: Iterable[Trade], starts: set[int]) -> Iterator[TapePrint]:
    for trade in trades:
        if any(abs(trade.event_ns - start) < _NEARBY_NS for start in starts):
            yield TapePrint(trade.event_ns, trade.size, trade.conditions)


def _near(prints: list[TapePrint], start_ns: int) -> list[TapePrint]:
    return [item for item in prints if abs(item.event_ns - start_ns) < _NEARBY_NS]


def _trades(path: Path, feed: str, settings: Settings) -> Iterator[Trade]:
    read_ms = time.time_ns() // MS_NS
    for _, items in decode_file(path, load_contract(feed), Limits.of(settings), read_ms):
        yield from (item for item in items if isinstance(item, Trade))
