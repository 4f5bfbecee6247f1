"""Writes the edits of a publication so that no reader takes a half-written row for final.

A row is not atomic in InfluxDB; a write that it gave up may land all the same, over what was
written since; and rows that are rewritten while it merges its files can come back as they were
before (influxdb#24388). So a row is sealed last, and read back after each step.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from truetape.host.errors import VerificationError
from truetape.host.log import logger
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.publish.diff import Edit
from truetape.serving.store import BarStore, ServedBar

LATE_WRITE_S = 10.0
"""How long InfluxDB works on a write before it gives it up (storage-write-timeout); it may land
all the same.
"""
MAX_ATTEMPTS = 5
"""How often rows are written that do not read as they were written."""


def write_round(
    store: BarStore,
    session: Session,
    edits: Mapping[Resolution, list[Edit]],
    seal_delay_s: float,
    sleep: Callable[[float], None],
) -> None:
    """Unseal and wait, write and compare, wait, seal and compare: all resolutions at once.

    The first wait lets queries end that still read rows as final, before their values change; there
    is nothing to wait for where nothing was final yet.
    """
    sealed = {
        resolution: [
            replace(edit.before, final=False)
            for edit in part
            if edit.before is not None and edit.before.final
        ]
        for resolution, part in edits.items()
    }
    with _outlast_retries(store, sleep):
        for resolution, rows in sealed.items():
            _store(store, resolution, rows)
    if any(sealed.values()):
        sleep(seal_delay_s)
    for resolution, part in edits.items():
        unsealed = [replace(edit.after, final=False) for edit in part]
        with _outlast_retries(store, sleep):
            _store(store, resolution, unsealed)
        _write_until_equal(store, resolution, unsealed, session, sleep)
    sleep(seal_delay_s)
    for resolution, part in edits.items():
        rows = [edit.after for edit in part]
        _store(store, resolution, rows)
        _write_until_equal(store, resolution, rows, session, sleep)


@contextmanager
def _outlast_retries(store: BarStore, sleep: Callable[[float], None]) -> Iterator[None]:
    """Wait behind writes of which one was repeated: the first of the two may land late, over what
    is written next.
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
    expected: list[ServedBar],
    session: Session,
    sleep: Callable[[float], None],
) -> None:
    """Compare the rows read back with those written, and write those again that differ, until none
    does. VerificationError after `MAX_ATTEMPTS`.
    """
    place = f"{session.venue} {session.date} {resolution.value}"
    for attempt in range(1, MAX_ATTEMPTS + 1):
        wrong = _differences(store, resolution, expected, session)
        if not wrong:
            return
        logger("reconcile").warning("read back otherwise", where=place, rows=len(wrong))
        if attempt < MAX_ATTEMPTS:
            sleep(LATE_WRITE_S)
            _store(store, resolution, [bar for bar, _ in wrong])
    wrote, read = wrong[0]
    raise VerificationError(
        f"{len(wrong)} of {len(expected)} {resolution.value} bars read back differ, first wrote "
        f"{wrote}, read {read}, {MAX_ATTEMPTS} times in a row; is another writer at work?"
    )


def _differences(
    store: BarStore, resolution: Resolution, expected: list[ServedBar], session: Session
) -> list[tuple[ServedBar, ServedBar | None]]:
    """Return the rows that do not read as they should, each with what is read."""
    if not expected:
        return []
    symbols = sorted({bar.symbol for bar in expected})
    start, end = session.start_ns, session.end_ns
    rows = store.read(resolution, start, end, venue=session.venue, symbols=symbols)
    found = {bar.key: bar for bar in rows}
    return [(bar, found.get(bar.key)) for bar in expected if found.get(bar.key) != bar]
