"""The frames of reconciliation: the edits of a publication, and the served bars after it.

Bars of a minute and wider are compared one by one. 1s bars, which are most rows, are compared by
the digest of each symbol: if they differ, so do the minutes above them.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetape.lake.bars import RecomputedSession
from truetape.market.resolution import Resolution
from truetape.publish.diff import Change, Edits, are_rolled_up, diff_bars, final_rows
from truetape.publish.publication import TargetBars, read_session
from truetape.quality.columns import Values, doubles, flags, table, table_of
from truetape.quality.frames import Frame
from truetape.serving.digest import digests_of
from truetape.serving.row_keys import matches, same_rows
from truetape.serving.store import BAR_NUMBERS, BarStore

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
    volumes = {resolution: _volume(target.bar_table(resolution)) for resolution in ROW_BY_ROW}
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
        served_rows((width, served[width], target.bar_table(width)) for width in ROW_BY_ROW),
    )
    yield Frame("digests", digest_rows(target, store))
    edits = _edits(served, target, rev)
    yield Frame("edits", edit_rows(edits).select(["resolution", "symbol", "start_ns", "change"]))


def edit_rows(edits: EditsByWidth) -> pa.Table:
    """Return a row for each edit. A bar that was not served before has no `rev_before`."""
    return pa.concat_tables([_edit_rows(width, part) for width, part in edits.items()])


def level_rows(
    served: Served, edits: EditsByWidth, volumes: Mapping[Resolution, float]
) -> pa.Table:
    """Return for each resolution which share of provisional bars would change, and which share of
    final bars would disappear.
    """
    rows = [_level(width, served[width], edits[width], volumes[width]) for width in served]
    return table(
        rows,
        "resolution:text provisional:int changed_share:float close_p95_bps:float final:int "
        "lost_share:float is_judged:bool volume_ratio:float",
    )


def served_rows(sides: Iterable[tuple[Resolution, pa.Table, pa.Table]]) -> pa.Table:
    """Return a row for each bar of either side: on which side it is, and whether both are equal."""
    parts = [
        rows
        for resolution, served, target in sides
        for rows in (_served_rows(resolution, served, target), _absent(resolution, served, target))
    ]
    return pa.concat_tables(parts)


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


def _edit_rows(resolution: Resolution, edits: Edits) -> pa.Table:
    return table_of(
        {
            "resolution": _texts(resolution.value, len(edits)),
            "symbol": edits.after["symbol"],
            "start_ns": edits.after["start_ns"],
            "change": edits.changes,
            "rev_before": edits.before["rev"],
            "rev_after": edits.after["rev"],
        }
    )


def _level(
    resolution: Resolution, served: pa.Table, edits: Edits, volume: float
) -> dict[str, object]:
    # bars that the database rolled up say no more than their minutes
    live = served.filter(pc.invert(pc.or_(served["void"], are_rolled_up(served, resolution))))
    sealed = int(flags(live["final"]).sum())
    provisional = live.num_rows - sealed
    changes = np.asarray(edits.changes)
    judged = np.asarray(edits.before["symbol"].is_valid())
    judged &= ~flags(are_rolled_up(edits.before, resolution))
    is_changed, is_voided = (
        judged & (changes == change.value) for change in (Change.CHANGE, Change.VOID)
    )
    was_final = flags(edits.before["final"])
    changed = int(((is_changed | is_voided) & ~was_final).sum())
    lost = int((is_voided & was_final).sum())
    before, after = (doubles(rows["close"]) for rows in (edits.before, edits.after))
    moved = is_changed & (before != 0)
    moves = np.abs(after[moved] / before[moved] - 1) * 10_000
    return {
        "resolution": resolution.value,
        "provisional": provisional,
        "changed_share": changed / provisional if provisional >= LEAST_ROWS else None,
        "close_p95_bps": float(np.quantile(moves, 0.95)) if len(moves) else None,
        "final": sealed,
        "lost_share": lost / sealed if sealed else None,
        "is_judged": sealed >= LEAST_ROWS,
        "volume_ratio": _volume(live) / volume if live.num_rows and volume else None,
    }


def _volume(bars: pa.Table) -> float:
    return float(pc.sum(bars["volume"]).as_py() or 0)


def _served_rows(resolution: Resolution, served: pa.Table, target: pa.Table) -> pa.Table:
    matched = target.take(matches(served, target))
    in_both = matched["symbol"].is_valid()
    alone = pc.if_else(served["void"], "void", "served")
    numbers = [pc.equal(served[name], 0) for name in (*BAR_NUMBERS, "trades")]
    return table_of(
        {
            "resolution": _texts(resolution.value, served.num_rows),
            "symbol": served["symbol"],
            "start_ns": served["start_ns"],
            "side": pc.if_else(in_both, "both", alone),
            "in_both": in_both,
            "equal": same_rows(served, final_rows(matched, 0), but=("rev",)),
            "is_void": served["void"],
            "is_empty": reduce(pc.and_, numbers, served["final"]),
        }
    )


def _absent(resolution: Resolution, served: pa.Table, target: pa.Table) -> pa.Table:
    """Return the rows of recomputed bars that are not served."""
    absent = target.filter(matches(target, served).is_null())
    no = pa.repeat(False, absent.num_rows)
    return table_of(
        {
            "resolution": _texts(resolution.value, absent.num_rows),
            "symbol": absent["symbol"],
            "start_ns": absent["start_ns"],
            "side": _texts("recomputed", absent.num_rows),
            **dict.fromkeys(("in_both", "equal", "is_void", "is_empty"), no),
        }
    )


def _texts(text: str, count: int) -> Values:
    return pa.repeat(pa.scalar(text), count)
