"""A profile as Spark columns: `market.eligibility.Profile.judge`, compiled to arithmetic on bits.

Each condition of a print is one bit of a number, found once; each answer is a few masks of it. Sets
of codes compared by array functions cost more than all the rest of a recompute.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import chain

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from truetape.host.errors import ConfigError
from truetape.market.eligibility import Condition, Profile

COLUMNS = ("open_close", "high_low", "counts", "auction", "known")
"""What `judge` adds: the three permissions (`counts` is the volume one), auction, known codes only.
"""
MAX_CODES = 63
"""Most codes of one table: one bit each, and the sign for those that it lacks."""

_UNKNOWN = -(1 << 63)
_BITS = "_condition_bits"

Table = Mapping[str, Condition]


def judge(trades: DataFrame, profile: Profile) -> DataFrame:
    """Add the eligibility columns; reads `conditions array<string>` (never null) and
    `tape string`. ConfigError when a table of the profile has more than MAX_CODES codes.
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

    def by_tape(rule: Callable[[Table], Column]) -> Column:
        chosen = rule(profile.table(None))
        for tape in sorted(set(profile.tables) - {""}):
            chosen = F.when(F.col("tape") == tape, rule(profile.table(tape))).otherwise(chosen)
        return chosen

    bits = F.when(F.size("conditions") > 0, by_tape(_bits_of_print)).otherwise(F.lit(0))
    columns = {
        "open_close": by_tape(lambda table: _allowed(table, lambda c: c.open_close)),
        "high_low": by_tape(lambda table: _allowed(table, lambda c: c.high_low)),
        "counts": by_tape(lambda table: _allowed(table, lambda c: c.volume)),
        "auction": by_tape(_auction),
        "known": _known(),
    }
    return trades.withColumn(_BITS, bits).withColumns(columns).drop(_BITS)


def _bits_of_print(table: Table) -> Column:
    """Return the bits of a print's conditions, joined; negative where the table lacks one."""
    if not table:
        return F.lit(_UNKNOWN)
    numbered = chain.from_iterable((F.lit(code), F.lit(bit)) for code, bit in _bits(table).items())
    by_code = F.create_map(*numbered)
    return F.aggregate(
        "conditions",
        F.lit(0).cast("bigint"),
        lambda joined, code: joined.bitwiseOR(
            F.coalesce(F.try_element_at(by_code, code), F.lit(_UNKNOWN))
        ),
    )


def _bits(table: Table) -> dict[str, int]:
    if len(table) > MAX_CODES:
        raise ConfigError(f"a profile has {len(table)} codes in one table; at most {MAX_CODES}")
    return {code: 1 << number for number, code in enumerate(sorted(table))}


def _allowed(table: Table, permits: Callable[[Condition], bool]) -> Column:
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
    allowed = _known()
    for lifting, forbidding in sorted(groups.items(), key=lambda item: sorted(item[1])):
        allowed = allowed & (~_has_any(table, forbidding) | _has_any(table, lifting))
    return allowed


def _auction(table: Table) -> Column:
    codes = [code for code, condition in table.items() if condition.auction]
    return _known() & _has_any(table, codes)


def _known() -> Column:
    return F.col(_BITS) >= 0


def _has_any(table: Table, codes: Iterable[str]) -> Column:
    mask = sum(_bits(table)[code] for code in codes)
    return F.col(_BITS).bitwiseAND(F.lit(mask).cast("bigint")) != 0
