"""The gate: decides from the results of rules whether a session may be published. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from truetape.quality.results import RuleResult
from truetape.quality.suite import Severity

_NAMED_RULES = 3


@dataclass(frozen=True, slots=True)
class Open:
    """The session may be published. `flags` are broken rules that do not close the gate."""

    flags: tuple[RuleResult, ...]


@dataclass(frozen=True, slots=True)
class Closed:
    """The session may not be published: the rules in `failing` are broken."""

    failing: tuple[RuleResult, ...]
    flags: tuple[RuleResult, ...]

    @property
    def reason(self) -> str:
        """Return which rules close the gate and on how many rows; the first three in full."""
        named = [
            f"{result.rule} ({result.meaning}): {result.summary}"
            for result in self.failing[:_NAMED_RULES]
        ]
        others = [result.rule for result in self.failing[_NAMED_RULES:]]
        return "; ".join(named) + (f"; and by {', '.join(others)}" if others else "")


Verdict = Open | Closed


def decide(results: Iterable[RuleResult]) -> Verdict:
    """Close the gate if, and only if, a gate rule is broken or could not be checked."""
    broken = [result for result in results if not result.passed]
    failing = tuple(result for result in broken if result.severity is Severity.GATE)
    flags = tuple(result for result in broken if result.severity is Severity.FLAG)
    return Closed(failing, flags) if failing else Open(flags)
