"""Eligibility profiles: the verdicts of the declared ones, and the errors of an invalid file."""

from pathlib import Path

import pytest

from truetape.host.errors import ConfigError
from truetape.host.profiles import load, names, profile_in

ALL, RANGE, VOLUME, NOTHING, PRICES = "OHV", "HV", "V", "", "OH"


def judged(profile: str, codes: str | list[str], tape: str | None = None) -> str:
    """Return what a print counts for: O open and close, H high and low, V volume."""
    verdict = load(profile).judge(list(codes), tape)
    parts = (("O", verdict.open_close), ("H", verdict.high_low), ("V", verdict.volume))
    return "".join(letter for letter, counts in parts if counts)


def test_three_profiles_are_declared() -> None:
    assert names() == ["all", "lean", "sip"]
    assert [load(name).id for name in names()] == names()


def test_all_counts_every_print_even_with_unknown_codes() -> None:
    assert judged("all", ["no such code"]) == ALL


@pytest.mark.parametrize(
    ("codes", "tape", "counts"),
    [
        ("", None, ALL),
        ("@", None, ALL),
        ("@", "A", ALL),
        (" ", "B", ALL),
        ("F", "C", ALL),
        ("X", "A", ALL),
        ("L", "C", ALL),
        ("E", "A", ALL),
        ("E", "C", NOTHING),
        ("B", "A", VOLUME),
        ("B", "C", ALL),
        ("B", None, VOLUME),
        ("W", "C", VOLUME),
        ("G", "C", RANGE),
        ("P", "A", RANGE),
        ("R", "B", RANGE),
        ("Z", "C", RANGE),
        ("4", "A", RANGE),
        ("C", "A", VOLUME),
        ("N", "C", VOLUME),
        ("H", "A", VOLUME),
        ("I", "C", VOLUME),
        ("T", "A", VOLUME),
        ("U", "C", VOLUME),
        ("V", "A", VOLUME),
        ("7", "C", VOLUME),
        ("M", "C", NOTHING),
        ("Q", "A", NOTHING),
        ("8", "C", NOTHING),
        ("9", "A", PRICES),
        ("O", "A", ALL),
        ("5", "C", ALL),
        ("6", None, ALL),
        ("FI", "C", VOLUME),
        ("TI", "A", VOLUME),
        ("9T", "A", NOTHING),
        ("FZ", "A", RANGE),
        ("@M", None, NOTHING),
    ],
)
def test_sip_counts_a_print_as_the_plans_define(codes: str, tape: str | None, counts: str) -> None:
    assert judged("sip", codes, tape) == counts


@pytest.mark.parametrize(("codes", "tape"), [("?", None), ("@W", "A"), ("@A", "A"), ("ab", "C")])
def test_sip_flags_a_code_that_the_tape_does_not_have(codes: str, tape: str | None) -> None:
    verdict = load("sip").judge(tuple(codes), tape)

    parts = (verdict.known, verdict.open_close, verdict.high_low, verdict.volume)
    assert parts == (False,) * 4


def test_only_session_auctions_of_sip_are_auctions() -> None:
    auctions = {code for code in load("sip").tables[""] if load("sip").judge([code]).auction}

    assert auctions == {"O", "5", "6"}


@pytest.mark.parametrize(
    ("bits", "counts"),
    [
        ([], ALL),
        (["0"], ALL),
        (["5"], VOLUME),
        (["5", "29"], VOLUME),
        (["31"], VOLUME),
        (["0", "29"], ALL),
        (["13", "5", "29"], ALL),
        (["10", "31"], ALL),
        (["7", "5"], ALL),
        (["9"], ALL),
        (["9", "20", "29"], VOLUME),
        (["26"], PRICES),
        (["24", "5"], PRICES),
        (["0", "suspicious"], VOLUME),
        (["7", "suspicious", "29"], VOLUME),
        (["8", "5"], VOLUME),
    ],
    ids=str,
)
def test_lean_counts_a_print_as_the_vendor_does(bits: list[str], counts: str) -> None:
    assert judged("lean", bits) == counts


def test_lean_follows_the_stated_rule_for_every_pair_of_bits() -> None:
    sets, bars = {0, 1, 2, 6, 7, 10, 13, 24, 26}, {5, 29, 31}
    for left in range(32):
        for right in range(32):
            bits = {left, right}
            prices = bool(bits & sets) or not bits & bars
            volume = not bits & {24, 26}
            expected = ("OH" if prices else "") + ("V" if volume else "")
            assert judged("lean", [str(bit) for bit in bits]) == expected, bits


GOOD = "profile: p\nversion: 1\ntables:\n  - name: n\n    tapes: []\n    conditions:\n"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("profile: q\nversion: 1\n", 1, "profile is 'q'; it must be the file's own name"),
        ("profile: p\nversion: 0\n", 2, "version is '0'"),
        ("profile: p\nversion: 1\n", 1, "lacks 'tables'"),
        ("profile: p\nversion: 1\nignores_conditions: yes\n", 3, "write true or false"),
        ("profile: p\nversion: 1\nignores_conditions: true\ntables: []\n", 4, "has no effect"),
        ("profile: p\nversion: 1\ntables: []\n", 3, "lacks a table with tapes: []"),
        (GOOD + "      - {counts: [open_close], codes: {A: a}}\n", 7, "leave the bar's range"),
        (GOOD + "      - {counts: [hilo], codes: {A: a}}\n", 7, "counts.0 is 'hilo'"),
        (
            GOOD + "      - {counts: [], codes: {A: a}}\n      - {counts: [], codes: {A: a}}\n",
            8,
            "codes.A is in two rows",
        ),
        (GOOD + "      - {counts: [], lifts: [Z], codes: {A: a}}\n", 6, "lifts 'Z', which is no"),
        (GOOD + "      - {counts: [], lifts: [A], codes: {A: a}}\n", 6, "only one step"),
        (GOOD + "      - {counts: [], when: x, codes: {A: a}}\n", 7, "when is not known"),
        (GOOD + "      []\n  - {name: m, tapes: [], conditions: []}\n", 8, "a second time"),
    ],
)
def test_an_error_names_file_line_and_field(
    tmp_path: Path, text: str, line: int, message: str
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError) as raised:
        profile_in(path)

    assert str(raised.value).startswith(f"{path}, line {line}: ")
    assert message in str(raised.value)


def test_an_unknown_profile_is_refused_with_the_known_profiles() -> None:
    with pytest.raises(ConfigError, match="known are all, lean, sip"):
        load("../venues")
