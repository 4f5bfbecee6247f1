"""Eligibility in Spark gives each print what the reference gives it."""

from itertools import product
from typing import TYPE_CHECKING

import pytest

from truetape.batch.spark.eligibility import COLUMNS, MAX_CODES, judge
from truetape.host.errors import ConfigError
from truetape.host.profiles import load
from truetape.market.eligibility import Condition, Profile

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

SCHEMA = "conditions array<string>, tape string"
Print = tuple[list[str], str | None]


def prints_of(profile: Profile) -> list[Print]:
    """No code, every code, every pair of codes, and pairs with an unknown one, on every tape."""
    known = sorted({code for table in profile.tables.values() for code in table})
    codes = [*known, "nonsense"]
    sets = [[], *([code] for code in codes), *map(list, product(codes, repeat=2))]
    return [(one, tape) for tape in (None, "A", "B", "C", "Z") for one in sets]


def wanted(profile: Profile, one: Print) -> tuple[bool, ...]:
    found = profile.judge(*one)
    return (found.open_close, found.high_low, found.volume, found.auction, found.known)


@pytest.mark.parametrize("name", ["all", "sip", "lean"])
def test_every_pair_of_codes_is_judged_as_the_reference_does(
    spark: "SparkSession", name: str
) -> None:
    profile = load(name)
    prints = prints_of(profile)

    judged = judge(spark.createDataFrame(prints, SCHEMA).coalesce(1), profile)

    assert judged.columns == ["conditions", "tape", *COLUMNS]
    wrong = [
        (one, row)
        for one, row in zip(prints, judged.select(*COLUMNS).collect(), strict=True)
        if tuple(row) != wanted(profile, one)
    ]
    assert not wrong


def test_a_table_may_have_as_many_codes_as_a_number_has_bits(spark: "SparkSession") -> None:
    def profile(codes: int) -> Profile:
        return Profile(
            "wide", 1, {"": {f"{n:02}": Condition(volume=n % 2 == 0) for n in range(codes)}}
        )

    frame = spark.createDataFrame([(["62"], None), (["61"], None), (["63"], None)], SCHEMA)

    assert [row.counts for row in judge(frame, profile(MAX_CODES)).collect()] == [
        True,
        False,
        False,
    ]
    with pytest.raises(ConfigError, match="at most 63"):
        judge(frame, profile(MAX_CODES + 1))
