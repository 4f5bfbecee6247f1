"""Eligibility: the parts of a bar that a print may set, by its conditions and a profile.

Reads no profile: `truetape.host.profiles` reads them from `schemas/eligibility/*.yaml`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Eligibility:
    """What one print counts for.

    An `auction` print belongs to the daily bar outside the regular session too. `known` is False if
    the profile lacks one of the print's condition codes.
    """

    open_close: bool
    high_low: bool
    volume: bool
    auction: bool = False
    known: bool = True


@dataclass(frozen=True, slots=True)
class Condition:
    """What one condition code allows. `lifts` names codes whose restrictions it removes."""

    open_close: bool = True
    high_low: bool = True
    volume: bool = True
    auction: bool = False
    lifts: frozenset[str] = frozenset()


REGULAR = Eligibility(open_close=True, high_low=True, volume=True)


@dataclass(frozen=True, slots=True)
class Profile:
    """A versioned table of conditions for each tape. Tape "" is for prints without a tape.

    A profile that `ignores_conditions` counts every print.
    """

    id: str
    version: int
    tables: Mapping[str, Mapping[str, Condition]] = field(default_factory=dict)
    ignores_conditions: bool = False

    def judge(self, conditions: Iterable[str], tape: str | None = None) -> Eligibility:
        """Combine conditions by AND. A print with an unknown code counts for nothing."""
        codes = tuple(conditions)
        if self.ignores_conditions or not codes:
            return REGULAR
        table = self.table(tape)
        if self.unknown_codes(codes, tape):
            return Eligibility(open_close=False, high_low=False, volume=False, known=False)
        declared = [table[code] for code in codes]
        lifted = frozenset().union(*(condition.lifts for condition in declared))
        bound = [table[code] for code in codes if code not in lifted]
        return Eligibility(
            open_close=all(condition.open_close for condition in bound),
            high_low=all(condition.high_low for condition in bound),
            volume=all(condition.volume for condition in bound),
            auction=any(condition.auction for condition in declared),
        )

    def unknown_codes(self, conditions: Iterable[str], tape: str | None = None) -> list[str]:
        """Return the codes that the profile does not have, in order."""
        if self.ignores_conditions:
            return []
        table = self.table(tape)
        return [code for code in conditions if code not in table]

    def table(self, tape: str | None) -> Mapping[str, Condition]:
        """Return the table of a tape, or the table of "" if the tape has no table of its own."""
        return self.tables.get(tape or "", self.tables.get("", {}))
