"""What Spark raises becomes one line that says what to do, with the exit code that fits."""

from pathlib import Path

import pytest

from truetape.batch.spark.errors import spark_error
from truetape.host.errors import ConfigError, TransientError, TruetapeError
from truetape.host.settings import Settings

LAKE = "/data/lake"
STACK = """
	at org.apache.spark.scheduler.DAGScheduler.failJobAndIndependentStages(DAGScheduler.scala:3122)
	at java.base/java.lang.Thread.run(Thread.java:840)
"""
FAILURES = [
    pytest.param(
        "An error occurred while calling o88.save.\n: org.apache.spark.SparkException: Job aborted."
        f"{STACK}Caused by: java.io.IOException: No space left on device{STACK}",
        TransientError,
        ["the disk of ", "is full", '"Disk" in docs/RUNBOOK.md'],
        id="disk full",
    ),
    pytest.param(
        f"Job aborted{STACK}Caused by: java.io.FileNotFoundException: "
        "/data/lake/bars/part-1.parquet (Permission denied)",
        ConfigError,
        ["permission denied for user", '"Disk" in docs/RUNBOOK.md'],
        id="permission denied",
    ),
    pytest.param(
        "Job aborted\nCaused by: java.io.IOException: Mkdirs failed: Read-only file system",
        ConfigError,
        ["read-only"],
        id="read-only file system",
    ),
    pytest.param(
        "org.apache.spark.sql.streaming.StreamingQueryException: Some data may have been lost "
        "because they are not available in Kafka any more",
        ConfigError,
        ['"Records left Kafka before they were read" in docs/RUNBOOK.md'],
        id="records left Kafka",
    ),
    pytest.param(
        "An exception was raised by the Python Proxy. Return Message: Traceback (most recent call "
        'last):\n  File "archive.py", line 3, in x\ntruetape.host.errors.ConfigError: feed x has '
        f"no contract{STACK}",
        ConfigError,
        ["feed x has no contract"],
        id="an error of ours inside Spark",
    ),
    pytest.param(
        f"Job aborted{STACK}Caused by: java.lang.OutOfMemoryError: Java heap space{STACK}",
        TruetapeError,
        ["TRUETAPE_SPARK_DRIVER_MEMORY"],
        id="memory",
    ),
    pytest.param(
        "An error occurred while calling o1.collect.\n: org.apache.spark.SparkException: Job "
        f"aborted{STACK}Caused by: java.lang.ArithmeticException: overflow{STACK}",
        TruetapeError,
        ["Spark failed: ArithmeticException: overflow", "truetape --verbose"],
        id="anything else",
    ),
]


@pytest.mark.parametrize(("text", "kind", "parts"), FAILURES)
def test_a_failure_in_spark_is_one_line_with_the_next_move(
    tmp_path: Path, text: str, kind: type[TruetapeError], parts: list[str]
) -> None:
    settings = Settings.from_env({"TRUETAPE_HOME": str(tmp_path), "TRUETAPE_LAKE": LAKE})

    error = spark_error(text, settings)

    assert type(error) is kind
    assert [part for part in parts if part not in str(error)] == []
    assert "\n" not in str(error)
    assert "\tat " not in str(error)
