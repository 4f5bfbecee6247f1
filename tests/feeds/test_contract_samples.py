"""The samples of every contract: a payload and the native lines that it must give."""

import pytest

from truetape.feeds.contract import contract_names, load_contract
from truetape.feeds.contract_check import SampleOutcome, sample_outcomes

CASES = [
    pytest.param(outcome, id=f"{feed}-{outcome.number}")
    for feed in contract_names()
    for outcome in sample_outcomes(load_contract(feed))
]


@pytest.mark.parametrize("outcome", CASES)
def test_a_sample_gives_its_native_lines(outcome: SampleOutcome) -> None:
    assert list(outcome.found) == list(outcome.expected)


def test_each_feed_that_reads_names_has_an_example_of_one() -> None:
    contracts = [load_contract(feed) for feed in contract_names()]
    lacking = [one.feed for one in contracts if one.file_names and not one.file_name_example]

    assert lacking == []
