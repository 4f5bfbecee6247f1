"""Which dirty sessions are due for repair, and which symbols a repair publishes."""

from collections.abc import Sequence
from datetime import date

import pytest

from support.build import VENUES, at
from support.ledger import publication
from truetape.host.calendars import session
from truetape.host.errors import ConfigError
from truetape.lake.bars_lineage import RecomputeBasis
from truetape.lake.dirty import DirtyMark
from truetape.lake.publications import Publication
from truetape.pipeline.publish import (
    WITHOUT_GATE,
    PublishOptions,
    ledger_reason,
    symbols_recomputed_since,
)
from truetape.pipeline.repairs import DirtySession, RepairState, group_marks
from truetape.pipeline.venue_publication import boundary_from_ledger

THURSDAY, FRIDAY, MONDAY = (date(2026, 11, day) for day in (19, 20, 23))
SESSION = session(VENUES["XNYS"], FRIDAY)
PAST = {
    THURSDAY: [publication(1), publication(2), publication(3, restores=1)],
    FRIDAY: [publication(1, restores=0), publication(2)],
}


def mark(symbol: str, day: date, *, trades: int = 0, amendments: int = 0) -> DirtyMark:
    return DirtyMark("XNYS", day, symbol, trades, amendments, "raw", 5, 1)


def test_each_dirty_session_is_due_held_or_left_to_its_own_recompute() -> None:
    marks = [
        mark("KO", FRIDAY, trades=2),
        mark("IBM", FRIDAY, trades=1, amendments=1),
        mark("IBM", FRIDAY, amendments=1),
        mark("PG", THURSDAY, trades=1),
        mark("KO", MONDAY, trades=1),
    ]

    assert list(group_marks(marks, lambda _, day: PAST.get(day, []))) == [
        DirtySession("XNYS", THURSDAY, RepairState.HELD, ("PG",), 1, 0),
        DirtySession("XNYS", FRIDAY, RepairState.DUE, ("IBM", "KO"), 3, 2),
        DirtySession("XNYS", MONDAY, RepairState.UNPUBLISHED, ("KO",), 1, 0),
    ]


def basis(bars_version: int, *symbols: str) -> RecomputeBasis:
    return RecomputeBasis("raw", 1, bars_version, symbols or None, bars_version)


@pytest.mark.parametrize(
    ("recomputes", "last", "symbols"),
    [
        pytest.param([basis(4)], None, None, id="never published"),
        pytest.param([basis(4)], publication(1, bars_version=4), set(), id="nothing since"),
        pytest.param(
            [basis(4), basis(5, "IBM"), basis(7, "KO", "PG")],
            publication(1, bars_version=4),
            {"IBM", "KO", "PG"},
            id="two repairs, neither published",
        ),
        pytest.param(
            [basis(4), basis(5, "IBM"), basis(7, "KO")],
            publication(2, bars_version=6),
            {"KO"},
            id="the first repair was published",
        ),
        pytest.param(
            [basis(4), basis(5, "IBM"), basis(7)],
            publication(1, bars_version=4),
            None,
            id="an unpublished recompute of all symbols",
        ),
    ],
)
def test_a_repair_publishes_the_symbols_recomputed_since_the_last_publication(
    recomputes: list[RecomputeBasis], last: Publication | None, symbols: set[str] | None
) -> None:
    assert symbols_recomputed_since(recomputes, last) == symbols


@pytest.mark.parametrize(
    ("options", "past", "recorded"),
    [
        pytest.param(PublishOptions(), [], "late trades", id="first"),
        pytest.param(PublishOptions(gated=False), [], f"{WITHOUT_GATE}: late trades", id="no gate"),
        pytest.param(
            PublishOptions(supersedes=True), PAST[FRIDAY], "late trades", id="nothing to supersede"
        ),
        pytest.param(
            PublishOptions(supersedes=True),
            PAST[THURSDAY],
            "supersedes the revert to rev 1: late trades",
            id="a revert that is superseded",
        ),
    ],
)
def test_the_ledger_records_how_a_publication_differs_from_the_usual(
    options: PublishOptions, past: Sequence[Publication], recorded: str
) -> None:
    assert ledger_reason("late trades", options, list(past), SESSION) == recorded


def test_a_lost_boundary_is_restored_from_the_ledger() -> None:
    """Published on Thursday, Monday, then Friday: one run, from Wednesday night to Monday night."""
    past = [publication(1, session=day) for day in (THURSDAY, MONDAY, FRIDAY)]

    assert boundary_from_ledger(VENUES["XNYS"], past[:2]).final_ns == at("2026-11-20T05:00:00")
    boundary = boundary_from_ledger(VENUES["XNYS"], past)
    assert (boundary.final_from_ns, boundary.final_ns, boundary.fence_ns) == (
        at("2026-11-19T05:00:00"), at("2026-11-24T05:00:00"), at("2026-11-24T05:00:00"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "options", [PublishOptions(), PublishOptions(dirty_only=True), PublishOptions(gated=False)]
)
def test_a_revert_is_superseded_only_on_request(options: PublishOptions) -> None:
    with pytest.raises(
        ConfigError,
        match=r"held at rev 1 by tests \(because\); .* --replace-",
    ):
        ledger_reason("nightly", options, PAST[THURSDAY], SESSION)
