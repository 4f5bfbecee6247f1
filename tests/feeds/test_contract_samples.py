"""The samples of every contract: a payload and the native lines that it must give."""

import json

import pytest

from support.build import READ_MS
from truetape.feeds.contract import Contract, ContractSample, contract_names, load_contract
from truetape.feeds.decoder import Context, Limits, decode
from truetape.feeds.native import encode, encode_rejected
from truetape.market.rejection import Rejected

CASES = [
    pytest.param(load_contract(feed), sample, id=f"{feed}-{number}")
    for feed in contract_names()
    for number, sample in enumerate(load_contract(feed).samples, start=1)
]


@pytest.mark.parametrize(("contract", "sample"), CASES)
def test_a_sample_gives_its_native_lines(contract: Contract, sample: ContractSample) -> None:
    place = ("samples", 0, 0, READ_MS)
    context = Context(contract.feed, sample.key, sample.day, sample.received_ns, *place)

    outcomes = decode(sample.payload.encode(), contract, context, Limits())

    lines = [
        _without_detail(encode_rejected(outcome))
        if isinstance(outcome, Rejected)
        else encode(outcome)
        for outcome in outcomes
    ]
    assert lines == list(sample.native)


def _without_detail(line: str) -> str:
    fields = json.loads(line)
    del fields["detail"]
    return json.dumps(fields, separators=(",", ":"))
