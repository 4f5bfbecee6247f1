"""Records of Kafka as a table: what their headers and keys mean."""

from typing import Any

import pytest
from kafka.consumer.fetcher import ConsumerRecord

from truetape.broker.record_reader import table_of
from truetape.host.errors import ConfigError

BROKER, PRODUCER = 1, 0


def record(**values: Any) -> ConsumerRecord:
    plain = dict.fromkeys(ConsumerRecord._fields)
    own = {"topic": "trades", "partition": 2, "offset": 7, "timestamp": 17, "headers": []}
    return ConsumerRecord(**plain | own | {"timestamp_type": BROKER, "value": b"{}"} | values)


def row(**values: Any) -> dict[str, Any]:
    rows: list[dict[str, Any]] = table_of([record(**values)], {2: "trades.1"}).to_pylist()
    return rows[0]


def test_a_record_keeps_its_place_and_its_bytes() -> None:
    found = row(key=b"IBM", value=b"\xff{", headers=[("feed", b"acme"), ("received_ns", b"5")])

    assert found == {
        "topic": "trades.1", "partition": 2, "offset": 7, "record_ms": 17, "key": "IBM",
        "value": b"\xff{", "feed": "acme", "received_ns": 5, "day": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"1795000000000000000", 1_795_000_000_000_000_000),
        (b"9223372036854775807", 2**63 - 1),
        (b"9223372036854775808", None),
        (b"-9223372036854775808", -(2**63)),
        (b"+17", 17),
        (b"0000000000000000017", 17),
        (b"00000000000000000017", None),
        (b"", None),
        (b" 17", None),
        (b"1_7", None),
        ("\u0661\u0667".encode(), None),
        (b"17\n", None),
        (None, None),
    ],
)
def test_a_receipt_is_an_integer_of_64_bits_or_null(text: bytes | None, number: int | None) -> None:
    assert row(headers=[("received_ns", text)])["received_ns"] == number


def test_the_first_header_of_a_name_counts() -> None:
    found = row(headers=[("feed", b"first"), ("other", b"x"), ("feed", b"second")])

    assert (found["feed"], found["received_ns"]) == ("first", None)


def test_a_text_that_is_not_utf8_is_null() -> None:
    found = row(key=b"\xff", headers=[("feed", b"\xff")])

    assert (found["key"], found["feed"]) == (None, None)


def test_a_stamp_of_a_producer_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigError, match="trades/2@7"):
        row(timestamp_type=PRODUCER)
