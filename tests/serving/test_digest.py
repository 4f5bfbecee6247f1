"""Digests: the fold of a row against values computed by hand."""

import random
import sys
from collections.abc import Iterable

import pytest

from support.serving import bar, bars
from truetape.serving import digest
from truetape.serving.bar_table import table_of
from truetape.serving.digest import NOTHING, plus, sums
from truetape.serving.store import Digest, ServedBar


def digests_of(rows: Iterable[ServedBar]) -> dict[str, Digest]:
    return digest.digests_of(table_of(rows))


def digest_of(rows: Iterable[ServedBar]) -> Digest:
    [only] = digests_of(rows).values()
    return only


def sum_of(rows: Iterable[ServedBar]) -> Digest:
    return sums(digests_of(rows).get("IBM"))


def flat(price: float, volume: float, **fields: object) -> ServedBar:
    return bar(open=price, high=price, low=price, close=price, vwap=price, volume=volume, **fields)


@pytest.mark.parametrize(
    ("price", "volume", "seq", "expected"),
    [
        (0.0, 0.0, 0, 0),
        (1.0, 2.0, 0, 39 * 80 + 2 * 80),
        (1.0, 2.0, 1, 2 * 39 * 80 + 4 * 80),
        (-1.0, 0.0, 0, -39 * 80),
        (1e-9, 0.0, 0, 41),
        (0.0, 1e-8, 0, 10),
        (2.0**-33, 0.0, 0, 4),
        (sys.float_info.max, 1.0, 0, 0),
    ],
    ids=[
        "nothing",
        "by hand",
        "weighed by place",
        "negative",
        "last decimal of a price",
        "last decimal of a size",
        "rounded down",
        "overflow",
    ],
)
def test_the_fingerprint_of_a_row_equals_the_value_by_hand(
    price: float, volume: float, seq: int, expected: int
) -> None:
    """2^30 is 80 modulo 2^26 - 5, and the weights of the five prices add up to 39."""
    assert digest_of([flat(price, volume, seq=seq)]).fingerprint == expected


def test_the_order_of_the_bars_does_not_change_the_digest() -> None:
    rows = bars(100)
    shuffled = random.Random(1).sample(rows, len(rows))

    assert digest_of(shuffled) == digest_of(rows)


def test_swapping_values_of_two_bars_changes_the_digest() -> None:
    first, second = bars(2)
    original = [bar(seq=0, close=1.0), bar(seq=1, close=2.0, start_ns=second.start_ns)]
    swapped = [bar(seq=0, close=2.0), bar(seq=1, close=1.0, start_ns=second.start_ns)]

    assert first.start_ns < second.start_ns
    assert digest_of(original) != digest_of(swapped)


def test_each_symbol_has_its_own_digest() -> None:
    rows = [*bars(2), *bars(3, symbol="MSFT")]

    digests = digests_of(rows)

    assert {symbol: digest.bars for symbol, digest in digests.items()} == {"IBM": 2, "MSFT": 3}
    assert digests["MSFT"] == digest_of(bars(3, symbol="MSFT"))


@pytest.mark.parametrize("seed", range(20))
def test_sums_of_replaced_rows_are_those_of_all_rows(seed: int) -> None:
    dice = random.Random(seed)
    rows = [
        bar(
            seq=number,
            open=dice.uniform(0, 1e5),
            volume=dice.uniform(0, 1e6),
            rev=dice.randint(0, 3),
        )
        for number in range(30)
    ]
    gone = dice.sample(rows, dice.randint(0, 30))
    come = [one.in_state(rev=4, layer="batch", final=True, void=False) for one in gone]
    added = [bar(seq=30 + number, rev=4) for number in range(dice.randint(0, 3))]
    left = [one for one in rows if one not in gone]

    changed = plus(plus(sums(digest_of(rows)), sum_of(gone), sign=-1), sum_of([*come, *added]))

    assert changed == sum_of([*left, *come, *added])
    assert sum_of([]) == sums(None) == NOTHING
