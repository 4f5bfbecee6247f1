"""Single values: the grammar of both decoders, and the reference functions that apply it.

Knows no contract.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from enum import StrEnum

from truetape.host.words import is_symbol
from truetape.market.rejection import Reason, Refused
from truetape.market.trades import DECIMALS, LIMIT, WHOLE_DIGITS


class ConditionsForm(StrEnum):
    """How condition codes are written."""

    LIST = "list"
    COMMA = "comma"
    LETTERS = "letters"
    HEX_BITS = "hex-bits"


class Sign(StrEnum):
    """Which side of zero a number may lie on."""

    POSITIVE = "positive"
    NOT_NEGATIVE = "not-negative"
    ABSOLUTE = "absolute"
    """Either; the sign is dropped. Some feeds mark a sale by a negative size."""
    ANY = "any"


MAX_TEXT = 64
MAX_CODES = 16
ORDERED_ID = "[0-9]{1,18}"
"""Matches an id that is a number, where a contract says that ids are numbers that grow."""
MAX_SEQUENCE, MAX_SEQUENCE_DIGITS = 2**63 - 1, 19
MAX_NUMBER = 64
"""Longest text of a number, with all its zeros."""
MAX_TIME_TEXT = 64
"""Longest text that counts as an integer time, if a field has an integer shape too."""
MAX_CONDITIONS = 512
"""Longest accepted text of conditions: sixteen codes with all their quotes are shorter."""

TEXT_PATTERN = r"[!#-&(-+./0-9:;<>@A-Z^_a-z|~-]+"
"""Printable ASCII without quotes, comma, `=`, backslash, space, brackets and braces; and without
`?`, which a JVM reads in place of half a surrogate pair."""
NUMBER_PATTERN = r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,9})?"
SEQUENCE_PATTERN = r"[0-9]{1,19}"
INTEGER_PATTERN = r"-?[0-9]+"
CODE_PATTERN = r"[A-Za-z0-9@]{1,12}"
_MAYBE_CODE = r"(?:[A-Za-z0-9@]{1,12}| ?)"
CONDITION_PATTERNS = {
    ConditionsForm.LIST: rf'\[(?:"{_MAYBE_CODE}"(?:,"{_MAYBE_CODE}")*)?\]',
    ConditionsForm.COMMA: rf"{_MAYBE_CODE}(?:,{_MAYBE_CODE})*",
    ConditionsForm.LETTERS: r"[A-Za-z0-9@ ]*",
    ConditionsForm.HEX_BITS: r"[0-9A-Fa-f]{1,8}",
}

CODE = re.compile(CODE_PATTERN)
TEXT = re.compile(TEXT_PATTERN)
_INTEGER = re.compile(INTEGER_PATTERN)
_NUMBER = re.compile(NUMBER_PATTERN)
_SEQUENCE = re.compile(SEQUENCE_PATTERN)
_ORDERED_ID = re.compile(ORDERED_ID)
_CONDITIONS = {form: re.compile(pattern) for form, pattern in CONDITION_PATTERNS.items()}
_EXACT = Context(prec=4 * MAX_NUMBER)


def shown(text: str) -> str:
    """Return a value for a message: quoted, and cut if it is long."""
    return repr(text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…")


def is_integer(text: str) -> bool:
    """True if the text of a time is an integer, for fields with an integer shape too."""
    return len(text) <= MAX_TIME_TEXT and _INTEGER.fullmatch(text) is not None


def symbol(
    text: str,
    strip_prefixes: Sequence[str] = (),
    upper: bool = False,
    renames: Mapping[str, str] | None = None,
) -> str | Refused:
    """Return the symbol as it came: without the first prefix that it has, in capitals if `upper`,
    and then by its other name if it has one in `renames`.
    """
    prefix = next((prefix for prefix in strip_prefixes if text.startswith(prefix)), "")
    name = text.removeprefix(prefix)
    name = name.upper() if upper else name
    name = (renames or {}).get(name, name)
    if not is_symbol(name):
        return Refused(Reason.BAD_SYMBOL, f"symbol is {shown(text)}")
    return name


def attribute(text: str, name: str, reason: Reason = Reason.BAD_TEXT) -> str | Refused:
    """Return a short printable text such as an id. Any other text is refused with `reason`."""
    if len(text) > MAX_TEXT or not TEXT.fullmatch(text):
        return Refused(reason, f"{name} is {shown(text)}")
    return text


def sequence(text: str) -> int | Refused:
    """Return a sequence number, 0 to 2^63-1."""
    if not _SEQUENCE.fullmatch(text):
        return Refused(Reason.BAD_NUMBER, f"sequence is {shown(text)}; it must be digits")
    if int(text) > MAX_SEQUENCE:
        return Refused(Reason.OUT_OF_RANGE, f"sequence is {text}; at most {MAX_SEQUENCE}")
    return int(text)


def sequence_of_id(trade_id: str | None) -> int | None:
    """Return the number that an id of up to 18 digits is, None for any other id."""
    is_number = trade_id is not None and _ORDERED_ID.fullmatch(trade_id)
    return int(trade_id) if trade_id is not None and is_number else None


def number(
    text: str, name: str, sign: Sign, shift: int = 0, needs_point: bool = False
) -> Decimal | Refused:
    """Return a price or size: the text times 10 to the power of minus `shift`, exactly.

    Refused if it does not fit; also if a number of such units has a decimal point, or one that
    `needs_point` has none, since it is then in other units than the contract says. The decimals
    stay as they were written, as far as 18 go, so that the native line reads as the payload did.
    """
    if len(text) > MAX_NUMBER or not _NUMBER.fullmatch(text):
        return Refused(Reason.BAD_NUMBER, f"{name} is {shown(text)}; it must be a decimal number")
    if (shift > 0 and "." in text) or (needs_point and "." not in text):
        wanted = f"whole, in units of {Decimal(1).scaleb(-shift):f}" if shift else "with a point"
        detail = f"{name} is {text}; it must be {wanted}: this one seems to be in other units"
        return Refused(Reason.BAD_NUMBER, detail)
    value = _shifted(text, shift)
    if value is None:
        return _does_not_fit(text, name)
    if sign is Sign.ABSOLUTE:
        value = value.copy_abs()
    if (sign in (Sign.POSITIVE, Sign.NOT_NEGATIVE) and value < 0) or (
        sign is Sign.POSITIVE and value == 0
    ):
        return Refused(Reason.OUT_OF_RANGE, f"{name} is {text}; it must be {sign}")
    exponent = int(value.as_tuple().exponent)
    places = min(max(exponent, -DECIMALS), 0)
    fits = value.copy_abs() < LIMIT
    fitting = _EXACT.quantize(value if fits else Decimal(0), Decimal(1).scaleb(places))
    if not fits or fitting != value:
        return _does_not_fit(text, name)
    return fitting.copy_abs() if fitting == 0 else fitting


def _shifted(text: str, shift: int) -> Decimal | None:
    """Return the text times 10 to the power of minus `shift`; None if its exponent is so large that
    it cannot fit. Every text of `MAX_NUMBER` characters that fits has a smaller one.
    """
    value = Decimal(text)
    if abs(int(value.as_tuple().exponent)) <= 2 * MAX_NUMBER:
        return _EXACT.scaleb(value, -shift)
    return None if value else Decimal(0)


def _does_not_fit(text: str, name: str) -> Refused:
    return Refused(
        Reason.OUT_OF_RANGE,
        f"{name} is {text}; it must fit {WHOLE_DIGITS} digits and {DECIMALS} decimals",
    )


def conditions(
    text: str, form: ConditionsForm, codes: Mapping[str, str | None] | None, others: str
) -> tuple[str, ...] | Refused:
    """Return the condition codes of a text, in order; blank codes mean no condition.

    `codes` translates; a code that it lacks gets the prefix `others`.
    """
    if len(text) > MAX_CONDITIONS or not _CONDITIONS[form].fullmatch(text):
        return Refused(Reason.BAD_TEXT, f"conditions are {shown(text)}")
    written = [code for code in _split(text, form) if code.strip()]
    if len(written) > MAX_CODES:
        return Refused(Reason.BAD_TEXT, f"conditions are {shown(text)}; at most {MAX_CODES}")
    if codes is None:
        return tuple(written)
    meanings = (codes.get(code, f"{others}{code}") for code in written)
    return tuple(code for code in meanings if code is not None)


def translated(
    text: str, codes: Mapping[str, str] | None, name: str, reason: Reason = Reason.BAD_TEXT
) -> str | Refused:
    """Return the meaning of a code. A code that is not declared is refused, never guessed."""
    if codes is None:
        return text
    if text not in codes:
        return Refused(reason, f"{name} is {shown(text)}, which the contract does not translate")
    return codes[text]


def _split(text: str, form: ConditionsForm) -> list[str]:
    match form:
        case ConditionsForm.LIST:
            return [code.strip('"') for code in text[1:-1].split(",")]
        case ConditionsForm.COMMA:
            return text.split(",")
        case ConditionsForm.LETTERS:
            return list(text)
        case ConditionsForm.HEX_BITS:
            word = int(text, 16)
            return [str(bit) for bit in range(32) if word >> bit & 1]
