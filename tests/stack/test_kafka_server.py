"""The broker's configuration, without a broker."""

from pathlib import Path

import pytest

from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.stack.kafka_server import (
    KafkaServer,
    _is_formatted,
    new_cluster_id,
    server_properties,
)
from truetape.stack.server import Address, parse_address


def properties() -> dict[str, str]:
    """The rendered configuration, as Java would read it."""
    text = server_properties(19092, 19093, Path("/home/of/truetape/logs"))
    return dict(line.split("=", 1) for line in text.splitlines())


@pytest.mark.parametrize("key", ["listeners", "advertised.listeners", "controller.quorum.voters"])
def test_every_listener_is_on_loopback(key: str) -> None:
    for listener in properties()[key].split(","):
        assert "127.0.0.1:" in listener


def test_the_broker_creates_no_topic_automatically() -> None:
    assert properties()["auto.create.topics.enable"] == "false"


@pytest.mark.parametrize("topic", ["offsets.topic", "transaction.state.log"])
def test_one_broker_is_enough_for_the_internal_topics(topic: str) -> None:
    assert properties()[f"{topic}.replication.factor"] == "1"


def test_a_cluster_id_has_22_characters_and_never_starts_with_a_dash() -> None:
    ids = {new_cluster_id() for _ in range(500)}

    assert len(ids) == 500
    assert {len(one) for one in ids} == {22}
    assert not any(one.startswith("-") for one in ids)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:19092", Address("127.0.0.1", 19092)),
        ("broker.example:9092", Address("broker.example", 9092)),
    ],
    ids=["loopback", "elsewhere"],
)
def test_an_address_is_host_and_port(text: str, address: Address) -> None:
    assert parse_address(text, "TRUETAPE_KAFKA") == address


@pytest.mark.parametrize("text", ["127.0.0.1", ":9092", "host:", "host:0", "host:70000", "host:x"])
def test_an_address_that_cannot_be_used_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="TRUETAPE_KAFKA"):
        parse_address(text, "TRUETAPE_KAFKA")


@pytest.mark.parametrize(
    ("address", "port"),
    [("127.0.0.1:29092", 29092), ("localhost:29092", 29092), ("broker.example:9092", None)],
    ids=["loopback", "by name", "elsewhere"],
)
def test_only_a_loopback_broker_is_started(address: str, port: int | None) -> None:
    assert KafkaServer(Settings.from_env({"TRUETAPE_KAFKA": address})).port == port


WHOLE = "#\nversion=1\ncluster.id=a\nnode.id=1\ndirectory.id=b\n"


@pytest.mark.parametrize("text", ["", "\0" * 80, WHOLE[:30], "[1, 2]"], ids=repr)
def test_a_damaged_identity_of_the_broker_is_named_before_a_start(
    text: str, tmp_path: Path
) -> None:
    meta = tmp_path / "meta.properties"
    meta.write_text(text)

    with pytest.raises(ConfigError, match=f"{meta} is damaged"):
        _is_formatted(meta)


def test_a_broker_is_formatted_once(tmp_path: Path) -> None:
    meta = tmp_path / "meta.properties"
    assert not _is_formatted(meta)
    meta.write_text(WHOLE)
    assert _is_formatted(meta)
