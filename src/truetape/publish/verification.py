"""Verification: the served bars of a session compared with the bars that must be served.

Repairs nothing. Where they differ, it says which side to mend: a publication of
bars that the lake has lost would be stopped by the gate.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from truetape.host import profiles
from truetape.host.settings import Settings
from truetape.lake.bars import RecomputedSession, read_session_bars
from truetape.lake.bars_lineage import RecomputeBasis, recompute_bases
from truetape.lake.coverage import rows_lost
from truetape.lake.publications import Publication, publications
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.publish.diff import Change, Edit, diff_bars
from truetape.publish.publication import (
    TargetBars,
    differing_symbols,
    read_session,
    served_digests,
)
from truetape.serving.store import BarStore, ServedBar

MAX_LOST_SHARE = 0.2
"""The most of the final bars that a publication may take back without a question; rule R24."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A row that differs between served and recomputed bars; a missing side is None."""

    resolution: Resolution
    served: ServedBar | None
    recomputed: ServedBar | None


def verify(lake: str, store: BarStore, session: Session) -> tuple[int, list[Mismatch]]:
    """Compare the served bars of a session with the recomputed ones; see `compare_served`."""
    return compare_served(store, read_session_bars(lake, session))


def compare_served(
    store: BarStore, target: TargetBars, *, every_row: bool = False
) -> tuple[int, list[Mismatch]]:
    """Compare the served bars with the target; return the number of rows compared, and mismatches.

    A served row must be final, of the batch layer and equal in every value. A void row matches no
    target bar. The database computes a digest of each symbol; unless `every_row`, only the rows of
    symbols whose digest differs are read.
    """
    symbols = None if every_row else _suspects(store, target)
    mismatches: list[Mismatch] = []
    for resolution in Resolution if symbols != [] else ():
        served = read_session(store, resolution, target.session, symbols)
        bars = target.bar_table(resolution, symbols)
        # a final row has no tolerance, so an edit is needed exactly where a row differs
        mismatches += [
            Mismatch(resolution, edit.before, _recomputed(edit))
            for edit in diff_bars(served, bars, rev=0, resolution=resolution)
            if not (edit.change is Change.VOID and edit.before is not None and edit.before.void)
        ]
    return target.count, mismatches


def _suspects(store: BarStore, target: TargetBars) -> list[str]:
    """Return the symbols that may have a row that differs, or that is not final."""
    served = served_digests(store, target.session)
    return differing_symbols(target, served, served.keys() | set(target.symbols))


def _recomputed(edit: Edit) -> ServedBar | None:
    """Return the recomputed bar of an edit; None if there is none."""
    if edit.change is Change.VOID:
        return None
    return edit.after.in_state(rev=0, layer="batch", final=False, void=False)


def next_move(
    settings: Settings,
    target: TargetBars,
    compared: int,
    mismatches: Sequence[Mismatch],
    closed_by: str | None = None,
) -> str:
    """Return what to do about served bars that differ: publish, or recompute first if the lake's
    bars are suspect. A session that a revert holds has no suspect bars: its digest was compared.

    `closed_by`: the rules by which the gate closed on exactly these bars.
    """
    session = target.session
    place = f"--venue {session.venue} --session {session.date}"
    publish = f"run `truetape publish {place}`"
    if not isinstance(target, RecomputedSession):
        return publish
    lost_rows = rows_lost(settings.lake, settings.topic)
    if lost_rows or closed_by:
        why = (
            f"raw has lost {lost_rows:,} rows since they were counted"
            if lost_rows
            else f"the gate closed on these bars by {closed_by}"
        )
        return (
            f"do not publish: {why}. Readers keep the served bars. Run `truetape archive "
            "--recount`, fill its holes with `truetape backfill --holes`, then run `truetape "
            f"recompute {place}` and verify again"
        )
    profile = profiles.load(settings.profile)
    doubt = suspicion(
        target,
        (profile.id, profile.version),
        recompute_bases(settings.lake, session),
        publications(settings.lake, session),
        lost_share(compared, mismatches),
    )
    if doubt is None:
        return publish
    return (
        f"do not publish: {doubt}. Readers keep the served bars. Run `truetape recompute {place}`, "
        "then verify again"
    )


def suspicion(
    target: RecomputedSession,
    profile: tuple[str, int],
    bases: Sequence[RecomputeBasis],
    past: Sequence[Publication],
    lost: float,
) -> str | None:
    """Return why the lake's bars of a session should not be published; None if nothing speaks
    against them. `bases` and `past` are oldest first; `lost` is the result of `lost_share`.
    """
    last = past[-1] if past else None
    is_newer = last is None or any(basis.recorded_ns > last.as_of_ns for basis in bases)
    if lost > MAX_LOST_SHARE:
        return f"the lake has no bar for {lost:.0%} of the final bars that are served"
    if last is not None and not is_newer and target.digest() != last.digest:
        return (
            f"the lake's bars are not those that rev {last.rev} was published from, and no "
            "recompute has run since"
        )
    if target.count and target.profile != profile:
        return f"the lake's bars have profile {target.profile}, the speed layer {profile}"
    return None


def lost_share(compared: int, mismatches: Sequence[Mismatch]) -> float:
    """Return which share of the final served bars has no recomputed bar."""
    equal = compared - sum(mismatch.recomputed is not None for mismatch in mismatches)
    final_rows = [row for row in mismatches if row.served is not None and row.served.final]
    lost = sum(row.recomputed is None for row in final_rows)
    return lost / (equal + len(final_rows)) if lost else 0.0
