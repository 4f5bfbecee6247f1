"""Short texts: which symbol a person means, and how numbers of things are written."""

import pytest

from truetape.host.errors import NotThereError
from truetape.host.words import counted, symbol_among


@pytest.mark.parametrize(
    ("text", "symbols", "meant"),
    [
        ("IBM", {"IBM", "ibm"}, "IBM"),
        ("ibm", {"IBM", "AAPL"}, "IBM"),
        ("BtcUsd", {"btcusd"}, "btcusd"),
        ("STRASSE", {"straße"}, "straße"),
    ],
)
def test_a_symbol_is_found_as_written_or_in_another_case(
    text: str, symbols: set[str], meant: str
) -> None:
    assert symbol_among(text, symbols) == meant


@pytest.mark.parametrize(
    ("text", "symbols", "message"),
    [
        ("ibm", {"IBM", "Ibm", "AAPL"}, "no trade of ibm; there are IBM, Ibm"),
        ("X", {"A"}, "no trade of X; there are A"),
        (
            "X",
            {f"S{number:02}" for number in range(12)},
            "no trade of X; there are S00, S01, S02, S03, S04, S05, S06, S07, S08, S09 and 2 more",
        ),
    ],
    ids=["several", "one", "many"],
)
def test_the_error_of_an_unknown_symbol_names_those_that_there_are(
    text: str, symbols: set[str], message: str
) -> None:
    with pytest.raises(NotThereError) as refused:
        symbol_among(text, symbols)

    assert str(refused.value) == message


def test_a_noun_follows_its_number() -> None:
    numbers = [counted(0, "bar"), counted(1, "bar"), counted(1_234, "bar")]

    assert numbers == ["0 bars", "1 bar", "1,234 bars"]
    assert counted(2, "bar has", "bars have") == "2 bars have"
