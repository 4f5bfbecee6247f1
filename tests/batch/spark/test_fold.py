"""Numbers in Spark: instants are cut, never rounded; a VWAP is rounded once, half to even."""

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F

from support.build import VENUES, at
from truetape.batch.spark.fold import NOTIONAL, VOLUME, floor_div, with_vwap
from truetape.batch.spark.session_dates import session_date

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


VWAPS = {
    "down": ("1", "3", "0.33333333"),
    "up": ("2", "3", "0.66666667"),
    "half to 0": ("0.00000001", "2", "0"),
    "half up to 2": ("0.00000003", "2", "0.00000002"),
    "half down to 2": ("0.00000005", "2", "0.00000002"),
    "half of the smallest sizes": ("0.00000000010129110", "0.00000102", "0.0000993"),
    "next to half of the smallest sizes": ("0.00000000010129111", "0.00000102", "0.00009931"),
    "carry into the tenth digit": ("999999999.999999999", "1", "1000000000"),
    "largest price and size": (
        "9999999999899999990.0000000001",
        "9999999999.99999999",
        "999999999.99",
    ),
    "half of 200 trillion units": ("5000000", "200000000000000", "0.00000002"),
    "next to half of 200 trillion units": ("5000000.000001", "200000000000000", "0.00000003"),
    "no volume": ("0", "0", None),
}


def test_a_vwap_is_rounded_once_and_half_to_even(spark: "SparkSession") -> None:
    schema = f"name string, notional {NOTIONAL}, priced_volume {VOLUME}"
    rows = [(name, Decimal(total), Decimal(size)) for name, (total, size, _) in VWAPS.items()]

    found = with_vwap(spark.createDataFrame(rows, schema)).collect()

    assert {row.name: row.vwap for row in found} == {
        name: None if vwap is None else Decimal(vwap) for name, (_, _, vwap) in VWAPS.items()
    }
