"""Asks Kafka which offsets of a topic it has. Reads no record."""

from truetape.batch.offsets import Kept
from truetape.errors import TransientError


def kept_offsets(bootstrap: str, topic: str) -> dict[int, Kept]:
    """Return what Kafka has of each partition, empty ones included; no topic has no partitions.

    TransientError when Kafka does not answer.
    """
    from kafka import KafkaConsumer, TopicPartition
    from kafka.errors import KafkaError

    try:
        consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None)
        try:
            numbers = consumer.partitions_for_topic(topic) or ()
            parts = [TopicPartition(topic, number) for number in numbers]
            begins, ends = consumer.beginning_offsets(parts), consumer.end_offsets(parts)
        finally:
            consumer.close()
    except KafkaError as error:
        raise TransientError(
            f"cannot ask {bootstrap} for the offsets of {topic}: {error}"
        ) from error
    return {part.partition: Kept(begins[part], ends[part]) for part in parts}
