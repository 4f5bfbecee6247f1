"""Single values in Spark: the expressions that keep the grammar of `values`, reason by reason.

A reading is a value and a fault: null where the value is fine or absent, else "reason field".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from pyspark.sql import Column
from pyspark.sql import functions as F

from truetape.feeds import values
from truetape.feeds.fields import ConditionsField, NumberField, SymbolField
from truetape.feeds.values import ConditionsForm, Sign
from truetape.market.rejection import Reason

TEXTS = "array<string>"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a field gives: its value, and why it cannot be taken (null where it can)."""

    value: Column
    fault: Column


def fault(reason: Reason, name: str) -> Column:
    """Return the fault of a field: the reason's word, then the field's name."""
    return F.lit(f"{reason} {name}")


def no_fault() -> Column:
    """Return the fault of a field that is fine."""
    return F.lit(None).cast("string")


def matches(text: Column, pattern: str, longest: int) -> Column:
    """Say whether a whole text of bounded length fits a pattern, all of whose texts are ASCII."""
    return (F.octet_length(text) <= longest) & text.rlike(rf"\A(?:{pattern})\z")


def translation(text: Column, codes: Mapping[str, str]) -> Column:
    """Return what a code stands for, null where it is not declared."""
    found = F.lit(None).cast("string")
    for code, meaning in codes.items():
        found = F.when(text == code, F.lit(meaning)).otherwise(found)
    return found


def symbol(text: Column, field: SymbolField) -> Reading:
    """Read a symbol, see `values.symbol`."""
    name = text
    if field.strip_prefix:
        rest = F.substring(text, len(field.strip_prefix) + 1, 2**31 - 1)
        name = F.when(text.startswith(field.strip_prefix), rest).otherwise(text)
    good = matches(name, values.SYMBOL_PATTERN, values.MAX_SYMBOL)
    bad = F.when(text.isNull(), fault(Reason.MISSING_FIELD, "symbol")).when(
        ~good, fault(Reason.BAD_SYMBOL, "symbol")
    )
    return Reading(F.upper(name) if field.upper else name, bad)


def attribute(text: Column, name: str, reason: Reason = Reason.BAD_TEXT) -> Reading:
    """Read a short text that may be absent, see `values.attribute`."""
    good = matches(text, values.TEXT_PATTERN, values.MAX_TEXT)
    return Reading(text, F.when(text.isNotNull() & ~good, fault(reason, name)))


def translated(text: Column, codes: Mapping[str, str], name: str, reason: Reason) -> Reading:
    """Read a code that may be absent, see `values.translated`."""
    value = translation(text, codes)
    return Reading(value, F.when(text.isNotNull() & value.isNull(), fault(reason, name)))


def sequence(text: Column) -> Reading:
    """Read a sequence number that may be absent, see `values.sequence`."""
    good = matches(text, values.SEQUENCE_PATTERN, values.MAX_SEQUENCE_DIGITS)
    value = F.when(good, text.try_cast("bigint"))
    bad = F.when(
        text.isNotNull() & value.isNull(),
        F.when(good, fault(Reason.OUT_OF_RANGE, "sequence")).otherwise(
            fault(Reason.BAD_NUMBER, "sequence")
        ),
    )
    return Reading(value, bad)


def number(text: Column, field: NumberField, digits: int, scale: int) -> Column:
    """Return the exact decimal(digits, scale) of a text, null where it has none or does not fit."""
    whole, decimals = digits - scale + field.shift, scale - field.shift
    fraction = rf"(?:\.[0-9]{{1,{decimals}}})?" if decimals else ""
    plain = rf"[0-9]{{1,{whole}}}{fraction}"
    quick = F.when(
        matches(text, plain, values.MAX_NUMBER), text.try_cast(f"decimal({digits},{decimals})")
    )
    exact = F.when(is_number(text), text.try_cast("decimal(36,18)"))
    cut = exact.try_cast(f"decimal({digits},{decimals})")
    unscaled = F.coalesce(quick, F.when(cut == exact, cut))
    if not field.shift:
        return unscaled
    factor = F.lit(Decimal(1).scaleb(-field.shift))
    return (unscaled * factor).cast(f"decimal({digits},{scale})")


def number_fault(text: Column, value: Column, field: NumberField, name: str) -> Column:
    """Return the fault of a price or size whose `number` is `value`; null text is missing."""
    out_of_range = fault(Reason.OUT_OF_RANGE, name)
    return (
        F.when(value.isNotNull(), F.when(_off_side(value, field.sign), out_of_range))
        .when(text.isNull(), fault(Reason.MISSING_FIELD, name))
        .when(is_number(text), out_of_range)
        .otherwise(fault(Reason.BAD_NUMBER, name))
    )


def is_number(text: Column) -> Column:
    """Say whether a text is a number in the grammar."""
    pattern = f"{values.PLAIN_NUMBER_PATTERN}|{values.EXPONENT_NUMBER_PATTERN}"
    return matches(text, pattern, values.MAX_NUMBER)


def conditions(text: Column, field: ConditionsField) -> Column:
    """Return the codes of a text, null where it has none, see `values.conditions`."""
    good = matches(text, values.CONDITION_PATTERNS[field.form], values.MAX_CONDITIONS)
    codes = F.when(good, _codes(text, field.form))
    codes = F.when(F.size(codes) <= values.MAX_CODES, codes)
    if field.codes is None:
        return codes
    known, others = {code: to or "" for code, to in field.codes.items()}, F.lit(field.others)
    translated = F.transform(
        codes, lambda code: F.coalesce(translation(code, known), F.concat(others, code))
    )
    return F.array_remove(translated, "")


def _codes(text: Column, form: ConditionsForm) -> Column:
    match form:
        case ConditionsForm.LIST:
            codes = F.split(F.translate(text, '[]" ', ""), ",")
        case ConditionsForm.COMMA:
            codes = F.split(F.translate(text, " ", ""), ",")
        case ConditionsForm.LETTERS:
            codes = F.split(F.translate(text, " ", ""), "")
        case ConditionsForm.HEX_BITS:
            word = F.conv(text, 16, 10).cast("bigint")
            bits = (F.when(word.bitwiseAND(1 << bit) != 0, F.lit(str(bit))) for bit in range(32))
            codes = F.split(F.concat_ws(",", *bits), ",")
    return F.array_remove(codes, "")


def _off_side(value: Column, sign: Sign) -> Column:
    match sign:
        case Sign.POSITIVE:
            return value <= 0
        case Sign.NOT_NEGATIVE:
            return value < 0
        case Sign.ANY:
            return F.lit(False)
