"""Logs of Kafka replaced by others: a partition that loses its files, a topic made anew."""

import os
import shutil
import signal

from support.wait import until
from truetape.broker.clients import open_admin
from truetape.broker.offsets import available_offsets, end_offsets, topic_id
from truetape.broker.topics import ensure_topics
from truetape.host.process import birth
from truetape.host.settings import Settings
from truetape.stack import lifecycle as local_stack


def used_partition(own: Settings) -> int:
    """Return the only partition that has records."""
    (used,) = [part for part, end in end_offsets(own.kafka, own.topic).items() if end]
    return used


def lose_log(stack: Settings, own: Settings) -> None:
    """Lose the log of the only partition that has records."""
    lose_partition(stack, own, used_partition(own))


def lose_partition(stack: Settings, own: Settings, part: int) -> None:
    """Kill Kafka, delete the log of a partition, start Kafka again."""
    (kafka,) = [server for server in local_stack.status(stack) if server.part == "kafka"]
    assert kafka.pid is not None
    os.kill(kafka.pid, signal.SIGKILL)
    until(lambda: birth(kafka.pid) is None)
    (folder,) = stack.home.glob(f"kafka/**/{own.topic}-{part}")
    shutil.rmtree(folder)
    local_stack.up(stack, ("kafka",), lambda _: None)
    until(lambda: available_offsets(own.kafka, own.topic)[part].end == 0)


def make_topic_anew(stack: Settings, own: Settings) -> None:
    """Delete the topic and create it again."""
    before = topic_id(own.kafka, own.topic)
    with open_admin(own.kafka) as admin:
        admin.delete_topics([own.topic])
    until(lambda: topic_id(own.kafka, own.topic) is None)
    ensure_topics(own.kafka, own, lambda _: None)
    assert topic_id(own.kafka, own.topic) != before
