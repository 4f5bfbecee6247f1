"""Served bars beside a vendor's: what differs, and which print explains it."""

from decimal import Decimal

import pytest

from support.build import NOON
from support.serving import MINUTE_NS, bar
from truetape.feeds.vendor_bars import VendorBar
from truetape.tour.acceptance import Difference, TapePrint, compare, reason_of

SPAN = (NOON, NOON + 10 * MINUTE_NS)
NO_CARRY: dict[int, Decimal] = {}
WIDTH = MINUTE_NS


def vendor(start_ns: int = NOON, **values: object) -> VendorBar:
    """The vendor's print of `support.serving.bar`; it prints neither VWAP nor trades."""
    fields = {"open": "100", "high": "101.5", "low": "99.25", "close": "100.5", "volume": "1200"}
    numbers = {name: Decimal(str(values.get(name, text))) for name, text in fields.items()}
    trades, vwap = values.get("trades"), values.get("vwap")
    return VendorBar(
        start_ns,
        **numbers,
        vwap=None if vwap is None else Decimal(str(vwap)),
        trades=None if trades is None else int(str(trades)),
    )


def test_equal_bars_agree() -> None:
    found = compare([bar()], [vendor()], SPAN, NO_CARRY)

    assert (found.compared, found.equal, found.share, found.differences) == (1, 1, 1.0, ())


@pytest.mark.parametrize("field", ["open", "high", "low", "close", "volume"])
def test_each_field_that_differs_is_named(field: str) -> None:
    found = compare([bar()], [vendor(**{field: "7"})], SPAN, NO_CARRY)

    assert [(item.field, item.vendor) for item in found.differences] == [(field, Decimal(7))]
    assert (found.compared, found.equal) == (1, 0)


def test_several_fields_of_one_bar_are_one_bar() -> None:
    found = compare([bar()], [vendor(open="1", close="2")], SPAN, NO_CARRY)

    assert (len(found.differences), found.equal) == (2, 0)


@pytest.mark.parametrize(
    ("served", "printed", "equal"),
    [
        pytest.param("100.19999999", "100.1", True, id="cut, not rounded"),
        pytest.param("100.19999999", "100.2", False, id="rounded up by the vendor"),
    ],
)
def test_a_vendor_s_vwap_is_compared_to_its_own_decimal(
    served: str, printed: str, equal: bool
) -> None:
    found = compare([bar(vwap=float(served))], [vendor(vwap=printed)], SPAN, NO_CARRY)

    assert (found.equal == 1) is equal


def test_a_vendor_s_count_is_compared() -> None:
    assert compare([bar(trades=17)], [vendor(trades=18)], SPAN, NO_CARRY).equal == 0
    assert compare([bar(trades=17)], [vendor(trades=17)], SPAN, NO_CARRY).equal == 1


def test_a_bar_that_only_one_side_has_is_a_difference() -> None:
    second = NOON + MINUTE_NS

    found = compare([bar()], [vendor(second)], SPAN, NO_CARRY)

    assert found.differences == (
        Difference(NOON, "bar", Decimal("100.5"), None, "the vendor has no such bar"),
        Difference(second, "bar", None, Decimal("100.5"), "only the vendor has this bar"),
    )


def test_void_bars_and_bars_outside_the_span_are_not_compared() -> None:
    outside = SPAN[1]
    rows = [bar(void=True), bar(start_ns=outside)]

    assert compare(rows, [vendor(outside)], SPAN, NO_CARRY).compared == 0


def test_volume_without_a_price_is_added_to_the_bar_before() -> None:
    carried = {NOON + 60: Decimal(40), NOON + 90: Decimal(2)}

    assert compare([bar()], [vendor(volume="1242")], SPAN, carried).equal == 1


PRINTS = (
    TapePrint(NOON + 1, Decimal(100), ()),
    TapePrint(NOON + 2, Decimal(30), ("T", "I")),
    TapePrint(NOON + WIDTH, Decimal(55), ()),
)


@pytest.mark.parametrize(
    ("served", "printed", "expected"),
    [
        pytest.param("130", "100", "the vendor lacks one print of 30 (conditions T I)", id="lacks"),
        pytest.param(
            "130", "30", "the vendor lacks one print of 100 (conditions none)", id="plain"
        ),
        pytest.param(
            "130",
            "185",
            "the vendor books a print of 55 here that was printed in another bar",
            id="books another bar's",
        ),
        pytest.param("130", "99", "no single print accounts for it", id="unexplained"),
        pytest.param("185", "130", "no single print accounts for it", id="not of this bar"),
    ],
)
def test_a_difference_in_volume_is_explained_by_a_single_print(
    served: str, printed: str, expected: str
) -> None:
    difference = Difference(NOON, "volume", Decimal(served), Decimal(printed), "")

    assert reason_of(difference, PRINTS, WIDTH) == expected


def test_a_difference_in_price_keeps_its_reason() -> None:
    difference = Difference(NOON, "close", Decimal(1), Decimal(2), "as it was")

    assert reason_of(difference, PRINTS, WIDTH) == "as it was"
