"""The records of a trade file together with what the reference decoder makes of them."""

from collections.abc import Iterator
from pathlib import Path

from truetape.feeds.contract import Contract
from truetape.feeds.decoder import Context, Limits, decode
from truetape.feeds.files import FileRecord, read
from truetape.market.rejection import Rejected
from truetape.market.trades import Event


def decoded(
    path: Path, contract: Contract, limits: Limits
) -> Iterator[tuple[FileRecord, list[Event | Rejected]]]:
    """Yield each payload of a file with its events and rejections, in file order.

    A position is (path, 0, line, index).
    """
    for record in read(path, contract):
        context = Context(
            feed=contract.feed,
            key=record.key,
            day=record.day,
            received_ns=record.received_ns,
            topic=str(path),
            partition=0,
            offset=record.line,
        )
        yield record, decode(record.payload, contract, context, limits)
