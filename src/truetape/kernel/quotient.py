"""Quotients of decimal columns, rounded half-even once."""

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from truetape.kernel.columns import NUMBER, Array, Column
from truetape.market.bars import half_even_quotient

_DIVISOR = pa.decimal256(36, 18)
_WIDE = pa.scalar(Decimal(10) ** 18, NUMBER)
"""Denominators from here on do not fit `_DIVISOR`."""
_DIGITS = 37
"""Decimals of Arrow's quotient of 38 by 36 digits; the rest is cut off."""


def half_even_quotients(numerators: Column, denominators: Column, decimals: int) -> Array:
    """Return numerator / denominator for columns of `NUMBER`, null where the denominator is zero.

    Arrow cuts the quotient off. That changes the rounding only where the digits that are left are
    those of a tie, so the reference divides there, and by denominators from 10^18 on.
    """
    tops = numerators.combine_chunks().cast(pa.decimal256(38, 18))
    bottoms = denominators.combine_chunks()
    is_wide = pc.greater_equal(pc.abs(bottoms), _WIDE)
    leaves_out = pc.or_(is_wide, pc.equal(bottoms, pa.scalar(Decimal(0), NUMBER)))
    narrow = pc.if_else(leaves_out, pa.scalar(None, NUMBER), bottoms)
    quotients = pc.divide(tops, narrow.cast(_DIVISOR))
    rounded = pc.round(quotients, ndigits=decimals, round_mode="half_to_even")
    distance = pc.abs(pc.subtract(rounded, quotients))
    is_tie = pc.fill_null(pc.equal(distance, _half_step(decimals)), False)
    by_reference = pc.or_(is_tie, pc.fill_null(is_wide, False))
    exact = [
        half_even_quotient(top.as_py(), bottom.as_py(), decimals)
        for top, bottom in zip(tops.filter(by_reference), bottoms.filter(by_reference), strict=True)
    ]
    result: Array = pc.replace_with_mask(
        rounded.cast(NUMBER), by_reference, pa.array(exact, NUMBER)
    )
    return result


def _half_step(decimals: int) -> "pa.Scalar[Any]":
    return pa.scalar(Decimal(5).scaleb(-decimals - 1), pa.decimal256(76, _DIGITS))
