"""Eligibility: which parts of a bar a print may set, by a profile and the print's conditions.

A profile is data (`schemas/eligibility/*.yaml`), read at the border (`truetape.host.profiles`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Eligibility:
    """What one print counts for; `auction` admits it to the daily bar out of hours."""

    open_close: bool
    high_low: bool
    volume: bool
    auction: bool = False
    known: bool = True


@dataclass(frozen=True, slots=True)
class Condition:
    """What one condition code allows. `lifts` names codes whose restrictions it takes away."""

    open_close: bool = True
    high_low: bool = True
    volume: bool = True
    auction: bool = False
    lifts: frozenset[str] = frozenset()


REGULAR = Eligibility(open_close=True, high_low=True, volume=True)


@dataclass(frozen=True, slots=True)
class Profile:
    """A versioned table of conditions for each tape; tape "" is the table for no tape.

    `ignores_conditions` is the profile that counts every print whatever its codes.
    """

    id: str
    version: int
    tables: Mapping[str, Mapping[str, Condition]] = field(default_factory=dict)
    ignores_conditions: bool = False

    def judge(self, conditions: Iterable[str], tape: str | None = None) -> Eligibility:
        """Combine conditions by AND; an unknown code counts for nothing and is flagged."""
        codes = tuple(conditions)
        if self.ignores_conditions or not codes:
            return REGULAR
        table = self.table(tape)
        if any(code not in table for code in codes):
            return Eligibility(open_close=False, high_low=False, volume=False, known=False)
        found = [table[code] for code in codes]
        lifted = frozenset().union(*(condition.lifts for condition in found))
        bound = [table[code] for code in codes if code not in lifted]
        return Eligibility(
            open_close=all(condition.open_close for condition in bound),
            high_low=all(condition.high_low for condition in bound),
            volume=all(condition.volume for condition in bound),
            auction=any(condition.auction for condition in found),
        )

    def table(self, tape: str | None) -> Mapping[str, Condition]:
        """Return the table of a tape; a tape without one of its own uses the common one."""
        return self.tables.get(tape or "", self.tables.get("", {}))
