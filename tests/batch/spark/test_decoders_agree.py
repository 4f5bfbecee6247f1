"""Both decoders give every payload the same events and the same reasons, place by place."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F
from pyspark.sql import types as T

from support.data import real_data
from support.payloads import (
    FRAMES,
    RECEIVED_NS,
    ReceivedPayload,
    around_stamp,
    recorded,
    simulated,
    whole_and_damaged,
)
from truetape.batch.spark.decoder import EVENT
from truetape.batch.spark.decoder import decode as spark_decode
from truetape.feeds.contract import Contract, contract_names, load_contract
from truetape.feeds.decoder import Context, Limits
from truetape.feeds.decoder import decode as reference_decode
from truetape.host.errors import ConfigError
from truetape.market.rejection import Rejected
from truetape.market.trades import Cancel, Correction, Event, Trade

if TYPE_CHECKING:
    from pyspark.sql import Row, SparkSession

pytestmark = pytest.mark.spark

COLUMNS = (
    "offset bigint, record_ms bigint, key string, value binary, feed string, received_ns bigint, "
    "day date"
)
LIMITS = Limits(max_payload_bytes=2_000_000)

Outcome = tuple[object, ...]


def outcome_of(item: Event | Rejected) -> Outcome:
    """An outcome of the reference in the order of Spark's columns; a rejection as place and why."""
    match item:
        case Rejected():
            return (item.index, str(item.reason))
        case Trade():
            kind, values = "trade", (item.price, item.size, list(item.conditions))
            rest = (item.tape, item.exchange)
        case Cancel():
            kind, values, rest = "cancel", (None, None, None), (None, None)
        case Correction():
            codes = None if item.conditions is None else list(item.conditions)
            kind, values, rest = "correct", (item.price, item.size, codes), (None, None)
    sequence = item.sequence if isinstance(item, Trade) else None
    key = (item.position.index, kind, item.symbol, item.venue, item.id)
    return (*key, sequence, item.event_ns, item.received_ns, *values, *rest)


def by_reference(contract: Contract, asked: ReceivedPayload, offset: int) -> list[Outcome]:
    context = Context(
        contract.feed, asked.key, asked.day, asked.received_ns, "t", 0, offset, asked.record_ms
    )
    found = reference_decode(asked.payload, contract, context, LIMITS)
    return sorted((outcome_of(item) for item in found), key=_place)


def in_spark(row: "Row") -> list[Outcome]:
    events = [tuple(event[name] for name in EVENT.names) for event in row.events]
    rejected = [(one["index"], one.reason) for one in row.rejected]
    return sorted((*events, *rejected), key=_place)


def _place(outcome: Outcome) -> tuple[object, bool]:
    return outcome[0], len(outcome) > 2


def differences(
    spark: "SparkSession", contract: Contract, asked: Sequence[ReceivedPayload]
) -> list[tuple[bytes, list[Outcome], list[Outcome]]]:
    """Return each payload that the two read differently, with both readings."""
    rows = [
        (number, item.record_ms, item.key, bytearray(item.payload), contract.feed,
         item.received_ns, item.day)
        for number, item in enumerate(asked)
    ]  # fmt: skip
    frame = spark.createDataFrame(rows, COLUMNS)
    decoded = spark_decode(frame, [contract], LIMITS).select("offset", "events", "rejected")
    found = {row.offset: in_spark(row) for row in decoded.collect()}
    wanted = [by_reference(contract, item, number) for number, item in enumerate(asked)]
    return [
        (asked[number].payload, found[number], want)
        for number, want in enumerate(wanted)
        if found[number] != want
    ]


@pytest.mark.parametrize("feed", contract_names())
def test_whole_and_damaged_payloads_are_read_alike(spark: "SparkSession", feed: str) -> None:
    contract = load_contract(feed)

    assert not differences(spark, contract, whole_and_damaged(contract))


def test_times_around_the_stamp_are_judged_alike(spark: "SparkSession") -> None:
    contract, asked = load_contract("truetape"), around_stamp()

    reasons = {
        outcome[-1]
        for number, item in enumerate(asked)
        for outcome in by_reference(contract, item, number)
        if len(outcome) == 2
    }
    assert reasons == {"missing-field", "future-event-time", "future-receipt-time"}
    assert not differences(spark, contract, asked)


def test_nothing_is_accepted_without_a_stamp(spark: "SparkSession") -> None:
    payload = bytearray(simulated("truetape", 1)[0].payload)
    rows = [(0, None, None, payload, "truetape", RECEIVED_NS, None)]
    records = spark.createDataFrame(rows, COLUMNS)

    [decoded] = spark_decode(records, [load_contract("truetape")], LIMITS).collect()

    assert in_spark(decoded) == [(0, "future-receipt-time")]


@pytest.mark.parametrize(
    "payload",
    [
        '{"kind":"trade","conditions":["@" "I"],%s}',
        '{"kind":"trade","conditions":[tru],%s}',
        '{"kind":"trade","conditions":[1 2],%s}',
        '{"other":[1 2],"kind":"trade",%s}',
        '{"other":{"a":[}]},"kind":"trade",%s}',
        '{"kind":"trade","conditions":["@"]],%s}',
        '{"kind":"trade","conditions":["@","I",%s}',
    ],
)
def test_a_fault_inside_a_list_is_a_fault_of_the_payload(
    spark: "SparkSession", payload: str
) -> None:
    """Spark can read on behind such a fault, and would then take the trade."""
    rest = (
        '"symbol":"IBM","venue":"XNYS","event_time":"2026-11-20T14:31:10Z","price":"1","size":"1"'
    )
    asked = ReceivedPayload((payload % rest).encode(), received_ns=RECEIVED_NS)
    contract = load_contract("truetape")

    assert by_reference(contract, asked, 0) == [(0, "not-json")]
    assert not differences(spark, contract, [asked])


def test_a_session_that_reads_on_behind_a_fault_is_refused(spark: "SparkSession") -> None:
    frame = spark.createDataFrame([], COLUMNS)
    spark.conf.set("spark.sql.json.enablePartialResults", "true")
    try:
        with pytest.raises(ConfigError, match="enablePartialResults"):
            spark_decode(frame, [load_contract("truetape")], LIMITS)
    finally:
        spark.conf.set("spark.sql.json.enablePartialResults", "false")


@pytest.mark.data
@pytest.mark.parametrize(
    ("feed", "name"), [(feed, name) for feed, files in FRAMES.items() for name in files]
)
def test_captured_frames_are_read_alike(spark: "SparkSession", feed: str, name: str) -> None:
    asked = list(recorded(real_data("crypto_raw_ws_frames", name), feed))

    assert asked
    assert not differences(spark, load_contract(feed), asked)


@pytest.mark.data
def test_a_real_page_of_trades_is_read_alike(spark: "SparkSession") -> None:
    page = real_data("kraken_xbtusdt_2025-11-10", "http_trades.json")

    assert not differences(spark, load_contract("kraken-rest"), list(recorded(page, "kraken-rest")))


@pytest.mark.data
def test_every_real_tick_is_read_alike(spark: "SparkSession", tmp_path: Path) -> None:
    """Compared inside Spark: the answers of the reference go there as files."""
    files = sorted(real_data("lean_us_equity_2013-10", "tick").rglob("*.zip"))
    contract, count = load_contract("lean-equity-tick"), 0
    for path in files:
        asked = list(recorded(path, contract.feed))
        count += len(asked)
        stage(
            contract, asked, tmp_path / "ticks.parquet" / f"{path.parent.name}-{path.stem}.parquet"
        )
    frame = spark.read.parquet(str(tmp_path / "ticks.parquet"))
    decoded = spark_decode(frame, [contract], LIMITS)
    alike = (F.size("rejected") == 0) & (F.col("events") == F.col("want"))

    assert count > 500_000
    assert decoded.count() == count
    assert decoded.where(~alike).limit(3).collect() == []


def stage(contract: Contract, asked: Iterable[ReceivedPayload], file: Path) -> None:
    """Write payloads and what the reference makes of them as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyspark.sql.pandas.types import to_arrow_schema

    schema = to_arrow_schema(T.StructType.fromDDL(COLUMNS).add("want", T.ArrayType(EVENT)))
    rows = []
    for number, item in enumerate(asked):
        want = [
            dict(zip(EVENT.names, one, strict=True)) for one in by_reference(contract, item, number)
        ]
        place = {"offset": number, "key": item.key, "value": item.payload, "feed": contract.feed}
        times = {"record_ms": item.record_ms, "received_ns": item.received_ns, "day": item.day}
        rows.append({**place, **times, "want": want})
    file.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file)
