"""The way into Kafka: payloads untouched, acknowledged by all, in order, without repeats of its
own.
"""

from truetape.errors import TransientError


class Producer:
    """An idempotent producer. Payload bytes are sent as they are; feed and receipt time are
    headers.
    """

    def __init__(self, bootstrap: str) -> None:
        from kafka import KafkaProducer

        self._producer = KafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            batch_size=256 * 1024,
            max_request_size=16_000_000,
        )
        self._failed = []

    def send(self, topic, key, payload: bytes, feed: str, received_ns: int) -> None:
        headers = [("feed", feed.encode()), ("received_ns", str(received_ns).encode())]
        f = self._producer.send(
            topic, key=None if key is None else key.encode(), value=payload, headers=headers
        )
        f.add_errback(self._failed.append)

    def flush(self) -> None:
        self._producer.flush()
        if self._failed:
            raise TransientError(str(self._failed[0]))

    def close(self) -> None:
        self._producer.close()
