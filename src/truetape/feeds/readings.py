"""Readings: the values of single fields, by their texts and their contract.

Takes texts, whatever record they came from, so that the decoder reads each record and the kernel
reads each distinct text once.
"""

from collections.abc import Sequence

from truetape.feeds import values
from truetape.feeds.fields import ConditionsField, SymbolField, TextField, VenueField
from truetape.host.venues import venues
from truetape.market.rejection import Reason, Refused


def symbol(field: SymbolField, text: str | None) -> str | Refused:
    """Return the symbol."""
    if text is None:
        return absent("symbol")
    return values.symbol(text, field.strip_prefix, field.upper, field.rename)


def venue(field: VenueField, text: str | None) -> str | Refused:
    """Return the code of a declared venue; `text` is None if the field has no path too."""
    if field.const is not None:
        return field.const
    if text is None:
        return absent("venue") if field.default is None else field.default
    code = values.translated(text, field.codes, "venue", Reason.UNKNOWN_VENUE)
    if isinstance(code, str) and code not in venues():
        return Refused(Reason.UNKNOWN_VENUE, f"venue is {values.shown(code)}")
    return code


def conditions(
    field: ConditionsField,
    text: str | None,
    flags: Sequence[str | None],
    missing: tuple[str, ...] | None,
) -> tuple[str, ...] | Refused | None:
    """Return the condition codes and those of the flags, whose texts come in the field's order.

    A record without a text has the codes `missing`. If that is None, its flags do not count.
    """
    codes: tuple[str, ...] | Refused | None = missing
    if text is not None:
        codes = values.conditions(text, field.form, field.codes, field.others)
    for flag, value in zip(field.flags, flags, strict=True):
        if value is None or codes is None or isinstance(codes, Refused):
            continue
        if value not in flag.codes:
            return Refused(Reason.BAD_TEXT, f"{flag.path} is {values.shown(value)}")
        code = flag.codes[value]
        codes = codes if code is None else (*codes, code)
    return codes


def attribute(field: TextField, text: str | None, name: str) -> str | Refused | None:
    """Return an attribute of a trade, such as its tape; None if the record has none."""
    if text is None:
        return None
    if field.codes is not None:
        return values.translated(text, field.codes, name)
    return values.attribute(text, name)


def absent(name: str) -> Refused:
    """Return the refusal of a required field that the record lacks."""
    return Refused(Reason.MISSING_FIELD, f"no {name}")
