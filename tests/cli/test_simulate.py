"""`truetape simulate`: files that add up, the same every time."""

import gzip
import json
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from support.loop import own_settings
from support.wait import until
from truetape.cli.simulate import simulate
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings

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


def test_payloads_go_to_standard_output_and_words_to_standard_error() -> None:
    done = CliRunner().invoke(simulate, [*ARGS, "--feed", "binance", "--no-faults"])

    assert done.exit_code == 0
    assert "records;" in done.stderr
    assert sum('"aggTrade"' in line for line in done.stdout.splitlines()) >= 300


def test_a_rate_and_a_duration_make_the_number_of_prints() -> None:
    args = ["--date", "2026-11-20", "--rate", "50", "--duration", "4", "--no-faults"]
    done = CliRunner().invoke(simulate, args)

    assert len(done.stdout.splitlines()) == 200


def test_what_cannot_be_done_is_a_config_error(tmp_path: Path) -> None:
    refused = (
        [],
        ["--date", "2026-11-20", "--rate", "5"],
        [*ARGS, "--out", f"{tmp_path}/x/y"],
        [*ARGS, "--kafka", "--out", f"{tmp_path}/y"],
    )
    for args in refused:
        assert isinstance(CliRunner().invoke(simulate, args).exception, ConfigError), args


@pytest.mark.real
def test_records_go_to_kafka_as_a_feed_handler_sends_them(stack: Settings, tmp_path: Path) -> None:
    """Key, feed and receipt time beside the bytes that the file would have."""
    own = own_settings(stack, tmp_path)
    lines = CliRunner().invoke(simulate, ARGS).stdout.splitlines()

    done = CliRunner().invoke(simulate, [*ARGS, "--kafka"], env=own.to_env())

    assert done.exit_code == 0
    assert done.stdout == ""
    consumer = KafkaConsumer(bootstrap_servers=own.kafka, auto_offset_reset="earliest")
    with closing(consumer):
        parts = [TopicPartition(own.topic, part) for part in range(own.partitions)]
        consumer.assign(parts)
        found: list[ConsumerRecord] = []
        until(lambda: found.extend(polled(consumer)) or len(found) >= len(lines), within_s=30)
    assert sorted(one.value.decode() for one in found) == sorted(lines)
    assert {one.key.decode() for one in found if one.key} == {"IBM", "MSFT", "AAPL"}
    assert {dict(one.headers)["feed"] for one in found} == {b"truetape"}
    assert all(int(dict(one.headers)["received_ns"]) > 0 for one in found)


def polled(consumer: KafkaConsumer) -> list[ConsumerRecord]:
    return [one for part in consumer.poll(timeout_ms=500).values() for one in part]
