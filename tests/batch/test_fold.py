"""Whole numbers in Spark: instants are cut, never rounded."""

from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F

from support.build import VENUES, at
from truetape.batch.canonical import session_date
from truetape.batch.fold import floor_div

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

MIDNIGHT = at("2026-11-20T00:00:00")
"""Beyond 2^60: a double is 256 ns coarse here."""


@pytest.mark.parametrize("by", [1_000, 1_000_000_000])
def test_instants_are_divided_to_the_last_digit(spark: "SparkSession", by: int) -> None:
    instants = [MIDNIGHT + around for around in (-1_000, -999, -129, -1, 0, 1, 127, 129, 1_000)]
    frame = spark.createDataFrame([(item,) for item in (*instants, -1, 0)], "instant bigint")

    found = frame.select("instant", floor_div(F.col("instant"), by).alias("part")).collect()

    assert [row.part for row in found] == [row.instant // by for row in found]


def test_the_last_nanosecond_of_a_day_belongs_to_it(spark: "SparkSession") -> None:
    frame = spark.createDataFrame([(MIDNIGHT - 1,), (MIDNIGHT,)], "instant bigint")

    dates = frame.select(session_date(VENUES, F.lit("KRAKEN"), F.col("instant"))).collect()

    assert [str(row[0]) for row in dates] == ["2026-11-19", "2026-11-20"]
