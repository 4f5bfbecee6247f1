"""A profile as Spark columns: `market.eligibility.Profile.judge`, compiled to array expressions."""

from collections import defaultdict
from collections.abc import Callable, Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from truetape.market.eligibility import Condition, Profile

COLUMNS = ("open_close", "high_low", "counts", "auction", "known")
"""What `judge` adds: the three permissions (`counts` is the volume one), auction, known codes only.
"""


def judge(trades: DataFrame, profile: Profile) -> DataFrame:
    """Add the eligibility columns; reads `conditions array<string>` (never null) and
    `tape string`.
    """
    if profile.ignores_conditions:
        free = {
            "open_close": True,
            "high_low": True,
            "counts": True,
            "auction": False,
            "known": True,
        }
        return trades.withColumns({name: F.lit(value) for name, value in free.items()})

    def by_tape(rule: Callable[[Mapping[str, Condition]], Column]) -> Column:
        chosen = rule(profile.table(None))
        for tape in sorted(set(profile.tables) - {""}):
            chosen = F.when(F.col("tape") == tape, rule(profile.table(tape))).otherwise(chosen)
        return chosen

    columns = {
        "open_close": by_tape(lambda table: _allowed(table, lambda c: c.open_close)),
        "high_low": by_tape(lambda table: _allowed(table, lambda c: c.high_low)),
        "counts": by_tape(lambda table: _allowed(table, lambda c: c.volume)),
        "auction": by_tape(_auction),
        "known": by_tape(_known),
    }
    return trades.withColumns(columns)


def _allowed(table: Mapping[str, Condition], permits: Callable[[Condition], bool]) -> Column:
    """Every code that forbids is lifted by another one; codes lifted by the same ones
    go together.
    """
    lifters: dict[str, set[str]] = defaultdict(set)
    for code, condition in table.items():
        for lifted in condition.lifts:
            lifters[lifted].add(code)
    groups: dict[frozenset[str], list[str]] = defaultdict(list)
    for code, condition in table.items():
        if not permits(condition):
            groups[frozenset(lifters[code])].append(code)
    allowed = _known(table)
    for lifting, forbidding in sorted(groups.items(), key=lambda item: sorted(item[1])):
        allowed = allowed & (~_has_any(forbidding) | _has_any(lifting))
    return allowed


def _auction(table: Mapping[str, Condition]) -> Column:
    return _known(table) & _has_any(
        [code for code, condition in table.items() if condition.auction]
    )


def _known(table: Mapping[str, Condition]) -> Column:
    return F.size(F.array_except("conditions", _strings(table))) == 0


def _has_any(codes: list[str] | frozenset[str]) -> Column:
    return F.arrays_overlap("conditions", _strings(codes)) if codes else F.lit(False)


def _strings(codes: Mapping[str, Condition] | list[str] | frozenset[str]) -> Column:
    return F.array(*[F.lit(code) for code in sorted(codes)]).cast("array<string>")
