"""Sessions of trade files, staged as records, and recomputed as in production."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from support.build import READ_MS
from truetape.batch.local.parts import computed
from truetape.batch.recompute import RecomputeRules
from truetape.batch.session_recompute import recompute
from truetape.feeds.contract import Contract, load_contract
from truetape.feeds.decoder import Limits
from truetape.feeds.files import decode_file, read
from truetape.feeds.records import Record
from truetape.host import venues
from truetape.host.profiles import load
from truetape.kernel.columns import RECORDS
from truetape.market.rejection import Rejected
from truetape.market.resolution import SECOND_NS
from truetape.market.sessions import Session, Venue

LEAN = "lean-equity-tick"
EPOCH = date(1970, 1, 1)


def stage(path: Path, feed: Contract, folder: Path, read_ms: int) -> None:
    """Write the records of a trade file as Parquet, with the columns that the decoder reads."""
    rows = [
        {
            "topic": record.source, "partition": 0, "offset": record.number, "record_ms": read_ms,
            "key": record.key, "value": record.payload, "feed": feed.feed,
            "received_ns": record.received_ns, "day": record.day,
        }
        for record in read(path, feed)
    ]  # fmt: skip
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=RECORDS), folder / "records.parquet")


def recomputed(lake: str, session: Session, profile: str) -> None:
    """Recompute one session by the rules of production."""
    rules = RecomputeRules(load(profile), venues.venues(), lateness_ns=60 * SECOND_NS)
    recompute(lake, session, rules, computed)


def page(path: Path, feed: str) -> Record:
    """Return one answer of a REST feed, received when its last trade was."""
    [(payload, items)] = decode_file(path, load_contract(feed), Limits(), READ_MS)
    events = [item for item in items if not isinstance(item, Rejected)]
    return Record(payload.payload, feed, "", max(event.received_ns for event in events))


def lean_ticks(paths: Sequence[Path], venue: Venue) -> list[Record]:
    """Return LEAN's ticks in order, each received when it traded: its first field says when."""
    found = [
        Record(one.payload, LEAN, one.key or "", midnight_ns + milliseconds * 1_000_000)
        for path in paths
        for one in read(path, load_contract(LEAN))
        for midnight_ns in [venue.session_start_ns(one.day or EPOCH)]
        for milliseconds in [int(one.payload.split(b",", 1)[0])]
    ]
    return sorted(found, key=lambda record: record.received_ns)
