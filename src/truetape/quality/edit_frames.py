"""The frames of reconciliation: the edits of a publication, and the served bars after it.

Bars of a minute and wider are compared one by one. 1s bars, which are most rows, are compared by
the digest of each symbol: if they differ, so do the minutes above them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from truetape.lake.bars import RecomputedSession
from truetape.market.resolution import Resolution
from truetape.publish.diff import Change, Edit, Edits, diff_bars, final, is_rolled_up
from truetape.publish.publication import TargetBars, read_session
from truetape.quality.columns import table
from truetape.quality.frames import Frame
from truetape.serving.bar_table import bars_of
from truetape.serving.digest import digests_of
from truetape.serving.store import BarStore, ServedBar

ROW_BY_ROW = (Resolution.MINUTE, Resolution.FIVE_MINUTES, Resolution.HOUR, Resolution.DAY)
LEAST_ROWS = 100
"""With fewer rows a share is not judged: one bar of five would be a fifth."""

EditsByWidth = Mapping[Resolution, Edits]
Served = Mapping[Resolution, pa.Table]


def reconciliation_frames(
    target: RecomputedSession, store: BarStore, rev: int, speed_profile: str
) -> Iterator[Frame]:
    """Yield the frames of the edits that publishing as `rev` would make. Reads the store only."""
    served = {width: read_session(store, width, target.session) for width in ROW_BY_ROW}
    edits = _edits(served, target, rev)
    yield Frame("edits", edit_rows(edits))
    volumes = {
        resolution: sum(bar.volume for bar in target.bars(resolution)) for resolution in ROW_BY_ROW
    }
    yield Frame("levels", level_rows(served, edits, volumes))
    profile, version = target.profile
    row = {
        "venue": target.session.venue,
        "session": str(target.session.date),
        "profile_recomputed": f"{profile} {version}",
        "profile_speed": speed_profile,
    }
    columns = "venue:text session:text profile_recomputed:text profile_speed:text"
    yield Frame("session", table([row], columns))


def served_frames(target: TargetBars, store: BarStore, rev: int) -> Iterator[Frame]:
    """Yield the frames of served bars beside the bars that should be served. Writes nothing."""
    served = {width: read_session(store, width, target.session) for width in ROW_BY_ROW}
    yield Frame(
        "rows",
        served_rows((width, bars_of(served[width]), target.bars(width)) for width in ROW_BY_ROW),
    )
    yield Frame("digests", digest_rows(target, store))
    edits = _edits(served, target, rev)
    yield Frame("edits", edit_rows(edits).select(["resolution", "symbol", "start_ns", "change"]))


def edit_rows(edits: EditsByWidth) -> pa.Table:
    """Return a row for each edit. A bar that was not served before has no `rev_before`."""
    rows = [
        {
            "resolution": resolution.value,
            "symbol": edit.after.symbol,
            "start_ns": edit.after.start_ns,
            "change": str(edit.change),
            "rev_before": None if edit.before is None else edit.before.rev,
            "rev_after": edit.after.rev,
        }
        for resolution, part in edits.items()
        for edit in part
    ]
    return table(
        rows,
        "resolution:text symbol:text start_ns:int change:text rev_before:int rev_after:int",
    )


def level_rows(
    served: Served, edits: EditsByWidth, volumes: Mapping[Resolution, float]
) -> pa.Table:
    """Return for each resolution which share of provisional bars would change, and which share of
    final bars would disappear.
    """
    rows = [
        _level(
            resolution,
            list(bars_of(served[resolution])),
            list(edits[resolution]),
            volumes[resolution],
        )
        for resolution in served
    ]
    return table(
        rows,
        "resolution:text provisional:int changed_share:float close_p95_bps:float final:int "
        "lost_share:float is_judged:bool volume_ratio:float",
    )


def served_rows(
    sides: Iterable[tuple[Resolution, Iterable[ServedBar], Iterable[ServedBar]]],
) -> pa.Table:
    """Return a row for each bar of either side: on which side it is, and whether both are equal."""
    rows = []
    for resolution, served, target in sides:
        targets = {bar.key: bar for bar in target}
        served_bars = list(served)
        rows += [_served_row(resolution, bar, targets.get(bar.key)) for bar in served_bars]
        absent = targets.keys() - {bar.key for bar in served_bars}
        rows += [_absent_row(resolution, targets[key]) for key in sorted(absent, key=str)]
    return table(
        rows,
        "resolution:text symbol:text start_ns:int side:text in_both:bool equal:bool is_void:bool "
        "is_empty:bool",
    )


def digest_rows(target: TargetBars, store: BarStore) -> pa.Table:
    """Return each symbol's digests by resolution, as served and as recomputed."""
    session, rows = target.session, []
    for resolution in Resolution:
        served = store.digests(resolution, session.venue, session.start_ns, session.end_ns)
        recomputed = digests_of(target.bar_table(resolution))
        for symbol in sorted(served.keys() | recomputed.keys()):
            before, after = served.get(symbol), recomputed.get(symbol)
            rows.append(
                {
                    "resolution": resolution.value,
                    "symbol": symbol,
                    "bars_served": before.bars - before.void if before else 0,
                    "bars_recomputed": after.bars if after else 0,
                    # void bars contain zeros only, so they add nothing to the sums
                    "fingerprint_served": f"{before.fingerprint}.{before.trades}"
                    if before
                    else "0.0",
                    "fingerprint_recomputed": f"{after.fingerprint}.{after.trades}"
                    if after
                    else "0.0",
                }
            )
    return table(
        rows,
        "resolution:text symbol:text bars_served:int bars_recomputed:int fingerprint_served:text "
        "fingerprint_recomputed:text",
    )


def _edits(served: Served, target: TargetBars, rev: int) -> EditsByWidth:
    return {
        resolution: diff_bars(rows, target.bar_table(resolution), rev, resolution)
        for resolution, rows in served.items()
    }


def _level(
    resolution: Resolution, served: Sequence[ServedBar], edits: Sequence[Edit], volume: float
) -> dict[str, object]:
    # bars that the database rolled up say no more than their minutes
    live = [bar for bar in served if not bar.void and not is_rolled_up(bar, resolution)]
    provisional = sum(not bar.final for bar in live)
    sealed = len(live) - provisional
    judged = [edit for edit in edits if edit.before and not is_rolled_up(edit.before, resolution)]
    befores = [(edit.change, edit.before) for edit in judged if edit.before is not None]
    changed = sum(
        change in (Change.CHANGE, Change.VOID) and not before.final for change, before in befores
    )
    lost = sum(change is Change.VOID and before.final for change, before in befores)
    moves = [
        abs(edit.after.close / edit.before.close - 1) * 10_000
        for edit in judged
        if edit.change is Change.CHANGE and edit.before is not None and edit.before.close
    ]
    return {
        "resolution": resolution.value,
        "provisional": provisional,
        "changed_share": changed / provisional if provisional >= LEAST_ROWS else None,
        "close_p95_bps": float(np.quantile(moves, 0.95)) if moves else None,
        "final": sealed,
        "lost_share": lost / sealed if sealed else None,
        "is_judged": sealed >= LEAST_ROWS,
        "volume_ratio": sum(bar.volume for bar in live) / volume if live and volume else None,
    }


def _served_row(
    resolution: Resolution, served: ServedBar, target: ServedBar | None
) -> dict[str, object]:
    side = "void" if served.void else "served"
    return {
        "resolution": resolution.value,
        "symbol": served.symbol,
        "start_ns": served.start_ns,
        "side": side if target is None else "both",
        "in_both": target is not None,
        "equal": target is not None and served == final(target, served.rev),
        "is_void": served.void,
        "is_empty": _is_empty(served),
    }


def _absent_row(resolution: Resolution, target: ServedBar) -> dict[str, object]:
    return {
        "resolution": resolution.value,
        "symbol": target.symbol,
        "start_ns": target.start_ns,
        "side": "recomputed",
        "in_both": False,
        "equal": False,
        "is_void": False,
        "is_empty": False,
    }


def _is_empty(bar: ServedBar) -> bool:
    numbers = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trades)
    return bar.final and not any(numbers)
