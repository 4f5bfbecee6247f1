"""The drift ledger: the lake's table `drift`, one row for each field of each bar that changed.

A row is written before its bar: every change that a reader saw has an entry. The publication that
completes a killed one takes its entries over, so no entry exists twice. Finds no causes.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from truetape.drift.attribution import Cause, FieldDrift, Part
from truetape.host.sql import quoted
from truetape.lake.delta import append_rows, open_or_none, read_rows, replace_rows
from truetape.lake.tables import Filters, Table, session_filters, session_where
from truetape.market.resolution import Resolution
from truetape.market.sessions import Session
from truetape.publish.diff import Change

MAX_TRADES = 1_000
"""Most trades to list for one cause of one field; `count` counts all of them."""
_MARKER_SYMBOL = ""
"""The symbol in the row that `DriftLedger.mark_speed_served` writes; no bar has it."""

EntryKey = tuple[str, str, int]
"""Symbol, resolution and start of a bar within its session."""


@dataclass(frozen=True, slots=True)
class BarDrift:
    """What one publication changed in one bar, with the causes of each field."""

    venue: str
    session: date
    rev: int
    symbol: str
    resolution: Resolution
    start_ns: int
    change: Change
    fields: tuple[FieldDrift, ...]

    @property
    def key(self) -> EntryKey:
        """Return the key of the bar within its session."""
        return self.symbol, self.resolution.value, self.start_ns

    @property
    def causes(self) -> dict[Cause, tuple[str, ...]]:
        """Return the deciding trades by cause, over all fields."""
        trades: dict[Cause, dict[str, None]] = defaultdict(dict)
        for drift in self.fields:
            for part in drift.parts:
                trades[part.cause].update(dict.fromkeys(part.trades))
        return {cause: tuple(trades[cause]) for cause in Cause if cause in trades}


@dataclass(frozen=True, slots=True)
class DriftLedger:
    """The table `drift` of one lake."""

    lake: str

    def append(self, entries: Iterable[BarDrift]) -> None:
        """Append entries in one commit."""
        append_rows(self.lake, Table.DRIFT, [row for entry in entries for row in _rows(entry)])

    def replace(self, session: Session, rev: int, entries: Sequence[BarDrift]) -> None:
        """Replace the entries that a publication has for the symbols of these."""
        symbols = sorted({entry.symbol for entry in entries})
        if not symbols:
            return
        listed = ", ".join(map(quoted, symbols))
        where = f"{session_where(session)} AND rev = {rev} AND symbol IN ({listed})"
        rows = [row for entry in entries for row in _rows(entry)]
        replace_rows(self.lake, Table.DRIFT, rows, where)

    def was_speed_served(self, session: Session) -> bool:
        """True if `mark_speed_served` was called for a session."""
        filters: Filters = [*session_filters(session), ("symbol", "=", _MARKER_SYMBOL)]
        return bool(read_rows(self.lake, Table.DRIFT, filters, ["rev"]))

    def mark_speed_served(self, session: Session) -> None:
        """Record that the speed layer served a session, before the first publication replaces its
        rows.

        If that publication is killed, nothing else shows that later changes are drift.
        """
        if not self.was_speed_served(session):
            marker = {"rev": 0, "symbol": _MARKER_SYMBOL}
            row = {"venue": session.venue, "session": session.date} | marker
            append_rows(self.lake, Table.DRIFT, [row])

    def entries_after(self, session: Session, rev: int) -> list[BarDrift]:
        """Return the entries above a rev; above the last recorded one, a killed publication wrote
        them.
        """
        return [entry for entry in self.of_session(session) if entry.rev > rev]

    def replace_after(
        self, session: Session, after: int, rev: int, entries: Sequence[BarDrift]
    ) -> None:
        """Replace all entries above the rev `after` by these, as entries of `rev`."""
        where = f"{session_where(session)} AND rev > {after}"
        rows = [row for entry in entries for row in _rows(replace(entry, rev=rev))]
        replace_rows(self.lake, Table.DRIFT, rows, where)

    def of_session(
        self, session: Session, symbol: str | None = None, rev: int | None = None
    ) -> list[BarDrift]:
        """Return the entries of a session, by rev, symbol, resolution and start."""
        return self._read(session_filters(session), symbol, rev)

    def sessions(self, venue: str | None = None) -> list[tuple[date, str]]:
        """Return the dates and venues that have entries, oldest first."""
        table = open_or_none(self.lake, Table.DRIFT)
        if table is None:
            return []
        pairs = {
            (date.fromisoformat(str(file["partition.session"])), file["partition.venue"])
            for file in table.file_statistics()
            if file["max.symbol"] != _MARKER_SYMBOL
        }
        return sorted(pair for pair in pairs if venue in (None, pair[1]))

    def between(
        self, first: date, last: date, venue: str | None = None, symbol: str | None = None
    ) -> list[BarDrift]:
        """Return the entries of the sessions from `first` to `last`, both included."""
        filters: Filters = [("session", ">=", first), ("session", "<=", last)]
        if venue is not None:
            filters.append(("venue", "=", venue))
        return self._read(filters, symbol)

    def _read(
        self,
        sessions: Filters,
        symbol: str | None = None,
        rev: int | None = None,
    ) -> list[BarDrift]:
        filters: Filters = [*sessions]
        if symbol is not None:
            filters.append(("symbol", "=", symbol))
        if rev is not None:
            filters.append(("rev", "=", rev))
        return _entries(read_rows(self.lake, Table.DRIFT, filters))


def combine(earlier: BarDrift, later: BarDrift) -> BarDrift:
    """Combine two successive changes of one bar into one."""
    fields = {drift.field: drift for drift in earlier.fields}
    for drift in later.fields:
        first = fields.get(drift.field)
        parts = (*(first.parts if first else ()), *drift.parts)
        before = first.before if first else drift.before
        fields[drift.field] = FieldDrift(drift.field, before, drift.after, _by_cause(parts))
    return replace(later, change=earlier.change, fields=tuple(fields.values()))


def _by_cause(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Add up the parts of each cause; drop those that cancel out."""
    totals: dict[Cause, Part] = {}
    for part in parts:
        first = totals.get(part.cause)
        totals[part.cause] = (
            part
            if first is None
            else Part(
                part.cause,
                first.delta + part.delta,
                tuple(dict.fromkeys((*first.trades, *part.trades))),
                max(first.lateness_ns, part.lateness_ns),
            )
        )
    return tuple(part for part in totals.values() if part.delta)


def _rows(entry: BarDrift) -> list[dict[str, Any]]:
    return [
        {
            "venue": entry.venue,
            "session": entry.session,
            "rev": entry.rev,
            "symbol": entry.symbol,
            "resolution": entry.resolution.value,
            "start_ns": entry.start_ns,
            "field": drift.field,
            "change": str(entry.change),
            "before": drift.before,
            "after": drift.after,
            "delta": drift.delta,
            "causes": [_cause(part) for part in drift.parts],
        }
        for drift in entry.fields
    ]


def _cause(part: Part) -> dict[str, Any]:
    return {
        "cause": str(part.cause),
        "delta": part.delta,
        "lateness_ns": part.lateness_ns,
        "count": len(part.trades),
        "trades": list(part.trades[:MAX_TRADES]),
    }


def _entries(rows: Iterable[Mapping[str, Any]]) -> list[BarDrift]:
    names = ("venue", "session", "rev", "symbol", "resolution", "start_ns", "change")
    bars: dict[tuple[Any, ...], list[FieldDrift]] = defaultdict(list)
    for row in rows:
        if row["symbol"] == _MARKER_SYMBOL:
            continue
        parts = tuple(map(_part, row["causes"]))
        drift = FieldDrift(row["field"], row["before"], row["after"], parts)
        bars[tuple(row[name] for name in names)].append(drift)
    entries = [
        BarDrift(venue, day, rev, symbol, Resolution(width), start, Change(change), tuple(drifts))
        for (venue, day, rev, symbol, width, start, change), drifts in bars.items()
    ]
    return sorted(entries, key=lambda entry: (entry.session, entry.venue, entry.rev, *entry.key))


def _part(row: Mapping[str, Any]) -> Part:
    """Return a part; a cause that only an older version knew counts as unexplained."""
    cause = next((cause for cause in Cause if cause == row["cause"]), Cause.UNEXPLAINED)
    return Part(cause, row["delta"], tuple(row["trades"]), row["lateness_ns"])
