"""Each rule that Spark is told in its own words, broken on purpose: the tests of them notice."""

from pathlib import Path

import pytest

from support.mutants import FAILED, PASSED, Mutant, outcome

pytestmark = [pytest.mark.real, pytest.mark.long]  # a Spark session for each

TESTS = [
    *(f"tests/batch/spark/test_{name}.py" for name in ("fold", "eligibility", "fold_agrees")),
    "tests/batch/test_recompute.py",
]
FOLD, CANONICAL = "batch/spark/fold.py", "batch/spark/canonical.py"
ELIGIBILITY = "batch/spark/eligibility.py"

MUTANTS = [
    Mutant(
        "open is the first print",
        FOLD,
        'F.min_by("price", setting).alias("open")',
        'F.max_by("price", setting).alias("open")',
    ),
    Mutant(
        "a roll-up's close is that of the last bar",
        FOLD,
        'F.max_by("close", "last")',
        'F.min_by("close", "last")',
    ),
    Mutant(
        "a roll-up's high is the highest",
        FOLD,
        'F.max("high").alias("high")',
        'F.min("high").alias("high")',
    ),
    Mutant(
        "only prints that may set high and low do",
        FOLD,
        'priced = F.when(F.col("high_low"), F.col("price"))',
        'priced = F.col("price")',
    ),
    Mutant(
        "vwap is over prints that count for both",
        FOLD,
        'both = F.col("counts") & F.col("high_low")',
        'both = F.col("counts")',
    ),
    Mutant("vwap is rounded half to even", FOLD, " | ((rest == -half) & odd)", ""),
    Mutant("ties are told by sequence or id", FOLD, '        rank.alias("rank"),\n', ""),
    Mutant(
        "instants are divided to the last digit",
        FOLD,
        'return F.call_function("div", value - F.pmod(value, F.lit(by)), F.lit(by))',
        'return F.floor(value / by).cast("bigint")',
    ),
    Mutant(
        "a repeat delivery is told by its id",
        CANONICAL,
        'F.col("id").isNotNull() & (F.row_number().over(delivery) > 1)',
        "(F.row_number().over(delivery) > 1)",
    ),
    Mutant(
        "a correction brings its price",
        CANONICAL,
        '"price": F.coalesce("new_price", "price"),',
        '"price": F.col("price"),',
    ),
    Mutant(
        "a condition may lift another's restrictions",
        ELIGIBILITY,
        "(~_has_any(table, forbidding) | _has_any(table, lifting))",
        "~_has_any(table, forbidding)",
    ),
    Mutant(
        "an unknown condition counts for nothing",
        ELIGIBILITY,
        "allowed = _known()",
        "allowed = F.lit(True)",
    ),
]


def test_the_expression_as_it_is_passes(tmp_path: Path) -> None:
    assert outcome(None, TESTS, tmp_path) == PASSED


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_a_broken_rule_is_noticed(mutant: Mutant, tmp_path: Path) -> None:
    assert outcome(mutant, TESTS, tmp_path) == FAILED
