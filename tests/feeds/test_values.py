"""Single values: which texts are numbers and symbols, and what they mean."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truetape.feeds.values import MAX_NUMBER, Sign, number, symbol
from truetape.market.rejection import Reason, Refused
from truetape.market.trades import DECIMALS, LIMIT

FITTING = st.decimals(-LIMIT + 1, LIMIT - 1, places=DECIMALS)
DOUBLES = st.floats(min_value=-1e22, max_value=1e22, allow_nan=False)


def read(text: str, sign: Sign = Sign.ANY, shift: int = 0) -> Decimal | Reason:
    found = number(text, "price", sign, shift)
    return found.reason if isinstance(found, Refused) else found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7.98e-06", "0.00000798"),
        ("7.98e-6", "0.00000798"),
        ("1e+06", "1000000"),
        ("1.5E+010", "15000000000"),
        ("1e-008", "0.00000001"),
        ("0.00000001e8", "1"),
        ("12345678901234567890123e-10", "1234567890123.4567890123"),
        ("1.5000000000000000000000", "1.5"),
        ("0e999999999", "0"),
        ("-37.63", "-37.63"),
        ("00012", "12"),
    ],
)
def test_a_number_may_be_written_with_any_exponent(text: str, value: str) -> None:
    """As Python, pandas, C, Windows and R write doubles."""
    assert read(text) == Decimal(value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1e20", Reason.OUT_OF_RANGE),
        ("1e-19", Reason.OUT_OF_RANGE),
        ("1.0000000000000000001", Reason.OUT_OF_RANGE),
        ("1e999999999", Reason.OUT_OF_RANGE),
        ("1e-999999999", Reason.OUT_OF_RANGE),
        ("1e9999999999", Reason.BAD_NUMBER),
        ("1" * (MAX_NUMBER + 1), Reason.BAD_NUMBER),
        *((text, Reason.BAD_NUMBER) for text in ("", ".5", "5.", "+1", "1,234.5", "1e", "NaN")),
        *((text, Reason.BAD_NUMBER) for text in ("1_000", "0x1", "\uff11", "1 ", "--1", "1e+-1")),
    ],
)
def test_a_text_that_is_no_number_or_does_not_fit_is_refused(text: str, reason: Reason) -> None:
    assert read(text) is reason


@given(FITTING, st.integers(-20, 20))
def test_every_number_that_fits_is_read_exactly_however_it_is_written(
    value: Decimal, exponent: int
) -> None:
    with localcontext(prec=100):
        written = [
            f"{value:f}", f"{value:e}", f"{value.scaleb(-exponent):f}e{exponent}",
            f"{value.scaleb(-exponent):f}E{exponent:+04d}",
        ]  # fmt: skip

    for text in written:
        if len(text) <= MAX_NUMBER:
            assert read(text) == value


@given(DOUBLES)
def test_a_double_is_the_shortest_decimal_that_python_prints(value: float) -> None:
    expected = Decimal(repr(value))
    fits = abs(expected) < LIMIT and int(expected.as_tuple().exponent) >= -DECIMALS

    assert read(repr(value)) == (expected if fits else Reason.OUT_OF_RANGE)


@pytest.mark.parametrize(
    ("sign", "accepted"),
    [
        (Sign.POSITIVE, {"1": "1"}),
        (Sign.NOT_NEGATIVE, {"1": "1", "0": "0", "-0": "0"}),
        (Sign.ABSOLUTE, {"1": "1", "0": "0", "-0": "0", "-1": "1"}),
        (Sign.ANY, {"1": "1", "0": "0", "-0": "0", "-1": "-1"}),
    ],
)
def test_a_sign_says_which_side_of_zero_a_number_may_lie_on(
    sign: Sign, accepted: dict[str, str]
) -> None:
    for text in ("1", "0", "-0", "-1"):
        found = read(text, sign)
        if text in accepted:
            assert str(found) == accepted[text]
        else:
            assert found is Reason.OUT_OF_RANGE


GOOD_SYMBOLS = (
    "IBM", "BRK.B", "BTC/USD", "BTC/USDT:USDT", "币安人生USDT", "O:SPY261218C00650000", "@107",
    "BRK B", "CL:BF F5-G5-H5", "btc-usd", "SPY   261218C00650000", "ES=F", "^GSPC", "M&M", "A'B",
    'A"B', "A,B", "A;B", "A|B", "<b>", "100%", "#1", "a+b", "$x", "x{{x}}", "ÖMV", "..", "?", "*",
)  # fmt: skip
BAD_SYMBOLS = (
    "", " ", " IBM", "IBM ", "I\tBM", "IBM\n", "\x00", "I\x7fBM", "I\u00a0BM", "I\u2028BM",
    "I\u200bBM", "\ud800", "A\\B", "A" * 65, "${x}", "a${x}b", "[1]", '{"a":1}',
)  # fmt: skip


@pytest.mark.parametrize("text", GOOD_SYMBOLS)
def test_a_symbol_is_kept_as_it_came(text: str) -> None:
    assert symbol(text) == text


@pytest.mark.parametrize("text", BAD_SYMBOLS, ids=ascii)
def test_a_symbol_that_no_store_could_keep_is_refused(text: str) -> None:
    found = symbol(text)

    assert isinstance(found, Refused)
    assert found.reason is Reason.BAD_SYMBOL


def test_a_symbol_loses_the_first_prefix_that_it_has_and_may_be_renamed() -> None:
    prefixes, renames = ("live_trades_", "t"), {"XBTUSD": "BTC/USD"}

    assert symbol("live_trades_tusd", prefixes) == "tusd"
    assert symbol("tBTCUSD", prefixes) == "BTCUSD"
    assert symbol("live_trades_xbtusd", prefixes, upper=True, renames=renames) == "BTC/USD"
    assert isinstance(symbol("live_trades_", prefixes), Refused)


@pytest.mark.parametrize(
    ("text", "shift", "needs_point"),
    [("181.52", 4, False), ("181.000000000", 9, False), ("181520000000", 0, True)],
)
def test_a_number_in_other_units_than_the_contract_says_is_refused(
    text: str, shift: int, needs_point: bool
) -> None:
    """A price with a point is no count of units, and one without is no plain price."""
    found = number(text, "price", Sign.POSITIVE, shift, needs_point)

    assert isinstance(found, Refused)
    assert found.reason is Reason.BAD_NUMBER
    assert "seems to be in other units" in found.detail
