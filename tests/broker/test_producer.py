"""The producer: unchanged bytes, the headers of the wire format, failures that are raised."""

import threading
from collections.abc import Callable

import pytest
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from support.wait import until
from truetape.broker import producer as producers
from truetape.broker.producer import Producer, send_all
from truetape.feeds.records import Record
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
    """Stands for a KafkaProducer: records what is sent; fails on request."""

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


def test_payload_bytes_are_sent_unchanged() -> None:
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


class SlowFuture:
    """A delivery that is acknowledged when the test says so."""

    def __init__(self) -> None:
        self.acknowledge: Callable[[object], None] = lambda _: None

    def add_callback(self, call: Callable[[object], None]) -> None:
        self.acknowledge = call

    def add_errback(self, call: Callable[[BaseException], None]) -> None:
        pass


class DeadClient(FakeClient):
    """Its broker has ended: nothing is acknowledged, also not while it closes."""

    def __init__(self) -> None:
        super().__init__(stuck=True)

    def close(self, timeout: float) -> None:
        super().close(timeout)
        raise KafkaTimeoutError("Timeout waiting for future")


def test_a_broker_that_ended_is_a_transient_error_also_when_it_is_left() -> None:
    """kafka-python raises its own error once more while it closes."""
    client = DeadClient()

    with pytest.raises(TransientError, match="localhost:1"), Producer("localhost:1", client):
        pass

    assert client.closed


class SlowClient(FakeClient):
    """Acknowledges nothing by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.futures: list[SlowFuture] = []

    def send(self, topic: str, **fields: object) -> SlowFuture:  # type: ignore[override]
        super().send(topic, **fields)
        self.futures.append(SlowFuture())
        return self.futures[-1]


def test_a_sender_waits_while_too_many_bytes_are_in_flight() -> None:
    client = SlowClient()
    producer = Producer("localhost:1", client, max_in_flight_bytes=10)
    producer.send("trades", "IBM", b"12345678", "alpaca")
    waiting = threading.Thread(
        target=producer.send, args=("trades", "IBM", b"123", "alpaca"), daemon=True
    )
    waiting.start()
    waiting.join(0.2)
    assert len(client.sent) == 1

    client.futures[0].acknowledge(None)

    until(lambda: len(client.sent) == 2)
    waiting.join(10)


def test_a_payload_above_the_limit_goes_out_alone() -> None:
    client = SlowClient()
    producer = Producer("localhost:1", client, max_in_flight_bytes=10)

    producer.send("trades", "IBM", b"x" * 11, "alpaca")

    assert len(client.sent) == 1


def test_all_records_are_sent_in_order_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    client, counts = FakeClient(), []
    monkeypatch.setattr(producers, "open_producer", lambda _: client)
    monkeypatch.setattr(producers, "PROGRESS_EVERY", 2)
    records = [Record(str(number).encode(), "kraken", "A", number) for number in range(5)]

    sent = send_all("localhost:1", "trades", records, progress=counts.append)

    assert (sent, counts) == (5, [2, 4])
    assert [fields["value"] for fields in client.sent] == [b"0", b"1", b"2", b"3", b"4"]
    assert client.closed


def test_no_record_is_taken_before_a_broker_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: str) -> None:
        raise KafkaTimeoutError("no broker")

    def records() -> object:
        pytest.fail("took a record")
        yield

    monkeypatch.setattr(producers, "open_producer", away)

    with pytest.raises(TransientError, match="no broker answers"):
        send_all("localhost:1", "trades", records())
