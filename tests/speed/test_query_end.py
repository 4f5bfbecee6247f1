"""Why a streaming query ended by itself: the exit report names the disk, not a stack trace."""

import pytest

from truetape.host.errors import ConfigError, TransientError, TruetapeError
from truetape.host.settings import Settings
from truetape.speed.job import ended

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
def test_a_refusal_of_the_disk_is_one_line(
    settings: Settings, text: str, kind: type[TruetapeError], part: str
) -> None:
    error = ended(text, settings)

    assert type(error) is kind
    assert str(error).startswith("the streaming query ended: ")
    assert part in str(error)
    assert '"Disk" in docs/RUNBOOK.md' in str(error)
    assert "\n" not in str(error)


def test_anything_else_keeps_the_words_of_spark(settings: Settings) -> None:
    error = ended("Some data may have been lost", settings)

    assert type(error) is TransientError
    assert str(error) == "the streaming query ended: Some data may have been lost"
