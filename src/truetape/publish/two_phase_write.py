"""Writes the edits of a publication so that no reader takes a half-written row for final.

InfluxDB does not write a row atomically; a write that it gave up can still arrive later and
overwrite newer values; and a row that is rewritten while it merges its files can revert to its old
values (influxdb#24388). So a row is sealed last, and read back after each step: the database
computes a digest of each symbol, and the rows are read where it is not the expected one. Decides no
edits.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from truetape.host.errors import VerificationError
from truetape.host.log import logger
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.publish.diff import Edit
from truetape.serving.digest import plus, sum_of, sums
from truetape.serving.store import BarStore, Digest, ServedBar

LATE_WRITE_S = 10.0
"""After this time InfluxDB reports a timeout (storage-write-timeout); the write can still land."""
MAX_ATTEMPTS = 5
"""How often rows are read back; those that differ are written again in between."""


def write_round(
    store: BarStore,
    session: Session,
    edits: Mapping[Resolution, list[Edit]],
    served: Mapping[str, Mapping[Resolution, Digest]],
    *,
    seal_delay_s: float,
    sleep: Callable[[float], None],
) -> None:
    """Unseal and wait, write and compare, wait, seal and compare: all resolutions at once.

    `served`: the digests of the rows before, by symbol and resolution. The first wait lets queries
    end that still read the rows as final, before their values change. It is skipped if no row was
    final.
    """
    sealed = {
        resolution: [
            edit.before.unsealed() for edit in part if edit.before is not None and edit.before.final
        ]
        for resolution, part in edits.items()
    }
    with _outlast_retries(store, sleep):
        for resolution, rows in sealed.items():
            _store(store, resolution, rows)
    if any(sealed.values()):
        sleep(seal_delay_s)
    digests = {
        resolution: _digests_after(part, resolution, served) for resolution, part in edits.items()
    }
    for resolution, part in edits.items():
        unsealed = [edit.after.unsealed() for edit in part]
        expected = _Expected(unsealed, {s: d.unsealed for s, d in digests[resolution].items()})
        with _outlast_retries(store, sleep):
            _store(store, resolution, unsealed)
        _write_until_equal(store, resolution, expected, session, sleep)
    sleep(seal_delay_s)
    for resolution, part in edits.items():
        rows = [edit.after for edit in part]
        expected = _Expected(rows, {s: d.sealed for s, d in digests[resolution].items()})
        _store(store, resolution, rows)
        _write_until_equal(store, resolution, expected, session, sleep)


@dataclass(frozen=True, slots=True)
class _After:
    """The sums of a symbol's rows after its edits, before and after they are sealed."""

    unsealed: Digest
    sealed: Digest


@dataclass(frozen=True, slots=True)
class _Expected:
    """Rows that were written, and the sums of all rows of their symbols."""

    rows: list[ServedBar]
    digests: Mapping[str, Digest]


def _digests_after(
    edits: list[Edit], resolution: Resolution, served: Mapping[str, Mapping[Resolution, Digest]]
) -> dict[str, _After]:
    by_symbol: dict[str, list[Edit]] = defaultdict(list)
    for edit in edits:
        by_symbol[edit.after.symbol].append(edit)
    after = {}
    for symbol, part in by_symbol.items():
        before = sums(served.get(symbol, {}).get(resolution))
        gone = sum_of(edit.before for edit in part if edit.before is not None)
        come = sum_of(edit.after for edit in part)
        sealed = plus(plus(before, gone, sign=-1), come)
        after[symbol] = _After(replace(sealed, final=sealed.final - come.final), sealed)
    return after


@contextmanager
def _outlast_retries(store: BarStore, sleep: Callable[[float], None]) -> Iterator[None]:
    """Wait after the writes if one of them was retried: its first attempt can arrive late and
    overwrite what is written next.
    """
    before = store.traffic.retries
    yield
    if store.traffic.retries > before:
        sleep(LATE_WRITE_S)


def _store(store: BarStore, resolution: Resolution, bars: list[ServedBar]) -> None:
    if not bars:
        return
    report = store.write(resolution, bars)
    report.require_stored(f"{resolution.value} bars", "nothing was sealed")


def _write_until_equal(
    store: BarStore,
    resolution: Resolution,
    expected: _Expected,
    session: Session,
    sleep: Callable[[float], None],
) -> None:
    """Read the rows back and write those again that differ, until all are equal.

    Raise VerificationError after `MAX_ATTEMPTS`.
    """
    place = f"{session.venue} {session.date} {resolution.value}"
    for attempt in range(1, MAX_ATTEMPTS + 1):
        wrong = _differences(store, resolution, expected, session)
        if not wrong:
            return
        logger("publish").warning("rows read back differ", where=place, rows=len(wrong))
        if attempt < MAX_ATTEMPTS:
            sleep(LATE_WRITE_S)
            _store(store, resolution, [bar for bar, _ in wrong])
    wrote, read = wrong[0]
    raise VerificationError(
        f"{len(wrong)} of {len(expected.rows)} {resolution.value} bars read back differ, first "
        f"wrote {wrote}, read {read}, {MAX_ATTEMPTS} times in a row; is another writer at work?"
    )


def _differences(
    store: BarStore, resolution: Resolution, expected: _Expected, session: Session
) -> list[tuple[ServedBar, ServedBar | None]]:
    """Return the expected rows that differ when read back, each with the row that was read.

    Reads the rows of the symbols only whose digest differs.
    """
    if not expected.rows:
        return []
    place = (resolution, session.venue, session.start_ns, session.end_ns)
    found = store.digests(*place, symbols=sorted(expected.digests))
    suspect = {
        symbol for symbol, digest in expected.digests.items() if sums(found.get(symbol)) != digest
    }
    if not suspect:
        return []
    rows = store.read(
        resolution, session.start_ns, session.end_ns, venue=session.venue, symbols=sorted(suspect)
    )
    read = {bar.key: bar for bar in rows}
    wanted = [bar for bar in expected.rows if bar.symbol in suspect]
    return [(bar, read.get(bar.key)) for bar in wanted if read.get(bar.key) != bar]
