"""Contract check: decodes the samples of a contract and compares the lines with those it gives."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from truetape.feeds.contract import Contract, ContractSample
from truetape.feeds.decoder import UNBOUNDED_MS, Context, Limits, decode
from truetape.feeds.native import encode, encode_rejected
from truetape.market.rejection import Rejected


@dataclass(frozen=True, slots=True)
class SampleOutcome:
    """The native lines of one sample: what the contract says, and what it decodes to."""

    number: int
    expected: tuple[str, ...]
    found: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """True if both are equal, also in their order."""
        return self.expected == self.found


def sample_outcomes(contract: Contract) -> Iterator[SampleOutcome]:
    """Yield the outcome of each sample, numbered from 1."""
    for number, sample in enumerate(contract.samples, start=1):
        yield SampleOutcome(number, sample.native, tuple(_lines(contract, sample)))


def _lines(contract: Contract, sample: ContractSample) -> Iterator[str]:
    """Yield the native lines of a sample; those of rejections lack their detail."""
    place = ("samples", 0, 0, UNBOUNDED_MS)
    context = Context(contract.feed, sample.key, sample.day, sample.received_ns, *place)
    for outcome in decode(sample.payload.encode(), contract, context, Limits()):
        if not isinstance(outcome, Rejected):
            yield encode(outcome)
            continue
        fields = json.loads(encode_rejected(outcome))
        del fields["detail"]
        yield json.dumps(fields, separators=(",", ":"))
