"""Reverting in both bar stores: an older rev is served again exactly, or nothing is written."""

import itertools
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from support.build import SECOND, VENUES
from support.lake import Bars, TamperedStore, put_bars
from support.serving import bar
from truetape.host.calendars import session
from truetape.host.errors import ConfigError, VerificationError
from truetape.lake.publications import publications
from truetape.market.resolution import Resolution
from truetape.publish.diff import Change
from truetape.publish.indicators import restore_indicators
from truetape.publish.publication import PublicationRequest, Published, publish, publish_target
from truetape.publish.revert import is_held, reconstruct, target_bars
from truetape.publish.superseded import append_indicators, read_superseded
from truetape.publish.verification import compare_served
from truetape.serving.bar_table import bars_of
from truetape.serving.indicator_table import table_of
from truetape.serving.store import BarStore, IndicatorRow, ServedBar

SESSION = session(VENUES["XNYS"], date(2026, 3, 4))
OPEN = SESSION.open_ns or 0
WIDTHS = {Resolution.SECOND: SECOND, Resolution.MINUTE: 60 * SECOND}
Rows = dict[tuple[Resolution, str, int], tuple[object, ...]]


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path / "lake")


def made(closes: dict[str, list[float | None]]) -> Bars:
    """Return bars of symbols with these closes, at two resolutions; None means no bar."""
    return {
        resolution: [
            bar(symbol=symbol, start_ns=start, seq=(start - SESSION.start_ns) // width, close=close)
            for symbol, several in closes.items()
            for number, close in enumerate(several)
            for start in [OPEN + number * width]
            if close is not None
        ]
        for resolution, width in WIDTHS.items()
    }


STATES: list[dict[str, list[float | None]]] = [
    {"IBM": [10.0, 11.0, 12.0], "KO": [50.0, 51.0]},
    {"IBM": [10.0, 11.5, 12.0], "KO": [50.0, 51.0, 52.0]},
    {"IBM": [10.0, None, 12.0], "KO": [50.0, 51.0, 52.0]},
    {"IBM": [10.0, 11.0, 12.5], "KO": [None, None, None], "PG": [7.0]},
]
"""A correction and a late bar; a cancel that empties a bar; symbols gone and new, a bar back."""


def request(restores: int = 0) -> PublicationRequest:
    return PublicationRequest(
        SESSION, "tests", "because", as_of_ns=1, seal_delay_s=0.0, restores=restores
    )


def put(lake: str, state: int) -> None:
    put_bars(lake, SESSION, made(STATES[state]))


def publish_all(lake: str, store: BarStore) -> list[Rows]:
    """Publish each state in turn; return the final bars after each, by rev - 1."""
    seen = []
    for number in range(len(STATES)):
        put(lake, number)
        assert publish(lake, store, request(), sleep=lambda _: None).rev == number + 1
        seen.append(readable(store))
    return seen


def revert(lake: str, store: BarStore, rev: int) -> Published:
    target = reconstruct(lake, store, SESSION, rev)
    return publish_target(lake, store, target, request(restores=rev), sleep=lambda _: None)


def readable(store: BarStore) -> Rows:
    """Return the values of final bars by key, without rev."""
    return {
        (resolution, row.symbol, row.start_ns): values(row)
        for resolution in Resolution
        for row in store.read(resolution, SESSION.start_ns, SESSION.end_ns, venue="XNYS")
        if row.final and not row.void
    }


def values(row: ServedBar) -> tuple[object, ...]:
    return (row.open, row.high, row.low, row.close, row.volume, row.vwap, row.trades, row.seq,
            row.layer)  # fmt: skip


@pytest.mark.parametrize("rev", [1, 2, 3])
def test_an_older_rev_is_served_again_exactly(lake: str, store: BarStore, rev: int) -> None:
    seen = publish_all(lake, store)

    outcome = revert(lake, store, rev)

    assert outcome.rev == len(STATES) + 1
    assert readable(store) == seen[rev - 1]
    target = target_bars(lake, store, SESSION)
    assert compare_served(store, target) == (len(seen[rev - 1]), [])


def test_reverting_a_second_time_writes_nothing(lake: str, store: BarStore) -> None:
    publish_all(lake, store)
    revert(lake, store, 2)
    before = publications(lake, SESSION)

    again = revert(lake, store, 2)

    assert (again.rev, again.edits) == (None, 0)
    assert publications(lake, SESSION) == before


def test_the_ledger_records_the_restored_rev(lake: str, store: BarStore) -> None:
    publish_all(lake, store)
    assert not is_held(lake, SESSION)

    revert(lake, store, 1)

    *past, last = publications(lake, SESSION)
    assert [publication.restores for publication in past] == [0, 0, 0, 0]
    assert (last.rev, last.restores, last.digest) == (5, 1, past[0].digest)
    assert (last.bars, last.bars_version) == (past[0].bars, past[0].bars_version)
    assert is_held(lake, SESSION)


def test_a_revert_can_be_reverted_and_a_recompute_ends_it(lake: str, store: BarStore) -> None:
    """Every rev can be restored. The revert to rev 5 changes no row, but it is recorded, since it
    holds the session from then on.
    """
    seen = publish_all(lake, store)
    for rev in (1, 3, 2, 4, 5, 1):
        revert(lake, store, rev)
        assert readable(store) == seen[(1 if rev == 5 else rev) - 1]

    put(lake, 3)
    publish(lake, store, request(), sleep=lambda _: None)

    assert readable(store) == seen[3]
    assert not is_held(lake, SESSION)
    assert [publication.restores for publication in publications(lake, SESSION)][4:] == [
        1,
        3,
        2,
        4,
        5,
        1,
        0,
    ]


def test_a_recompute_that_agrees_with_a_revert_ends_it_without_an_edit(
    lake: str, store: BarStore
) -> None:
    publish_all(lake, store)
    revert(lake, store, 2)
    put(lake, 1)

    outcome = publish(lake, store, request(), sleep=lambda _: None)

    assert (outcome.edits, outcome.last_rev) == (0, 6)
    assert not is_held(lake, SESSION)
    assert publish(lake, store, request(), sleep=lambda _: None).last_rev == 6
    assert len(publications(lake, SESSION)) == 6


def test_a_revert_does_not_depend_on_later_recomputes(lake: str, store: BarStore) -> None:
    """A recompute replaces the lake's bars; an older rev needs neither these nor old files."""
    seen = publish_all(lake, store)
    put_bars(lake, SESSION, made({"IBM": [99.0]}))

    revert(lake, store, 2)

    assert readable(store) == seen[1]


def test_an_unknown_rev_is_refused(lake: str, store: BarStore) -> None:
    publish_all(lake, store)

    with pytest.raises(ConfigError, match="has no rev 9; it has 1, 2, 3, 4"):
        revert(lake, store, 9)


def test_a_rev_that_cannot_be_reconstructed_exactly_is_refused(lake: str, store: BarStore) -> None:
    """For example after the store was lost and filled again from the lake: all rows are new."""
    publish_all(lake, store)
    minute = Resolution.MINUTE
    first = next(iter(store.read(minute, SESSION.start_ns, SESSION.end_ns, venue="XNYS")))
    store.write(minute, [replace(first, close=first.close + 1)])
    before = readable(store)

    with pytest.raises(VerificationError, match="rev 1 cannot be reconstructed any more"):
        revert(lake, store, 1)

    assert readable(store) == before
    assert len(publications(lake, SESSION)) == len(STATES)


class Killed(BaseException):
    """The publishing process was killed."""


@pytest.mark.real  # slow: killed at every write
def test_a_publication_killed_at_any_write_loses_no_older_rev(lake: str, store: BarStore) -> None:
    """Kill publish and revert at each write in turn; then every recorded rev can still be restored,
    bar by bar.
    """
    seen = {number + 1: rows for number, rows in enumerate(publish_all(lake, store))}
    kills = 0
    for number in range(6):  # two resolutions, each unsealed, written and sealed
        put_bars(lake, SESSION, made({"IBM": [20.0 + number, 11.0], "KO": [50.0]}))
        for restores in (None, 1):
            try:
                if restores is None:
                    publish(lake, dying(store, number), request(), sleep=lambda _: None)
                else:
                    target = reconstruct(lake, store, SESSION, restores)
                    publish_target(
                        lake, dying(store, number), target, request(restores), sleep=lambda _: None
                    )
            except Killed:
                kills += 1
        publish(lake, store, request(), sleep=lambda _: None)
        seen[publications(lake, SESSION)[-1].rev] = readable(store)

    assert kills >= 10
    for rev, rows in sorted(seen.items()):
        revert(lake, store, rev)
        assert readable(store) == rows, rev


def dying(store: BarStore, at: int) -> TamperedStore:
    """Return a store that kills its user in write `at`, after half of the rows are written."""

    def tamper(number: int, written: list[ServedBar]) -> list[ServedBar]:
        return written[: len(written) // 2] if number == at else written

    def after(number: int) -> None:
        if number == at:
            raise Killed

    return TamperedStore(store, tamper, after)


def test_only_changed_rows_are_appended_to_the_superseded_ones(lake: str, store: BarStore) -> None:
    put(lake, 0)
    publish(lake, store, request(), sleep=lambda _: None)
    assert not any(map(len, read_superseded(lake, SESSION).bars.values()))
    put(lake, 1)
    publish(lake, store, request(), sleep=lambda _: None)

    superseded = read_superseded(lake, SESSION).bars
    assert [(row.symbol, row.close, row.rev) for row in bars_of(superseded[Resolution.MINUTE])] == [
        ("IBM", 11.0, 1)
    ]


def test_a_revert_restores_the_indicators(lake: str, store: BarStore) -> None:
    minute = Resolution.MINUTE
    first = [IndicatorRow("IBM", "XNYS", OPEN + n * 60 * SECOND, {"sma_20": 1.0 + n}, 1, void=False)
             for n in range(3)]  # fmt: skip
    store.write_indicators(minute, table_of(first))
    append_indicators(lake, SESSION, minute, table_of(first[:2]))
    second = [replace(first[0], values={"sma_20": 9.0, "ema_12": 2.0}, rev=2),
              replace(first[1], values={}, rev=2, void=True),
              replace(first[0], start_ns=OPEN + 240 * SECOND, rev=2)]  # fmt: skip
    store.write_indicators(minute, table_of(second))

    assert restore_indicators(lake, store, SESSION, restored=1, rev=3) == 3

    restored = list(store.read_indicators(minute, SESSION.start_ns, SESSION.end_ns, venue="XNYS"))
    assert [(row.start_ns, dict(row.values)) for row in restored if not row.void] == [
        (row.start_ns, dict(row.values)) for row in first
    ]
    assert restore_indicators(lake, store, SESSION, restored=1, rev=3) == 0


def test_a_publication_of_some_symbols_does_not_touch_the_others(
    lake: str, store: BarStore
) -> None:
    put(lake, 0)
    publish(lake, store, request(), sleep=lambda _: None)
    put(lake, 1)

    only = replace(request(), symbols=frozenset({"KO"}))
    outcome = publish(lake, store, only, sleep=lambda _: None)

    assert outcome.changes == {Change.ADD: len(WIDTHS)}
    assert {key[1] for key in itertools.chain(readable(store))} == {"IBM", "KO"}
