"""The edits that make served bars equal recomputed ones."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from support.serving import MINUTE_NS, bar
from truetape.market.resolution import Resolution
from truetape.publish.diff import Change, Edit
from truetape.publish.diff import diff_bars as diff_tables
from truetape.serving.bar_table import table_of
from truetape.serving.store import ServedBar

REV = 4
WANTED = bar(rev=0, final=False)
"""A recomputed bar as the lake has it: without rev, not sealed."""
PROVISIONAL = bar(rev=0, layer="speed", final=False)
SEALED = bar(rev=3)
VOIDED = bar(
    open=0.0, high=0.0, low=0.0, close=0.0, volume=0.0, vwap=0.0, trades=0, rev=3, void=True
)  # fmt: skip
AFTER = bar(rev=REV)
AFTER_VOID = replace(VOIDED, rev=REV)


def diff_bars(
    served: Iterable[ServedBar], recomputed: Iterable[ServedBar], rev: int, *rest: Resolution
) -> list[Edit]:
    return list(diff_tables(table_of(served), table_of(recomputed), rev, *rest))


@pytest.mark.parametrize(
    ("served", "recomputed", "expected"),
    [
        pytest.param(None, WANTED, (Change.ADD, AFTER), id="nothing was served"),
        pytest.param(PROVISIONAL, WANTED, (Change.CONFIRM, AFTER), id="provisional was right"),
        pytest.param(SEALED, WANTED, None, id="final and right"),
        pytest.param(
            replace(SEALED, final=False), WANTED, (Change.CONFIRM, AFTER), id="never sealed"
        ),
        pytest.param(
            replace(PROVISIONAL, close=1.0), WANTED, (Change.CHANGE, AFTER), id="provisional wrong"
        ),
        pytest.param(replace(SEALED, close=1.0), WANTED, (Change.CHANGE, AFTER), id="final wrong"),
        pytest.param(VOIDED, WANTED, (Change.CHANGE, AFTER), id="trades are back"),
        pytest.param(PROVISIONAL, None, (Change.VOID, AFTER_VOID), id="provisional goes"),
        pytest.param(SEALED, None, (Change.VOID, AFTER_VOID), id="final goes"),
        pytest.param(VOIDED, None, None, id="void already"),
        pytest.param(
            replace(VOIDED, final=False), None, (Change.VOID, AFTER_VOID), id="void, never sealed"
        ),
    ],
)
def test_a_row_gets_the_edit_that_makes_it_equal(
    served: ServedBar | None,
    recomputed: ServedBar | None,
    expected: tuple[Change, ServedBar] | None,
) -> None:
    edits = diff_bars([served] if served else [], [recomputed] if recomputed else [], REV)

    assert [(edit.change, edit.after) for edit in edits] == ([expected] if expected else [])
    assert all(edit.before == served for edit in edits)


@pytest.mark.parametrize(
    "field", ["open", "high", "low", "close", "volume", "vwap", "trades", "seq"]
)
def test_a_difference_in_any_value_is_a_change(field: str) -> None:
    other = replace(SEALED, **{field: getattr(SEALED, field) + 1})

    assert [edit.change for edit in diff_bars([other], [WANTED], REV)] == [Change.CHANGE]


@pytest.mark.parametrize(
    ("before", "resolution", "expected"),
    [
        pytest.param(PROVISIONAL, Resolution.FIVE_MINUTES, Change.CONFIRM, id="added up"),
        pytest.param(PROVISIONAL, Resolution.HOUR, Change.CONFIRM, id="added up to an hour"),
        pytest.param(PROVISIONAL, Resolution.MINUTE, Change.CHANGE, id="made of trades"),
        pytest.param(PROVISIONAL, Resolution.DAY, Change.CHANGE, id="no roll-up there is"),
        pytest.param(SEALED, Resolution.HOUR, Change.CHANGE, id="final"),
    ],
)
def test_a_rolled_up_vwap_may_differ_in_the_last_decimal(
    before: ServedBar, resolution: Resolution, expected: Change
) -> None:
    other = replace(before, vwap=before.vwap * (1 + 5e-13))

    [edit] = diff_bars([other], [WANTED], REV, resolution)

    assert (edit.change, edit.after.vwap) == (expected, WANTED.vwap)


def test_a_larger_difference_in_vwap_is_a_change_for_every_writer() -> None:
    other = replace(PROVISIONAL, vwap=PROVISIONAL.vwap * (1 + 1e-11))

    [edit] = diff_bars([other], [WANTED], REV, Resolution.HOUR)

    assert edit.change is Change.CHANGE


def test_layer_and_rev_are_not_compared_as_values() -> None:
    other = replace(SEALED, layer="speed", rev=2)

    assert [edit.change for edit in diff_bars([other], [WANTED], REV)] == [Change.CONFIRM]


def test_rows_are_matched_by_symbol_venue_and_start() -> None:
    others = [
        replace(SEALED, symbol="KO"),
        replace(SEALED, venue="XNAS"),
        replace(SEALED, start_ns=SEALED.start_ns + MINUTE_NS),
    ]

    changes = [edit.change for edit in diff_bars(others, [WANTED], REV)]

    assert changes == [Change.ADD, Change.VOID, Change.VOID, Change.VOID]


def test_after_its_edits_are_applied_a_diff_is_empty() -> None:
    served = [
        replace(PROVISIONAL, symbol="A", close=1.0),
        replace(SEALED, symbol="B"),
        replace(SEALED, symbol="GONE"),
    ]
    recomputed = [replace(WANTED, symbol=symbol) for symbol in "ABC"]

    edits = diff_bars(served, recomputed, REV)
    after = {row.key: row for row in served} | {edit.after.key: edit.after for edit in edits}

    assert [edit.change for edit in edits] == [Change.CHANGE, Change.ADD, Change.VOID]
    assert diff_bars(after.values(), recomputed, REV + 1) == []
