"""Writes the drift of a publication down, round by round, before its bars are written.

Decides which edits are drift and by whose rules the bar was served; `drift` finds the causes.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal
from functools import cache, lru_cache

from truetape.drift.attribution import Cause, FieldDrift, attribute_to, explain, is_explained
from truetape.drift.attribution_inputs import FIELDS, NO_VALUES, BarValues, Judge, ServingRules
from truetape.drift.bar_trades import BarKey, RecomputedTrades, UncertainPrints, profile_of
from truetape.drift.ledger import DECIMALS, BarDrift, DriftLedger, combine
from truetape.drift.metrics import DriftMetrics
from truetape.feeds import contract_file
from truetape.host import profiles
from truetape.host.log import logger
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.publications import Publication, publications
from truetape.market.resolution import SECOND_NS, STREAMED, Resolution
from truetape.market.sessions import Session, Venue
from truetape.publish.diff import Change, Edit, is_rolled_up
from truetape.serving.store import BarStore, ServedBar

MAX_JUDGED = 10_000
"""Most combinations of conditions that are remembered of a profile."""
_NEVER = 2**63 - 1
_LAST = Decimal(1).scaleb(-DECIMALS)
_EXACT = Context(prec=60)

Edits = Mapping[Resolution, list[Edit]]
ProfileVersion = tuple[str, int]
"""Id and version."""


@dataclass(frozen=True, slots=True)
class SpeedRules:
    """How the speed layer is set: what it serves, and which repeats it drops."""

    profile: str
    lateness_ns: int
    drops_repeats: frozenset[str]

    @classmethod
    def of(cls, settings: Settings) -> "SpeedRules":
        """Read it from the settings and the contracts of the feeds that it serves."""
        contracts = [contract_file.load(name) for name in settings.feeds]
        dropped = frozenset(item.feed for item in contracts if item.duplicates_expected)
        return cls(settings.profile, settings.speed_lateness_s * SECOND_NS, dropped)


@dataclass(slots=True)
class DriftRecorder:
    """The drift of one publication. `cause` is set where it is known without looking: a revert."""

    lake: str
    store: BarStore
    venue: Venue
    session: Session
    speed: SpeedRules
    cause: Cause | None = None
    _past: list[Publication] = field(default_factory=list)
    _is_told: bool = False
    _pending: dict[tuple[str, str, int], BarDrift] | None = None
    _unseen: dict[tuple[str, str, int], BarDrift] = field(default_factory=dict)
    """What a killed publication had noted, of symbols that need no more edits."""
    _metrics: DriftMetrics = field(default_factory=DriftMetrics)

    @classmethod
    def of(
        cls, settings: Settings, store: BarStore, session: Session, cause: Cause | None = None
    ) -> "DriftRecorder":
        """Prepare for the publication of a session; reads nothing yet."""
        venue = venues()[session.venue]
        return cls(settings.lake, store, venue, session, SpeedRules.of(settings), cause)

    def record_round(self, rev: int, edits: Edits) -> None:
        """Append the drift of a round to the ledger; `publication.BeforeWrite`.

        What a killed publication had noted and written is taken over; the drift from there on is
        added to it.
        """
        pending = self._begin(rev)
        drifting = {
            (resolution, edit.after.symbol, edit.after.start_ns): edit
            for resolution, part in edits.items()
            for edit in part
            if self._is_drift(resolution, edit)
        }
        found = {entry.key: entry for entry in self._entries(rev, drifting)}
        symbols = {edit.after.symbol for part in edits.values() for edit in part}
        left = {place: one for place, one in pending.items() if place[0] in symbols}
        self._unseen = {place: one for place, one in self._unseen.items() if place not in left}
        for place, entry in left.items():
            found[place] = combine(entry, found[place]) if place in found else entry
        entries = list(found.values())
        for entry in entries:
            self._metrics.add(entry)
        if left:
            DriftLedger(self.lake).replace(self.session, rev, entries)
        else:
            DriftLedger(self.lake).append(entries)

    def finish(self, rev: int | None) -> None:
        """Write the metrics of a publication that noted its drift here; `rev` is None where nothing
        had to be changed: then nothing of a killed one has landed, and its notes go.
        """
        if rev is None:
            self._forget()
            return
        for entry in self._unseen.values():
            self._metrics.add(entry)
        report = self.store.write_points(self._metrics.points(self.session, rev, time.time_ns()))
        report.require_stored("drift metrics")
        told = self._metrics
        logger("drift").info("drift", rev=rev, bars=told.bars, unexplained=told.unexplained)

    def _begin(self, rev: int) -> dict[tuple[str, str, int], BarDrift]:
        """Before anything of this publication is written: see what was told, and what is left."""
        if self._pending is None:
            self._past = publications(self.lake, self.session)
            ledger = DriftLedger(self.lake)
            self._is_told = bool(self._past) or self._was_told(ledger)
            last = self._past[-1].rev if self._past else 0
            noted = ledger.entries_after(self.session, last)
            left = [replace(entry, rev=rev) for entry in self._landed(noted)]
            if noted != left:
                ledger.replace_after(self.session, last, rev, left)
            self._pending = {entry.key: entry for entry in left}
            self._unseen = dict(self._pending)
        return self._pending

    def _landed(self, noted: list[BarDrift]) -> list[BarDrift]:
        """Return the entries whose bars are served as they say; a killed publication notes first
        and writes then.
        """
        served: dict[tuple[str, str, int], BarValues] = {}
        for resolution in {entry.resolution for entry in noted}:
            symbols = sorted({one.symbol for one in noted if one.resolution is resolution})
            start, end = self.session.start_ns, self.session.end_ns
            for row in self.store.read(
                resolution, start, end, venue=self.session.venue, symbols=symbols
            ):
                served[row.symbol, resolution.value, row.start_ns] = values_of_row(row)
        return [one for one in noted if _was_written(one, served.get(one.key, NO_VALUES))]

    def _forget(self) -> None:
        """Take back what a killed publication noted that has no record even now."""
        past = publications(self.lake, self.session)
        last, ledger = past[-1].rev if past else 0, DriftLedger(self.lake)
        if ledger.entries_after(self.session, last):
            ledger.replace_after(self.session, last, last, [])

    def _was_told(self, ledger: DriftLedger) -> bool:
        """Say whether the speed layer served the session, also when a killed publication has
        written over all that it did.
        """
        if self._has_speed_rows():
            ledger.mark_speed_served(self.session)
            return True
        return ledger.was_speed_served(self.session)

    def _has_speed_rows(self) -> bool:
        window = (self.session.venue, self.session.start_ns, self.session.end_ns)
        digests = self.store.digests(Resolution.MINUTE, *window)
        return any(one.batch < one.bars for one in digests.values())

    def _is_drift(self, resolution: Resolution, edit: Edit) -> bool:
        """Say whether readers were told otherwise before.

        Where the speed layer served nothing of a session, nobody was told anything; and it does not
        serve the wider resolutions.
        """
        match edit.change:
            case Change.CONFIRM:
                return False
            case Change.ADD:
                return self._is_told and (bool(self._past) or resolution in STREAMED)
            case _:
                # a wider provisional row says what its minutes say, and those have their entries
                return edit.before is None or not is_rolled_up(edit.before, resolution)

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
        sides = {
            place: (values_of_row(edit.before), values_of_row(edit.after))
            for place, edit in drifting.items()
        }
        if self.cause is not None:
            yield from ((place, attribute_to(*both, self.cause)) for place, both in sides.items())
            return
        if not drifting:
            return
        trades = RecomputedTrades(self.lake, self.venue, self.session, {key[1] for key in drifting})
        final = profile_of(self.lake, self.session)
        judge = self._judge(final[0])
        for (rules, profile), places in self._by_rules(drifting, final).items():
            doubts = UncertainPrints(rules.as_of_ns or _NEVER, everything=profile != final)
            for place, window in trades.windows({key: sides[key] for key in places}, doubts):
                fields = explain(window, rules, judge)
                spelt_out = None if is_explained(fields) else trades.whole(place, sides[place])
                yield place, fields if spelt_out is None else explain(spelt_out, rules, judge)

    def _by_rules(
        self, drifting: Mapping[BarKey, Edit], final: ProfileVersion
    ) -> dict[tuple[ServingRules, ProfileVersion], list[BarKey]]:
        """Group bars by how they were served: by the speed layer, or by which publication."""
        found: dict[tuple[ServingRules, ProfileVersion], list[BarKey]] = defaultdict(list)
        for place, edit in drifting.items():
            before = edit.before
            by_batch = before.rev if before is not None and before.layer == "batch" else None
            if before is None and self._past:
                by_batch = self._past[-1].rev
            found[self._rules(by_batch, final)].append(place)
        return found

    def _rules(self, rev: int | None, final: ProfileVersion) -> tuple[ServingRules, ProfileVersion]:
        lateness = self.speed.lateness_ns
        if rev is None:
            profile = profiles.load(self.speed.profile)
            rules = ServingRules(_cached_judge(profile.id), lateness, self.speed.drops_repeats)
            return rules, (profile.id, profile.version)
        known = [one for one in self._past if one.rev >= rev]
        if not known:  # a publication that was killed has no row, and knew what the lake knows
            return ServingRules(self._judge(final[0]), lateness, None, _NEVER), final
        made = known[0]
        rules = ServingRules(self._judge(made.profile), lateness, None, made.as_of_ns)
        return rules, (made.profile, made.profile_version)

    def _judge(self, profile: str) -> Judge:
        """A session without any bar has no profile, and one of old may be gone."""
        return _cached_judge(profile if profile in profiles.names() else self.speed.profile)


def values_of_row(bar: ServedBar | None) -> BarValues:
    """Return what a row tells: the shortest decimals that read back as its doubles, as far as the
    ledger has decimals.
    """
    if bar is None or bar.void:
        return NO_VALUES
    return tuple(_decimal(repr(getattr(bar, name))) for name in FIELDS)


def _decimal(text: str) -> Decimal:
    value = Decimal(text)
    if "e" in text or len(text) > DECIMALS:
        return value.quantize(_LAST, context=_EXACT)
    return value


def _was_written(entry: BarDrift, served: BarValues) -> bool:
    """Say whether a row is served as an entry says that it became."""
    told = dict(zip(FIELDS, served, strict=True))
    return all(float(one.after) == float(told[one.field]) for one in entry.fields)


@cache
def _cached_judge(profile: str) -> Judge:
    """Return the `judge` of a profile, which remembers what it has judged."""
    return lru_cache(MAX_JUDGED)(profiles.load(profile).judge)
