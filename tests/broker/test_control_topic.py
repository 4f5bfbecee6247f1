"""The control topic on a real Kafka: what one process writes, another one reads."""

import secrets
from dataclasses import replace

import pytest

from support.influxd import free_port
from truetape.broker.boundary import Boundary
from truetape.broker.control_topic import ControlTopic
from truetape.broker.topics import CONTROL
from truetape.host.errors import TransientError

pytestmark = pytest.mark.real


@pytest.fixture
def venue() -> str:
    """A venue that no other test uses; all tests share the topic."""
    return f"V{secrets.token_hex(4)}"


def test_a_reader_sees_boundaries_announced_before_it_connected(kafka: str, venue: str) -> None:
    with ControlTopic(kafka) as writer, ControlTopic(kafka) as reader:
        writer.announce(Boundary(venue, 100, 50))
        writer.announce(Boundary(venue, 200, 150))

        assert reader.refresh().boundary(venue) == Boundary(venue, 200, 150)


def test_an_open_reader_sees_boundaries_announced_later(kafka: str, venue: str) -> None:
    with ControlTopic(kafka) as writer, ControlTopic(kafka) as reader:
        assert reader.refresh().boundary(venue) == Boundary(venue)
        writer.announce(Boundary(venue, 100))

        assert reader.boundary(venue) == Boundary(venue)
        assert reader.refresh().boundary(venue) == Boundary(venue, 100)


def test_each_venue_has_its_own_boundary(kafka: str, venue: str) -> None:
    other = f"{venue}-other"
    with ControlTopic(kafka) as control:
        control.announce(Boundary(venue, 100))
        control.announce(Boundary(other, 300, 200))

        boundaries = control.refresh().boundaries()

    assert (boundaries[venue], boundaries[other]) == (
        Boundary(venue, 100),
        Boundary(other, 300, 200),
    )


def test_the_writer_itself_sees_its_boundary_at_once(kafka: str, venue: str) -> None:
    with ControlTopic(kafka) as control:
        control.announce(replace(control.boundary(venue), fence_ns=7))

        assert control.boundary(venue).fence_ns == 7


def test_records_with_other_keys_are_ignored(kafka: str, venue: str) -> None:
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")
    for key, value in [(b"desired:speed", b"{}"), (f"boundary:{venue}".encode(), None)]:
        producer.send(CONTROL, key=key, value=value).get(10)
    producer.close()

    with ControlTopic(kafka) as control:
        control.announce(Boundary(venue, 9))
        assert control.refresh().boundary(venue) == Boundary(venue, 9)


def test_a_value_stays_until_its_key_is_deleted(kafka: str, venue: str) -> None:
    with ControlTopic(kafka) as writer, ControlTopic(kafka) as reader:
        for name in ("order", "history"):
            writer.put(f"speed:{venue}:{name}", b"first")
        writer.put(f"speed:{venue}:order", b"second")
        reader.refresh()
        assert reader.value(f"speed:{venue}:order") == b"second"
        assert reader.values(f"speed:{venue}:").keys() == {
            f"speed:{venue}:order",
            f"speed:{venue}:history",
        }

        writer.put(f"speed:{venue}:order", None)

        assert reader.refresh().value(f"speed:{venue}:order") is None


@pytest.mark.usefixtures("impatient")
def test_a_broker_that_is_away_is_a_transient_error() -> None:
    with (
        ControlTopic(f"127.0.0.1:{free_port()}") as control,
        pytest.raises(TransientError, match="cannot read"),
    ):
        control.refresh()
