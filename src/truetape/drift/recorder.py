"""Records the drift of a publication in the ledger, round by round, before its bars are written.

Decides which edits are drift and by which rules each bar was served; `drift.attribution` finds the
causes.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal
from functools import cache, lru_cache

from truetape.drift.attribution import Cause, FieldDrift, attribute_to, explain, is_explained
from truetape.drift.attribution_inputs import FIELDS, NO_VALUES, BarValues, Judge, ServingRules
from truetape.drift.bar_trades import (
    BarKey,
    RecomputedTrades,
    SessionTrades,
    UncertainPrints,
    profile_of,
)
from truetape.drift.ledger import BarDrift, DriftLedger, EntryKey, combine
from truetape.drift.metrics import DriftMetrics
from truetape.feeds.contract import load_contract
from truetape.host import profiles
from truetape.host.log import logger
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.publications import Publication, publications
from truetape.market.resolution import SECOND_NS, STREAMED, Resolution
from truetape.market.sessions import Session, Venue
from truetape.market.trades import DECIMALS, LIMIT
from truetape.publish.diff import Change, Edit, Edits, is_rolled_up
from truetape.serving.store import BarStore, ServedBar

MAX_JUDGED = 10_000
"""Most combinations of conditions whose judgement is cached for a profile."""
_NEVER = 2**63 - 1
_LAST = Decimal(1).scaleb(-DECIMALS)
_EXACT = Context(prec=60)
_MOST = _EXACT.subtract(LIMIT, _LAST)

ProfileVersion = tuple[str, int]
"""Id and version."""


@dataclass(frozen=True, slots=True)
class SpeedRules:
    """How the speed layer makes bars: its profile, lateness, and the feeds that it deduplicates."""

    profile: str
    lateness_ns: int
    deduplicated_feeds: frozenset[str]

    @classmethod
    def of(cls, settings: Settings) -> "SpeedRules":
        """Read the rules from the settings and the contracts of the feeds."""
        contracts = [load_contract(name) for name in settings.feeds]
        deduplicated = frozenset(item.feed for item in contracts if item.duplicates_expected)
        return cls(settings.profile, settings.speed_lateness_s * SECOND_NS, deduplicated)


@dataclass(slots=True)
class DriftRecorder:
    """Records the drift of one publication. `cause` is set if the caller knows it: a revert."""

    lake: str
    store: BarStore
    venue: Venue
    session: Session
    speed: SpeedRules
    cause: Cause | None = None
    _past: list[Publication] = field(default_factory=list)
    _was_served: bool = False
    """True if readers had bars of the session before this publication."""
    _pending: dict[EntryKey, BarDrift] | None = None
    """Entries of a killed publication whose bars it has written; None before they are read."""
    _carried_over: dict[EntryKey, BarDrift] = field(default_factory=dict)
    """Those of the pending entries whose symbols have had no edit so far."""
    _metrics: DriftMetrics = field(default_factory=DriftMetrics)
    _trades: SessionTrades | None = None
    """The reader of the session's trades; None before the first drift."""

    @classmethod
    def of(
        cls, settings: Settings, store: BarStore, session: Session, cause: Cause | None = None
    ) -> "DriftRecorder":
        """Prepare for the publication of a session; reads no lake and no store yet."""
        venue = venues()[session.venue]
        return cls(settings.lake, store, venue, session, SpeedRules.of(settings), cause)

    def record_round(self, rev: int, edits: Mapping[Resolution, Edits]) -> None:
        """Write the drift of a round to the ledger; the `BeforeWrite` hook of a publication.

        An entry that a killed publication wrote for one of these bars is combined with the drift
        from there on.
        """
        pending = self._begin(rev)
        drifting = {
            (resolution, edit.after.symbol, edit.after.start_ns): edit
            for resolution, part in edits.items()
            for edit in part.of(*self._visible_changes(resolution))
            if not _is_rolled_up(resolution, edit)
        }
        entries = {entry.key: entry for entry in self._entries(rev, drifting)}
        symbols = {symbol for part in edits.values() for symbol in part.symbols}
        earlier = {key: entry for key, entry in pending.items() if key[0] in symbols}
        for key, entry in earlier.items():
            self._carried_over.pop(key, None)
            entries[key] = combine(entry, entries[key]) if key in entries else entry
        for entry in entries.values():
            self._metrics.add(entry)
        if earlier:
            DriftLedger(self.lake).replace(self.session, rev, list(entries.values()))
        else:
            DriftLedger(self.lake).append(entries.values())

    def finish(self, rev: int | None) -> None:
        """Write the drift metrics of the publication.

        `rev` is None if the publication changed no row. Then a killed publication wrote no bars
        either, so its drift entries are deleted.
        """
        if rev is None:
            self._delete_unpublished()
            return
        for entry in self._carried_over.values():
            self._metrics.add(entry)
        metrics = self._metrics
        report = self.store.write_points(metrics.points(self.session, rev, time.time_ns()))
        report.require_stored("drift metrics")
        logger("drift").info("drift", rev=rev, bars=metrics.bars, unexplained=metrics.unexplained)

    def _begin(self, rev: int) -> dict[EntryKey, BarDrift]:
        """Read, before the first write of this publication, what readers have seen, and the entries
        of a killed publication. Delete those whose bars it did not write.
        """
        if self._pending is None:
            self._past = publications(self.lake, self.session)
            ledger = DriftLedger(self.lake)
            self._was_served = bool(self._past) or self._was_speed_served(ledger)
            last = self._past[-1].rev if self._past else 0
            entries = ledger.entries_after(self.session, last)
            written = [replace(entry, rev=rev) for entry in self._with_written_bars(entries)]
            if entries != written:
                ledger.replace_after(self.session, last, rev, written)
            self._pending = {entry.key: entry for entry in written}
            self._carried_over = dict(self._pending)
        return self._pending

    def _with_written_bars(self, entries: list[BarDrift]) -> list[BarDrift]:
        """Return the entries whose bars are served with the entry's values: a killed publication
        may have recorded drift of bars that it did not write any more.
        """
        served: dict[EntryKey, BarValues] = {}
        for resolution in {entry.resolution for entry in entries}:
            symbols = sorted({item.symbol for item in entries if item.resolution is resolution})
            start, end = self.session.start_ns, self.session.end_ns
            for row in self.store.read(
                resolution, start, end, venue=self.session.venue, symbols=symbols
            ):
                served[row.symbol, resolution.value, row.start_ns] = values_of_row(row)
        return [entry for entry in entries if _is_served(entry, served.get(entry.key, NO_VALUES))]

    def _delete_unpublished(self) -> None:
        """Delete the entries of a killed publication that still has no record."""
        past = publications(self.lake, self.session)
        last, ledger = past[-1].rev if past else 0, DriftLedger(self.lake)
        if ledger.entries_after(self.session, last):
            ledger.replace_after(self.session, last, last, [])

    def _was_speed_served(self, ledger: DriftLedger) -> bool:
        """True if the speed layer served the session, even if a killed publication has replaced all
        of its rows.
        """
        if self._has_speed_rows():
            ledger.mark_speed_served(self.session)
            return True
        return ledger.was_speed_served(self.session)

    def _has_speed_rows(self) -> bool:
        session = self.session
        digests = self.store.digests(
            Resolution.MINUTE, session.venue, session.start_ns, session.end_ns
        )
        return any(digest.batch < digest.bars for digest in digests.values())

    def _visible_changes(self, resolution: Resolution) -> Iterator[Change]:
        """Yield the kinds of edits that change what readers could see before.

        A new bar is drift only if its session was served before. Before the first publication only
        the resolutions of the speed layer count: it serves no others.
        """
        yield from (Change.CHANGE, Change.VOID)
        if self._was_served and (self._past or resolution in STREAMED):
            yield Change.ADD

    def _entries(self, rev: int, drifting: Mapping[BarKey, Edit]) -> Iterator[BarDrift]:
        for (resolution, symbol, start), fields in self._explained(drifting):
            if fields:
                yield BarDrift(
                    venue=self.session.venue,
                    session=self.session.date,
                    rev=rev,
                    symbol=symbol,
                    resolution=resolution,
                    start_ns=start,
                    change=drifting[resolution, symbol, start].change,
                    fields=fields,
                )

    def _explained(
        self, drifting: Mapping[BarKey, Edit]
    ) -> Iterator[tuple[BarKey, tuple[FieldDrift, ...]]]:
        values = {
            bar: (values_of_row(edit.before), values_of_row(edit.after))
            for bar, edit in drifting.items()
        }
        if self.cause is not None:
            yield from ((bar, attribute_to(*pair, self.cause)) for bar, pair in values.items())
            return
        if not drifting:
            return
        if self._trades is None:
            self._trades = SessionTrades(self.lake, self.session)
        trades = RecomputedTrades(self._trades, self.venue, drifting)
        final = profile_of(self.lake, self.session)
        judge = self._judge(final[0])
        for (rules, profile), bars in self._by_rules(drifting, final).items():
            uncertain = UncertainPrints(rules.as_of_ns or _NEVER, everything=profile != final)
            for bar, inputs in trades.inputs({key: values[key] for key in bars}, uncertain):
                fields = explain(inputs, rules, judge)
                if not is_explained(fields):
                    full = trades.inputs_with_every_print(bar, values[bar])
                    fields = fields if full is None else explain(full, rules, judge)
                yield bar, fields

    def _by_rules(
        self, drifting: Mapping[BarKey, Edit], final: ProfileVersion
    ) -> dict[tuple[ServingRules, ProfileVersion], list[BarKey]]:
        """Group bars by the layer that served them: the speed layer, or one of the publications."""
        groups: dict[tuple[ServingRules, ProfileVersion], list[BarKey]] = defaultdict(list)
        for bar, edit in drifting.items():
            before = edit.before
            rev = before.rev if before is not None and before.layer == "batch" else None
            if before is None and self._past:
                rev = self._past[-1].rev
            groups[self._rules(rev, final)].append(bar)
        return groups

    def _rules(self, rev: int | None, final: ProfileVersion) -> tuple[ServingRules, ProfileVersion]:
        lateness = self.speed.lateness_ns
        if rev is None:
            profile = profiles.load(self.speed.profile)
            rules = ServingRules(_cached_judge(profile.id), lateness, self.speed.deduplicated_feeds)
            return rules, (profile.id, profile.version)
        at_or_after = [publication for publication in self._past if publication.rev >= rev]
        if not at_or_after:  # a killed publication has no record, and knew what the lake knows
            return ServingRules(self._judge(final[0]), lateness, None, _NEVER), final
        served_by = at_or_after[0]
        rules = ServingRules(self._judge(served_by.profile), lateness, None, served_by.as_of_ns)
        return rules, (served_by.profile, served_by.profile_version)

    def _judge(self, profile: str) -> Judge:
        """Return a profile's judge; the speed layer's if the profile is unknown: a session without
        bars has no profile, and an old profile may have been removed.
        """
        return _cached_judge(profile if profile in profiles.names() else self.speed.profile)


def _is_rolled_up(resolution: Resolution, edit: Edit) -> bool:
    """True if the row before follows from its minutes: the minutes have their own entries."""
    return edit.before is not None and is_rolled_up(edit.before, resolution)


def values_of_row(bar: ServedBar | None) -> BarValues:
    """Return the values of a row as the shortest decimals that read back as its doubles, rounded to
    the ledger's decimals.
    """
    if bar is None or bar.void:
        return NO_VALUES
    return tuple(_decimal(repr(getattr(bar, name))) for name in FIELDS)


def _decimal(text: str) -> Decimal:
    value = Decimal(text)
    if "e" in text or len(text) > DECIMALS:
        rounded = value.quantize(_LAST, context=_EXACT)
        return max(
            min(rounded, _MOST), _MOST.copy_negate()
        )  # the double of a number just below 10^20 is 10^20
    return value


def _is_served(entry: BarDrift, served: BarValues) -> bool:
    """True if a row is served with the values that an entry says it got."""
    values = dict(zip(FIELDS, served, strict=True))
    return all(float(drift.after) == float(values[drift.field]) for drift in entry.fields)


@cache
def _cached_judge(profile: str) -> Judge:
    """Return the `judge` of a profile, with a cache of its judgements."""
    return lru_cache(MAX_JUDGED)(profiles.load(profile).judge)
