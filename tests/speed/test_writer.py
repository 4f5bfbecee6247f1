"""The end of the stream: what is written, what the fence holds back, what a failure leaves."""

from collections.abc import Iterable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from support.build import NOON, SECOND, VENUES
from truetape.errors import ConfigError, VerificationError
from truetape.market.resolution import Resolution
from truetape.reconcile.boundary import Boundary
from truetape.serving.store import DeadLine, ServedBar, WriteReport
from truetape.speed.writer import SpeedWriter, sequence


class Board:
    """The control topic as the writer sees it."""

    def __init__(self, fence_ns: int = 0) -> None:
        self.fence_ns = fence_ns

    def refresh(self) -> "Board":
        return self

    def boundaries(self) -> dict[str, Boundary]:
        return {"XNYS": Boundary("XNYS", self.fence_ns)} if self.fence_ns else {}


class Store:
    """Takes bars, or fails as it is told."""

    def __init__(self, outcome: Exception | str | None = None) -> None:
        self.outcome = outcome
        self.bars: list[ServedBar] = []

    def write(self, resolution: Resolution, bars: Iterable[ServedBar]) -> WriteReport:
        rows = list(bars)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if isinstance(self.outcome, str):
            return WriteReport(len(rows), len(rows) - 1, (DeadLine("bar", self.outcome),))
        self.bars += rows
        return WriteReport(len(rows), len(rows))


def frame(*starts_ns: int, price: Decimal | None = Decimal(100)) -> Any:
    rows = [
        SimpleNamespace(
            symbol="IBM", venue="XNYS", resolution="1s", start_ns=start, open=price, high=price,
            low=price, close=price, volume=Decimal(5), vwap=price, trades=1,
        )
        for start in starts_ns
    ]  # fmt: skip
    return SimpleNamespace(collect=lambda: rows)


def writer(store: Store, board: Board) -> SpeedWriter:
    return SpeedWriter(store, board, VENUES)  # type: ignore[arg-type]


def test_bars_are_served_as_provisional() -> None:
    store = Store()

    writer(store, Board())(frame(NOON), 0)

    (bar,) = store.bars
    assert (bar.layer, bar.final, bar.rev, bar.void) == ("speed", False, 0, False)
    assert (bar.start_ns, bar.close, bar.trades, bar.seq) == (NOON, 100.0, 1, 12 * 3_600)


def test_a_bar_below_the_fence_is_not_written_and_is_counted() -> None:
    store = Store()
    speed = writer(store, Board(fence_ns=NOON))

    speed(frame(NOON - SECOND, NOON), 0)

    assert [bar.start_ns for bar in store.bars] == [NOON]
    assert (speed.written, speed.fenced) == (1, 1)


def test_a_fence_is_taken_between_batches_and_told() -> None:
    board = Board()
    speed = writer(Store(), board)
    speed(frame(NOON), 0)
    board.fence_ns = NOON + SECOND

    speed.keep_to_fences()

    assert speed.fences == {"XNYS": NOON + SECOND}


def test_a_bar_without_an_eligible_price_is_not_served() -> None:
    store = Store()

    writer(store, Board())(frame(NOON, price=None), 0)

    assert store.bars == []


def test_a_refused_row_stops_the_batch() -> None:
    with pytest.raises(VerificationError, match="batch 7: 1 of 1 1s bars"):
        writer(Store("type conflict"), Board())(frame(NOON), 7)


def test_what_went_wrong_is_kept_for_the_exit_code() -> None:
    refused = ConfigError("older than the bucket keeps")
    speed = writer(Store(refused), Board())

    with pytest.raises(ConfigError):
        speed(frame(NOON), 0)

    assert speed.failure is refused


def test_the_ordinal_counts_widths_from_the_venues_midnight() -> None:
    venue = VENUES["XNYS"]

    assert sequence(venue, NOON, Resolution.MINUTE) == 12 * 60
    assert sequence(venue, venue.midnight_ns(venue.date_of(NOON)), Resolution.SECOND) == 0
