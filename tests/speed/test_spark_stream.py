"""Why a streaming query ended by itself: the exit report names the disk, not a stack trace."""

from pathlib import Path

import pytest

from truetape.broker.stamps import PRODUCER_STAMP
from truetape.host.errors import ConfigError, TransientError, TruetapeError
from truetape.speed.spark_stream import ended

SCRATCH = Path("/tmp/truetape-speed-1")  # noqa: S108 - nothing is written
STACK = "\n\tat org.apache.spark.sql.execution.streaming.HDFSMetadataLog.add(Log.scala:197)"


@pytest.mark.parametrize(
    ("text", "kind", "part"),
    [
        (f"java.io.IOException: No space left on device{STACK}", TransientError, " is full; make"),
        (f"FSError: offsets/3 (Permission denied){STACK}", ConfigError, "permission denied for"),
        (f"IOException: Read-only file system{STACK}", ConfigError, "is read-only"),
    ],
    ids=["full", "no right", "read-only"],
)
def test_a_refusal_of_the_disk_is_one_line(text: str, kind: type[TruetapeError], part: str) -> None:
    error = ended(text, SCRATCH)

    assert type(error) is kind
    assert str(error).startswith("the streaming query ended: ")
    assert part in str(error)
    assert str(SCRATCH) in str(error)
    assert '"Disk" in docs/RUNBOOK.md' in str(error)
    assert "\n" not in str(error)


def test_a_record_with_the_stamp_of_its_producer_is_named() -> None:
    error = ended(f"USER_RAISED_EXCEPTION trades/0@7{PRODUCER_STAMP}{STACK}", SCRATCH)

    assert type(error) is ConfigError
    assert str(error) == f"trades/0@7{PRODUCER_STAMP}"


def test_anything_else_keeps_the_words_of_spark() -> None:
    """Kafka has deleted records that were not read: the next driver begins after them."""
    error = ended("Some data may have been lost", SCRATCH)

    assert type(error) is TransientError
    assert str(error) == "the streaming query ended: Some data may have been lost"
