"""Filling: what comes between two bars, and after the last one."""

from collections.abc import Iterator
from typing import NamedTuple

from truetape.market.filling import filled


class Candle(NamedTuple):
    symbol: str
    start_ns: int
    close: int
    venue: str = "XNYS"


def every_ten(venue: str, after_ns: int, before_ns: int | None) -> Iterator[int]:
    """A session that ends at 50, with bars of 10."""
    yield from range(after_ns + 10, 50 if before_ns is None else before_ns, 10)


def repeat(before: Candle, start_ns: int, after: Candle | None) -> Candle:
    return before._replace(start_ns=start_ns)


def fill(*bars: Candle) -> list[Candle]:
    return list(filled(bars, every_ten, repeat))


def test_gaps_repeat_the_close_before_them_up_to_the_end_of_the_session() -> None:
    assert fill(Candle("A", 10, 5), Candle("A", 40, 6)) == [
        Candle("A", 10, 5), Candle("A", 20, 5), Candle("A", 30, 5), Candle("A", 40, 6),
    ]  # fmt: skip


def test_each_symbol_and_each_venue_is_filled_by_itself() -> None:
    bars = [Candle("A", 30, 5), Candle("A", 20, 7, "ARCX"), Candle("B", 40, 6)]

    assert [(bar.symbol, bar.venue, bar.start_ns) for bar in fill(*bars)] == [
        ("A", "XNYS", 30), ("A", "XNYS", 40),
        ("A", "ARCX", 20), ("A", "ARCX", 30), ("A", "ARCX", 40),
        ("B", "XNYS", 40),
    ]  # fmt: skip


def test_without_bars_nothing_is_filled() -> None:
    assert fill() == []
