"""The Spark decoder: compiled from the same contracts as the reference, in built-in functions only.

Gives the events and the reasons that `decoder` gives; the details of a rejection are shorter.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import cast

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import from_arrow_type

from truetape.batch.spark import json
from truetape.batch.spark.events import Bounds, Fields
from truetape.batch.spark.records import (
    Found,
    Make,
    Texts,
    csv_records,
    json_records,
    paths_of,
    with_alternatives,
)
from truetape.batch.spark.scope import Scope, TableScope
from truetape.feeds.contract import Contract, CsvPayload, Era, RecordRule
from truetape.feeds.decoder import BLANK, Limits
from truetape.feeds.fields import Path
from truetape.lake import schemas
from truetape.market.rejection import Reason
from truetape.market.resolution import MS_NS

EVENT = cast(T.StructType, from_arrow_type(schemas.EVENT))
REJECTED = cast(T.StructType, from_arrow_type(schemas.REJECTION))

NO_STAMP_MS = -1
"""How Kafka writes that a record has no stamp; nothing is accepted under it."""
_PREFIX = "_decode_"
_EVENTS = T.ArrayType(EVENT)
_REJECTIONS = T.ArrayType(REJECTED)


def decode(records: DataFrame, contracts: Sequence[Contract], limits: Limits) -> DataFrame:
    """Add `contract_version`, `events` and `rejected` to records that have `value`, `key`, `feed`,
    `received_ns`, `record_ms` (which bounds every time, see `Context`), and `day` (date) where the
    day of times of day is known beside the receipt.

    A record of a feed without a contract here is one rejection. Arrays are in payload order; every
    record has at least one entry in one of them. ConfigError where the session would read on behind
    a fault.
    """
    json.check_session(records.sparkSession)
    variants = [
        _Variant(contract, era, contract.eras[number + 1 : number + 2])
        for contract in contracts
        for number, era in enumerate(contract.eras)
    ]
    scope = TableScope(records, _PREFIX)
    day = F.col("day") if "day" in records.columns else F.lit(None).cast("date")
    value = F.col("value")
    size = F.coalesce(F.octet_length(value), F.lit(0))
    is_text = F.is_valid_utf8(value.cast("string"))
    is_fit = (size <= limits.max_payload_bytes) & is_text
    record_ms = F.coalesce("record_ms", F.lit(NO_STAMP_MS))
    stamp_end_ns = record_ms * MS_NS + (MS_NS - 1)
    bounds = Bounds(scope.bind({"stamp_end_ns": stamp_end_ns})["stamp_end_ns"], limits)
    reason = F.lit(None).cast("string")
    outcomes = []
    for variant in variants:
        mine = F.coalesce(variant.holds(day), F.lit(False))
        found = variant.compile(scope, F.when(mine & is_fit, value.cast("string")), day, bounds)
        outcome = F.when(found.is_held, found.outcome)
        outcomes.append(_Outcome(scope.bind({"outcome": outcome})["outcome"], found.is_listed))
        reason = F.when(mine, found.reason).otherwise(reason)
    known = [contract.feed for contract in contracts]
    reason = (
        F.when(~F.coalesce(F.col("feed").isin(known), F.lit(False)), str(Reason.UNKNOWN_FEED))
        .when(size > limits.max_payload_bytes, str(Reason.TOO_LARGE))
        .when(~is_text, str(Reason.NOT_TEXT))
        .when((size == 0) | ~value.cast("string").rlike(f"[^{BLANK}]"), str(Reason.EMPTY))
        .otherwise(reason)
    )
    version = _first((F.col("feed") == c.feed, F.lit(c.version)) for c in contracts)
    return scope.table.select(
        *records.columns,
        version.cast("int").alias("contract_version"),
        _events(outcomes).alias("events"),
        _rejected(outcomes, reason).alias("rejected"),
    )


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one variant made of a payload: null where it is another's, or holds nothing."""

    column: Column
    is_listed: bool

    @property
    def is_there(self) -> Column:
        """Say whether there is an outcome."""
        return F.size(self.column) > 0 if self.is_listed else self.column.isNotNull()


def _events(outcomes: Sequence[_Outcome]) -> Column:
    events = F.array().cast(_EVENTS)
    for outcome in outcomes:
        column = outcome.column
        if outcome.is_listed:
            good = F.filter(column, lambda one: one["fault"].isNull())
            taken = F.transform(good, lambda one: one["event"])
            events = F.when(outcome.is_there, taken.cast(_EVENTS)).otherwise(events)
        else:
            good = outcome.is_there & column["fault"].isNull()
            events = F.when(good, F.array(column["event"]).cast(_EVENTS)).otherwise(events)
    return events


def _rejected(outcomes: Sequence[_Outcome], reason: Column) -> Column:
    rejected = F.array(_rejection(F.lit(0), reason, F.lit("payload")))
    for outcome in outcomes:
        column = outcome.column
        if outcome.is_listed:
            bad = F.filter(column, lambda one: one["fault"].isNotNull())
            refused = F.transform(bad, _refusal)
        else:
            none = F.array().cast(_REJECTIONS)
            refused = F.when(column["fault"].isNull(), none).otherwise(F.array(_refusal(column)))
        rejected = F.when(outcome.is_there, refused).otherwise(rejected)
    return rejected


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

    def compile(self, scope: TableScope, text: Column, day: Column, bounds: Bounds) -> Found:
        """Return what a payload holds."""
        rules = self.era.rules
        layout, paths = self.contract.layout, paths_of(rules)
        make = _maker(rules, paths, day, bounds)
        if isinstance(layout, CsvPayload):
            return csv_records(scope, text, layout, paths, make)
        return json_records(scope, text, layout, paths, make)


def _since(era: Era, received: Column, day: Column) -> Column:
    by_day = F.coalesce(day >= F.lit(era.since), F.lit(True))
    return F.coalesce(received >= era.since_ns, by_day)


def _maker(rules: Sequence[RecordRule], paths: list[Path], day: Column, bounds: Bounds) -> Make:
    def make(scope: Scope, found: Texts, is_record: Column, index: Column) -> Column:
        texts = with_alternatives(found, paths)
        kind = _first(
            (reduce(Column.__and__, [is_record, *_when(rule, texts)]), F.lit(str(rule.kind)))
            for rule in rules
        )
        fields = Fields(scope, rules=rules, texts=texts, kind=kind, day=day, bounds=bounds)
        return fields.outcome(index)

    return make


def _when(rule: RecordRule, texts: Texts) -> list[Column]:
    return [
        F.coalesce(texts[match.path].isin(list(match.texts)), F.lit(False)) for match in rule.when
    ]


def _first(choices: Iterable[tuple[Column, Column]]) -> Column:
    """Return the value of the first condition that holds, null where none does."""
    chosen: Column | None = None
    for condition, value in choices:
        chosen = F.when(condition, value) if chosen is None else chosen.when(condition, value)
    return F.lit(None) if chosen is None else chosen


def _refusal(outcome: Column) -> Column:
    fault = outcome["fault"]
    reason, field = F.substring_index(fault, " ", 1), F.substring_index(fault, " ", -1)
    return _rejection(outcome["event"]["index"], reason, field)


def _rejection(index: Column, reason: Column, detail: Column) -> Column:
    return F.struct(
        index.cast("int").alias("index"), reason.alias("reason"), detail.alias("detail")
    )
