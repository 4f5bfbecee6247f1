"""Records on a topic: written and read back, also by other versions of truetape."""

import json

import pytest

from support.speed import beat, exit_report, failed, launch
from truetape.broker.record_json import decode, encode
from truetape.host.errors import ConfigError
from truetape.lake.record_identity import HeldRecord
from truetape.speed.bar_ranges import Span
from truetape.speed.control_records import NO_COMMAND, Desired, ExitReport, LaunchHistory
from truetape.speed.counting import NOTHING_CLOSED
from truetape.speed.driver import Driver
from truetape.speed.heartbeat import Heartbeat, UnfinishedWrite
from truetape.speed.position import PartitionPosition, ReadLog, SpeedPosition

SPAN = Span("XNYS", 100, 200)


@pytest.mark.parametrize(
    "record",
    [
        beat(
            writing=(SPAN,),
            unfinished_writes=(UnfinishedWrite(3, Driver.this(), (SPAN,)),),
            lag={"0": 4},
            log=ReadLog("id-a", {"0": HeldRecord(99, 1_000)}),
            position=SpeedPosition(
                7,
                {
                    "0": PartitionPosition(100, 2_000, 90, 1_000),
                    "1": PartitionPosition(0, NOTHING_CLOSED, 0, NOTHING_CLOSED),
                },
            ),
        ),
        exit_report(late_writes=(SPAN,)),
        LaunchHistory((launch(None), failed(2, 9)), gave_up=3),
        NO_COMMAND,
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_record_is_read_back_as_it_was_written(record: object) -> None:
    assert decode(type(record), encode(record)) == record


def test_a_field_that_a_newer_version_adds_is_ignored() -> None:
    newer = json.dumps(json.loads(encode(NO_COMMAND)) | {"colour": "green"}).encode()

    assert decode(Desired, newer) == NO_COMMAND


@pytest.mark.parametrize("value", [b"{}", b"torn", b"[]"])
def test_a_record_of_another_version_names_what_is_wrong(value: bytes) -> None:
    with pytest.raises(ConfigError, match="wrote this ExitReport to Kafka"):
        decode(ExitReport, value)
    with pytest.raises(ConfigError, match="RUNBOOK"):
        decode(Heartbeat, value)


def test_a_heartbeat_of_the_version_before_begins_at_the_start_of_the_topic() -> None:
    """It has offsets of a checkpoint of Spark, whose windows nobody can read any more."""
    older = json.loads(encode(beat(command=4)))
    del older["position"]
    older |= {"offsets": {"0": 5}, "batch": 3, "watermark": "2026-11-20T17:00:00.000Z"}

    heartbeat = decode(Heartbeat, json.dumps(older).encode())

    assert (heartbeat.epoch, heartbeat.command) == (1, 4)
    assert heartbeat.position == SpeedPosition()
    assert (heartbeat.position.batch, heartbeat.offsets, heartbeat.position.watermark) == (
        -1,
        {},
        None,
    )


def test_renamed_fields_keep_their_names_on_the_wire() -> None:
    """A supervisor and a driver of different versions read each other's records."""
    heartbeat = json.loads(encode(beat(command=4, rewritten=7)))
    report = json.loads(encode(exit_report(late_writes=(SPAN,))))
    (started,) = json.loads(encode(LaunchHistory((launch(),))))["launches"]

    assert (heartbeat["order"], heartbeat["mended"], heartbeat["suspects"]) == (4, 7, [])
    assert [span["venue"] for span in report["touched"]] == ["XNYS"]
    assert (started["order"], started["how"]) == (1, "start")
