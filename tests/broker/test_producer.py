"""The producer: bytes untouched, headers as the wire asks, failures raised and not forgotten."""

from collections.abc import Callable

import pytest
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from truetape.broker.producer import Producer
from truetape.host.errors import TransientError


class FakeFuture:
    def __init__(self, failure: Exception | None) -> None:
        self._failure = failure

    def add_callback(self, call: Callable[[object], None]) -> None:
        if self._failure is None:
            call(None)

    def add_errback(self, call: Callable[[BaseException], None]) -> None:
        if self._failure is not None:
            call(self._failure)


class FakeClient:
    """Stands for a KafkaProducer: keeps what is sent; fails as told."""

    def __init__(self, failure: Exception | None = None, stuck: bool = False) -> None:
        self.sent: list[dict[str, object]] = []
        self.closed = False
        self._failure = failure
        self._stuck = stuck

    def send(self, topic: str, **fields: object) -> FakeFuture:
        self.sent.append({"topic": topic, **fields})
        return FakeFuture(self._failure)

    def flush(self, timeout: float) -> None:
        if self._stuck:
            raise KafkaTimeoutError(f"nothing in {timeout} s")

    def close(self, timeout: float) -> None:
        assert timeout > 0
        self.closed = True


def test_payload_bytes_go_out_as_they_came_in() -> None:
    client = FakeClient()

    with Producer("localhost:1", client) as producer:
        producer.send("trades", "IBM", b"\xff\x00", "alpaca", 17)
        producer.send("trades", None, b"", "kraken")
        assert producer.flush() == 2

    assert client.sent == [
        {
            "topic": "trades",
            "value": b"\xff\x00",
            "key": b"IBM",
            "headers": [("feed", b"alpaca"), ("received_ns", b"17")],
        },
        {"topic": "trades", "value": b"", "key": None, "headers": [("feed", b"kraken")]},
    ]
    assert client.closed


def test_a_failed_delivery_is_raised_by_the_next_flush() -> None:
    producer = Producer("localhost:1", FakeClient(MessageSizeTooLargeError("too large")))
    producer.send("trades", "IBM", b"x", "alpaca")

    with pytest.raises(TransientError, match="not delivered"):
        producer.flush()
    assert producer.flush() == 0


def test_a_broker_that_never_acknowledges_is_a_transient_error() -> None:
    producer = Producer("localhost:1", FakeClient(stuck=True))

    with pytest.raises(TransientError, match="not acknowledged within"):
        producer.flush(timeout_s=0.1)
