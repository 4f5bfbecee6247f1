"""The local engine of a recompute: computes a session's parts in threads of this process.

Reads `raw` once. A large session is first divided by symbol into files of bounded size, so that
memory does not grow with the session.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from truetape.batch.local.workers import results_of
from truetape.batch.recompute import Compute, Result
from truetape.batch.symbol_groups import by_symbol
from truetape.lake.deliveries import SessionDeliveries

if TYPE_CHECKING:
    import pyarrow as pa

MAX_PART_EVENTS = 250_000
"""About how many events are settled and folded at once: about a kilobyte of memory each."""


def computed(deliveries: SessionDeliveries, compute: Compute[Result]) -> Iterator[Result]:
    """Yield what a function returns for each part of a session; see `recompute.Engine`."""
    yield from results_of(compute, parts_of(deliveries))


def parts_of(deliveries: SessionDeliveries) -> "Iterator[pa.Table]":
    """Yield the deliveries in tables of bounded size, all of a symbol in one."""
    import pyarrow as pa

    from truetape.kernel.columns import DELIVERIES

    count = 1 + deliveries.expected() // MAX_PART_EVENTS
    if count == 1:
        yield pa.concat_tables([DELIVERIES.empty_table(), *deliveries.tables()]).combine_chunks()
        return
    with tempfile.TemporaryDirectory(prefix="truetape-recompute-") as folder:
        files = [Path(folder, f"{number}.arrow") for number in range(count)]
        with ExitStack() as stack:
            writers = [
                stack.enter_context(pa.ipc.new_file(str(file), DELIVERIES)) for file in files
            ]
            divided = results_of(partial(by_symbol, count=count), deliveries.tables())
            for parts in divided:
                for writer, rows in zip(writers, parts, strict=True):
                    writer.write_table(rows)
        for file in files:
            yield _mapped(file)
            file.unlink()


def _mapped(file: Path) -> "pa.Table":
    import pyarrow as pa

    table: pa.Table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
    return table
