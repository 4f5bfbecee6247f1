"""Quotients of decimal columns, rounded half-even once."""

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from truetape.kernel.columns import NUMBER, Array, Column
from truetape.market.bars import half_even_quotient

_DIVISOR = pa.decimal256(36, 18)
_DIGITS = 37
"""Decimals of Arrow's quotient of 38 by 36 digits; the rest is cut off."""


def half_even_quotients(numerators: Column, denominators: Column, decimals: int) -> Array:
    """Return numerator / denominator for columns of `NUMBER`, null where the denominator is zero.

    Arrow cuts the quotient off. That changes the rounding only where the digits that are left are
    those of a tie, so the reference divides there.
    """
    tops = numerators.combine_chunks().cast(pa.decimal256(38, 18))
    bottoms = denominators.combine_chunks()
    is_zero = pc.equal(bottoms, pa.scalar(Decimal(0), NUMBER))
    bottoms = pc.if_else(is_zero, pa.scalar(None, NUMBER), bottoms)
    quotients = pc.divide(tops, bottoms.cast(_DIVISOR))
    rounded = pc.round(quotients, ndigits=decimals, round_mode="half_to_even")
    distance = pc.abs(pc.subtract(rounded, quotients))
    is_tie = pc.fill_null(pc.equal(distance, _half_step(decimals)), False)
    exact = [
        half_even_quotient(top.as_py(), bottom.as_py(), decimals)
        for top, bottom in zip(tops.filter(is_tie), bottoms.filter(is_tie), strict=True)
    ]
    result: Array = pc.replace_with_mask(rounded.cast(NUMBER), is_tie, pa.array(exact, NUMBER))
    return result


def _half_step(decimals: int) -> "pa.Scalar[Any]":
    return pa.scalar(Decimal(5).scaleb(-decimals - 1), pa.decimal256(76, _DIGITS))
