"""The Spark expression for bars, written once and used by both layers.

Equal, byte for byte, to the reference `market.bars`; a property test holds them together.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from truetape.market.resolution import Resolution

NOTIONAL = "decimal(38,17)"
VOLUME = "decimal(28,8)"
PRICE = "decimal(18,9)"
VWAP = "decimal(18,8)"


def tallies(order: Column, *, mergeable: bool) -> list[Column]:
    """Aggregate trades into a tally, in the terms of `market.bars.Tally`.

    Reads `price decimal(18,9)`, `size decimal(18,8)` and the eligibility columns. `order` is any
    orderable column that sorts as `Trade.order` does. `mergeable` keeps the orders of open and
    close, which a roll-up of tallies needs.
    """
    setting = F.when(F.col("open_close"), order)
    priced = F.when(F.col("high_low"), F.col("price"))
    sized = F.when(F.col("counts"), F.col("size"))
    both = F.col("counts") & F.col("high_low")
    columns = [
        F.min_by("price", setting).alias("open"),
        F.max(priced).alias("high"),
        F.min(priced).alias("low"),
        F.max_by("price", setting).alias("close"),
        _total(sized, VOLUME).alias("volume"),
        _total(F.when(both, F.col("price") * F.col("size")), NOTIONAL).alias("notional"),
        _total(F.when(both, F.col("size")), VOLUME).alias("priced_volume"),
        F.count(sized).alias("trades"),
    ]
    if mergeable:
        columns += [F.min(setting).alias("first"), F.max(setting).alias("last")]
    return columns


def merged() -> list[Column]:
    """Aggregate mergeable tallies into one: `market.bars.merge` over a group."""
    return [
        F.min_by("open", "first").alias("open"),
        F.max("high").alias("high"),
        F.min("low").alias("low"),
        F.max_by("close", "last").alias("close"),
        F.sum("volume").cast(VOLUME).alias("volume"),
        F.sum("notional").cast(NOTIONAL).alias("notional"),
        F.sum("priced_volume").cast(VOLUME).alias("priced_volume"),
        F.sum("trades").alias("trades"),
        F.min("first").alias("first"),
        F.max("last").alias("last"),
    ]


def total_order() -> Column:
    """Return `Trade.order` as a struct that Spark sorts the same way."""
    numeric = F.col("id").rlike(r"\A[0-9]{1,18}\z")
    number = F.coalesce(F.col("sequence"), F.when(numeric, F.col("id").try_cast("bigint")))
    text = F.when(number.isNull(), F.col("id"))
    rank = F.when(number.isNotNull(), 0).when(text.isNotNull(), 1).otherwise(2)
    return F.struct(
        F.col("event_ns"),
        rank.alias("rank"),
        F.coalesce(number, F.lit(0)).alias("number"),
        F.coalesce(text, F.lit("")).alias("text"),
        *[F.col(name) for name in ("topic", "partition", "offset", "index")],
    )


def start_of(resolution: Resolution, instant: Column) -> Column:
    """Return the UTC-aligned start of the intraday bar that holds an instant, in nanoseconds."""
    return instant - F.pmod(instant, F.lit(resolution.width_ns))


def floor_div(value: Column, by: int) -> Column:
    """Divide a bigint by a whole number, rounding down; exact, where `/` goes through a double.

    A double holds 53 bits and an instant in nanoseconds has 61: the last nanosecond of a day came
    out as the next day.
    """
    return F.call_function("div", value - F.pmod(value, F.lit(by)), F.lit(by))


def with_vwap(bars: DataFrame) -> DataFrame:
    """Add `vwap decimal(18,8)`: notional / priced volume, rounded once, half-even.

    Decimal division in Spark rounds half-up at a scale of its own, so the quotient is only a first
    guess: the exact remainder then says whether to go one step up or down.
    """
    step = F.lit("0.00000001").cast("decimal(8,8)")
    divisor = F.col("priced_volume").cast("decimal(26,8)")
    guess = (F.col("notional") / F.when(divisor != 0, divisor)).cast(VWAP)
    exact = "decimal(37,17)"
    # in two parts: a product of more than 38 digits would lose its last ones
    whole = F.floor(guess)
    part = (guess - whole).cast("decimal(8,8)")
    rest = F.col("notional").cast(exact) - (whole * divisor).cast(exact)
    rest = rest.cast(exact) - (part * divisor).cast(exact)
    half = (divisor * F.lit("0.000000005").cast("decimal(9,9)")).cast(exact)
    odd = F.pmod((guess * 100_000_000).cast("bigint"), F.lit(2)) == 1
    up = rest > half  # never a tie: the guess went up at one
    down = (rest < -half) | ((rest == -half) & odd)
    corrected = F.when(up, guess + step).when(down, guess - step).otherwise(guess)
    return bars.withColumn("vwap", corrected.cast(VWAP))


def _total(values: Column, as_type: str) -> Column:
    return F.coalesce(F.sum(values), F.lit(0)).cast(as_type)
