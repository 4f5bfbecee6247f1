"""The gate: from the results of rules to whether a session may be published. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from truetape.quality.results import RuleResult
from truetape.quality.suite import Severity

_NAMED_RULES = 3


@dataclass(frozen=True, slots=True)
class Open:
    """The session may be published; `flags` are the rules that do not hold and stop nothing."""

    flags: tuple[RuleResult, ...]


@dataclass(frozen=True, slots=True)
class Closed:
    """The session may not be published, because of each of `failing`."""

    failing: tuple[RuleResult, ...]
    flags: tuple[RuleResult, ...]

    @property
    def reason(self) -> str:
        """Say which rules close the gate and on how many rows, the first ones in full."""
        told = [f"{one.rule} ({one.meaning}): {one.summary}" for one in self.failing[:_NAMED_RULES]]
        others = [one.rule for one in self.failing[_NAMED_RULES:]]
        return "; ".join(told) + (f"; and by {', '.join(others)}" if others else "")


Verdict = Open | Closed


def decide(results: Iterable[RuleResult]) -> Verdict:
    """Close the gate where a gate rule does not hold or could not be checked, and only there."""
    broken = [result for result in results if not result.passed]
    failing = tuple(result for result in broken if result.severity is Severity.GATE)
    flags = tuple(result for result in broken if result.severity is Severity.FLAG)
    return Closed(failing, flags) if failing else Open(flags)
