"""The Spark decoder: compiled from the same contracts as the reference, in built-in functions only.

Gives the events and the reasons that `decoder` gives; the details of a rejection are shorter.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from truetape.feeds.contract import Contract, CsvPayload, Era, Path, Rule
from truetape.feeds.decoder import Limits
from truetape.feeds.spark_events import Fields
from truetape.feeds.spark_records import (
    Make,
    Texts,
    csv_records,
    json_records,
    paths_of,
    with_alternatives,
)
from truetape.feeds.spark_scope import Columns, Scope, TableScope
from truetape.market.rejection import Reason
from truetape.market.trades import PRICE_DIGITS, PRICE_SCALE, SIZE_DIGITS, SIZE_SCALE

EVENT = T.StructType(
    [
        T.StructField("index", T.IntegerType()),
        T.StructField("kind", T.StringType()),
        T.StructField("symbol", T.StringType()),
        T.StructField("venue", T.StringType()),
        T.StructField("id", T.StringType()),
        T.StructField("sequence", T.LongType()),
        T.StructField("event_ns", T.LongType()),
        T.StructField("received_ns", T.LongType()),
        T.StructField("price", T.DecimalType(PRICE_DIGITS, PRICE_SCALE)),
        T.StructField("size", T.DecimalType(SIZE_DIGITS, SIZE_SCALE)),
        T.StructField("conditions", T.ArrayType(T.StringType())),
        T.StructField("tape", T.StringType()),
        T.StructField("exchange", T.StringType()),
    ]
)
REJECTED = T.StructType(
    [
        T.StructField("index", T.IntegerType()),
        T.StructField("reason", T.StringType()),
        T.StructField("detail", T.StringType()),
    ]
)

_PREFIX = "_decode_"
_EVENTS = T.ArrayType(EVENT)
_REJECTIONS = T.ArrayType(REJECTED)
_OUTCOME = T.StructType([*EVENT.fields, T.StructField("fault", T.StringType())])


def decode(records: DataFrame, contracts: Sequence[Contract], limits: Limits) -> DataFrame:
    """Add `contract_version`, `events` and `rejected` to records that have `value`, `key`, `feed`,
    `received_ns`, and `day` (date) where the day of times of day is known beside the receipt.

    A record of a feed without a contract here is one rejection. Arrays are in payload order; every
    record has at least one entry in one of them.
    """
    variants = [
        _Variant(contract, era, contract.eras[number + 1 : number + 2])
        for contract in contracts
        for number, era in enumerate(contract.eras)
    ]
    scope = TableScope(records, _PREFIX)
    day = F.col("day") if "day" in records.columns else F.lit(None).cast("date")
    known = [contract.feed for contract in contracts]
    common = scope.bind(
        {
            "text": F.when(
                F.octet_length("value") <= limits.max_payload_bytes, F.col("value").cast("string")
            ),
            "variant": _first((v.holds(day), F.lit(n)) for n, v in enumerate(variants)),
        }
    )
    text = F.when(F.is_valid_utf8(common["text"]), common["text"])
    text = scope.bind({"text": F.when(text.rlike("[^ \t\r\n]"), text)})["text"]
    outcomes, reason = _no_outcomes(), F.lit(None).cast("string")
    for number, variant in enumerate(variants):
        mine = common["variant"] == number
        found = variant.compile(scope, F.when(mine, text), day, limits)
        outcomes = F.when(mine, found[0]).otherwise(outcomes)
        reason = F.when(mine, found[1]).otherwise(reason)
    whole = (
        F.when(~F.coalesce(F.col("feed").isin(known), F.lit(False)), str(Reason.UNKNOWN_FEED))
        .when(F.octet_length("value") > limits.max_payload_bytes, str(Reason.TOO_LARGE))
        .when(~F.is_valid_utf8(common["text"]), str(Reason.NOT_TEXT))
        .when(text.isNull(), str(Reason.EMPTY))
        .otherwise(reason)
    )
    return _results(scope, records, contracts, outcomes, whole)


def _results(
    scope: TableScope,
    records: DataFrame,
    contracts: Sequence[Contract],
    outcomes: Column,
    whole: Column,
) -> DataFrame:
    outcomes = scope.bind({"outcomes": outcomes})["outcomes"]
    none = F.coalesce(F.size(outcomes), F.lit(0)) <= 0
    fault = scope.bind({"fault": F.when(none, whole)})["fault"]
    good = F.filter(outcomes, lambda outcome: outcome["fault"].isNull())
    bad = F.filter(outcomes, lambda outcome: outcome["fault"].isNotNull())
    events = F.transform(good, lambda o: F.struct(*(o[f.name].alias(f.name) for f in EVENT)))
    alone = F.array(_rejection(F.lit(0), fault, F.lit("payload")))
    rejected = F.transform(bad, lambda o: _rejection(o["index"], *_fault_parts(o["fault"])))
    version = _first((F.col("feed") == c.feed, F.lit(c.version)) for c in contracts)
    return scope.table.select(
        *records.columns,
        version.cast("int").alias("contract_version"),
        F.when(none, F.array().cast(_EVENTS)).otherwise(events).cast(_EVENTS).alias("events"),
        F.when(none, alone).otherwise(rejected).cast(_REJECTIONS).alias("rejected"),
    )


@dataclass(frozen=True, slots=True)
class _Variant:
    """One contract in one era; `later` holds the era after it, if there is one."""

    contract: Contract
    era: Era
    later: Sequence[Era]

    def holds(self, day: Column) -> Column:
        """Say whether a record is of this feed and era: by receipt, else by day, else newest."""
        is_feed = F.col("feed") == self.contract.feed
        if len(self.contract.eras) == 1:
            return is_feed
        received = F.col("received_ns")
        begun, ended = F.lit(True), F.lit(False)
        if self.era is not self.contract.eras[0]:
            begun = _since(self.era, received, day)
        if self.later:
            ended = _since(self.later[0], received, day)
        return is_feed & begun & ~ended

    def compile(
        self, scope: TableScope, text: Column, day: Column, limits: Limits
    ) -> tuple[Column, Column]:
        """Return the outcomes of a payload's records, and why there are none."""
        rules = self.era.rules
        layout, paths = self.contract.layout, paths_of(rules)
        make = _maker(rules, paths, day, limits)
        text = scope.bind({"payload": text})["payload"]
        if isinstance(layout, CsvPayload):
            found = csv_records(scope, text, layout, paths, make)
        else:
            found = json_records(scope, text, layout, paths, make)
        return found.outcomes, found.reason


def _since(era: Era, received: Column, day: Column) -> Column:
    by_day = F.coalesce(day >= F.lit(era.since), F.lit(True))
    return F.coalesce(received >= era.since_ns, by_day)


def _maker(rules: tuple[Rule, ...], paths: list[Path], day: Column, limits: Limits) -> Make:
    def make(scope: Scope, found: Texts, is_record: Column, index: Column) -> Column:
        texts = with_alternatives(found, paths)
        kind = _first(
            (reduce(Column.__and__, [is_record, *_when(rule, texts)]), F.lit(str(rule.kind)))
            for rule in rules
        )

        def outcome(bound: Columns) -> Column:
            fields = Fields(
                scope,
                rules=rules,
                texts=texts,
                kind=bound["kind"],
                day=day,
                future_slack_ns=limits.future_slack_ns,
            )
            return fields.outcome(index)

        return scope.let({"kind": kind}, outcome)

    return make


def _when(rule: Rule, texts: Texts) -> list[Column]:
    return [
        F.coalesce(texts[path].isin(list(allowed)), F.lit(False)) for path, allowed in rule.when
    ]


def _first(choices: Iterable[tuple[Column, Column]]) -> Column:
    """Return the value of the first condition that holds, null where none does."""
    chosen: Column | None = None
    for condition, value in choices:
        chosen = F.when(condition, value) if chosen is None else chosen.when(condition, value)
    return F.lit(None) if chosen is None else chosen


def _no_outcomes() -> Column:
    return F.lit(None).cast(T.ArrayType(_OUTCOME))


def _fault_parts(fault: Column) -> tuple[Column, Column]:
    return F.substring_index(fault, " ", 1), F.substring_index(fault, " ", -1)


def _rejection(index: Column, reason: Column, detail: Column) -> Column:
    return F.struct(
        index.cast("int").alias("index"), reason.alias("reason"), detail.alias("detail")
    )
