"""Results: the outcome of a rule, with a few of the rows that break it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from truetape.quality.suite import Severity


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The outcome of one rule. A rule that could not be checked has an `error` and did not pass.

    `rows` counts the rows checked, `unexpected` the values that break the rule. A rule about a
    whole table has neither; `observed` says what it saw. `examples` are rows as text.
    """

    suite: str
    rule: str
    severity: Severity
    meaning: str
    frame: str
    passed: bool
    rows: int = 0
    unexpected: int = 0
    observed: str = ""
    examples: tuple[Mapping[str, str], ...] = ()
    error: str = ""

    @property
    def share(self) -> float:
        """Return the share of rows that break the rule, 0 to 1."""
        return min(1.0, self.unexpected / self.rows) if self.rows else float(not self.passed)

    @property
    def summary(self) -> str:
        """Return the outcome in a few words."""
        if self.error:
            return f"could not be checked: {self.error}"
        if self.passed:
            return "holds"
        if self.unexpected and self.rows:
            return f"{self.unexpected:,} values in {self.rows:,} rows"
        return self.observed or "does not hold"
