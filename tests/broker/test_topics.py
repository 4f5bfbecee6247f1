"""The topics as declared, without a broker."""

from truetape.broker.topics import Topic, topics
from truetape.host.settings import Settings


def declared(**env: str) -> dict[str, Topic]:
    """Return the topics of these settings by name."""
    settings = Settings.from_env({f"TRUETAPE_{name.upper()}": env[name] for name in env})
    return {topic.name: topic for topic in topics(settings)}


def test_the_pipeline_has_five_topics() -> None:
    assert set(declared()) == {
        "trades",
        "trades.rejected",
        "truetape.heartbeat",
        "truetape.control",
        "truetape.publishing",
    }


def test_trades_have_the_partitions_and_the_retention_of_the_settings() -> None:
    trades = declared(partitions="7", kafka_retention_h="48")["trades"]

    assert trades.partitions == 7
    assert trades.config["retention.ms"] == "172800000"


def test_the_broker_stamps_every_record_so_that_no_clock_of_a_producer_makes_one_expire() -> None:
    for topic in declared().values():
        assert topic.config["message.timestamp.type"] == "LogAppendTime"


def test_a_payload_of_ten_megabytes_fits_into_the_dead_letters() -> None:
    assert int(declared()["trades.rejected"].config["max.message.bytes"]) > 10_000_000


def test_control_and_heartbeats_keep_the_newest_value_and_reports_expire_after_hours() -> None:
    """The newest heartbeat of a layer has its position, however long the layer rests."""
    kept, reports = ("truetape.control", "truetape.heartbeat"), ("truetape.publishing",)
    for name in kept:
        assert declared()[name].config["cleanup.policy"] == "compact"
        assert "retention.ms" not in declared()[name].config
    assert {declared()[name].config["retention.ms"] for name in reports} == {"21600000"}
    assert {declared()[name].partitions for name in (*kept, *reports)} == {1}
