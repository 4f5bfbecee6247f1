"""`truetape simulate`: consistent files, the same bytes for the same seed."""

import gzip
import json
from contextlib import closing, nullcontext
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner
from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from support.loop import own_settings
from support.wait import until
from truetape.cli.simulate import require_past, simulate
from truetape.feeds.simulator.session import SimulationPlan
from truetape.feeds.simulator.session import simulate as simulate_session
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.market.resolution import SECOND_NS

ARGS = ["--date", "2026-11-20", "--trades", "300", "--malformed", "0.01"]


def test_the_same_arguments_write_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        files = ["--out", f"{folder}/o.gz", "--truth", f"{folder}/t", "--troubles", f"{folder}/w"]
        assert CliRunner().invoke(simulate, [*ARGS, *files]).exit_code == 0

    for name in ("o.gz", "t", "w"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    records = gzip.decompress((tmp_path / "a" / "o.gz").read_bytes()).splitlines()
    troubles = [json.loads(line) for line in (tmp_path / "a" / "w").read_text().splitlines()]
    truth = [json.loads(line) for line in (tmp_path / "a" / "t").read_text().splitlines()]
    more = sum(item["cause"] in ("duplicate", "cancel", "correction") for item in troubles)
    gone = sum(item["cause"] in ("cancel", "bad-clock") for item in troubles)
    assert len(records) == 300 + 3 + more
    assert len(truth) == 300 - gone


def test_payloads_go_to_stdout_and_messages_to_stderr() -> None:
    done = CliRunner().invoke(simulate, [*ARGS, "--feed", "binance", "--no-faults"])

    assert done.exit_code == 0
    assert "records;" in done.stderr
    assert sum('"aggTrade"' in line for line in done.stdout.splitlines()) >= 300


def test_rate_times_duration_is_the_number_of_trades() -> None:
    args = ["--date", "2026-11-20", "--rate", "50", "--duration", "4", "--no-faults"]
    done = CliRunner().invoke(simulate, args)

    assert len(done.stdout.splitlines()) == 200


def test_options_that_cannot_be_combined_are_config_errors(tmp_path: Path) -> None:
    refused = (
        [],
        ["--date", "2026-11-20", "--rate", "5"],
        [*ARGS, "--out", f"{tmp_path}/x/y"],
        [*ARGS, "--kafka", "--out", f"{tmp_path}/y"],
    )
    for args in refused:
        assert isinstance(CliRunner().invoke(simulate, args).exception, ConfigError), args


def test_a_session_of_the_future_is_not_sent() -> None:
    """Kafka would stamp its records before their times; without a broker, so before any send."""
    args = ["--date", "2098-01-02", "--venue", "BITSTAMP", "--trades", "10", "--kafka"]
    done = CliRunner().invoke(simulate, args, env={"TRUETAPE_KAFKA": "127.0.0.1:9"})

    assert isinstance(done.exception, ConfigError)
    assert "the session of 2098-01-02 ends at 2098-01-0" in str(done.exception)
    assert "give an earlier --date, or --live" in str(done.exception)


@pytest.mark.parametrize(("early_ns", "is_past"), [(0, True), (1, False)])
def test_a_session_that_ends_within_the_slack_is_sent(early_ns: int, is_past: bool) -> None:
    plan = SimulationPlan(date(2026, 11, 20), trades=10)
    records = simulate_session(plan).records
    last_ns = max(record.received_ns for record in records)

    with nullcontext() if is_past else pytest.raises(ConfigError):
        require_past(plan, records, 1_000, last_ns - SECOND_NS - early_ns)


@pytest.mark.real
def test_kafka_gets_the_records_with_the_headers_of_a_feed_handler(
    stack: Settings, tmp_path: Path
) -> None:
    """A record has a key, a feed and a receipt time, and the same bytes as a line of the file."""
    own = own_settings(stack, tmp_path)
    lines = CliRunner().invoke(simulate, ARGS).stdout.splitlines()

    done = CliRunner().invoke(simulate, [*ARGS, "--kafka"], env=own.to_env())

    assert done.exit_code == 0
    assert done.stdout == ""
    consumer = KafkaConsumer(bootstrap_servers=own.kafka, auto_offset_reset="earliest")
    with closing(consumer):
        parts = [TopicPartition(own.topic, part) for part in range(own.partitions)]
        consumer.assign(parts)
        records: list[ConsumerRecord] = []
        until(lambda: records.extend(polled(consumer)) or len(records) >= len(lines), within_s=30)
    assert sorted(record.value.decode() for record in records) == sorted(lines)
    assert {record.key.decode() for record in records if record.key} == {"IBM", "MSFT", "AAPL"}
    assert {dict(record.headers)["feed"] for record in records} == {b"truetape"}
    assert all(int(dict(record.headers)["received_ns"]) > 0 for record in records)


def polled(consumer: KafkaConsumer) -> list[ConsumerRecord]:
    return [record for part in consumer.poll(timeout_ms=500).values() for record in part]
