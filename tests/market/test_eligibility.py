"""Eligibility: how the conditions of one print combine."""

import pytest

from truetape.market.eligibility import REGULAR, Condition, Eligibility, Profile

COMMON = {
    "@": Condition(),
    "Z": Condition(open_close=False),
    "I": Condition(open_close=False, high_low=False),
    "M": Condition(open_close=False, high_low=False, volume=False),
    "9": Condition(volume=False),
    "O": Condition(auction=True),
    "!": Condition(lifts=frozenset({"I", "Z"})),
}
PROFILE = Profile("p", 1, {"": COMMON, "C": {"@": Condition(), "W": Condition(volume=False)}})
NOTHING = Eligibility(open_close=False, high_low=False, volume=False)
UNKNOWN = Eligibility(open_close=False, high_low=False, volume=False, known=False)
VOLUME = Eligibility(open_close=False, high_low=False, volume=True)
PRICES = Eligibility(open_close=True, high_low=True, volume=False)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ("", REGULAR),
        ("@", REGULAR),
        ("@Z", Eligibility(open_close=False, high_low=True, volume=True)),
        ("ZI", VOLUME),
        ("I9", NOTHING),
        ("M@", NOTHING),
        ("9", PRICES),
        ("O", Eligibility(open_close=True, high_low=True, volume=True, auction=True)),
        ("OI", Eligibility(open_close=False, high_low=False, volume=True, auction=True)),
        ("!I", REGULAR),
        ("!ZI", REGULAR),
        ("!M", NOTHING),
        ("!I9", PRICES),
        ("@?", UNKNOWN),
        ("!I?", UNKNOWN),
        ("O?", UNKNOWN),
        ("@@", REGULAR),
    ],
)
def test_conditions_combine_by_and_and_an_unknown_code_counts_for_nothing(
    codes: str, expected: Eligibility
) -> None:
    assert PROFILE.judge(tuple(codes)) == expected
    assert PROFILE.judge(tuple(reversed(codes))) == expected


@pytest.mark.parametrize(
    ("tape", "known"),
    [("C", True), (None, False), ("", False), ("A", False)],
    ids=["its own table", "no tape", "empty tape", "a tape without a table"],
)
def test_a_tape_without_a_table_uses_the_common_table(tape: str | None, known: bool) -> None:
    assert PROFILE.judge(("W",), tape).known is known


def test_a_profile_may_ignore_conditions() -> None:
    assert Profile("all", 1, ignores_conditions=True).judge(("anything",), "C") == REGULAR
