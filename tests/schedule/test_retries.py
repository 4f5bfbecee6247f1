"""Which failed tasks are retried, and which error an exit code of a Spark job becomes."""

from datetime import timedelta

import pytest
from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowException

from truetape.host.errors import (
    ConfigError,
    GateClosedError,
    TransientError,
    TruetapeError,
    VerificationError,
)
from truetape.schedule.batch_job import error_of
from truetape.schedule.defaults import RETRY


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (ConfigError("set it"), RetryAction.FAIL),
        (GateClosedError("T8"), RetryAction.FAIL),
        (TransientError("away"), RetryAction.RETRY),
        (VerificationError("differs"), RetryAction.DEFAULT),
        (PermissionError("denied"), RetryAction.FAIL),
        (OSError("disk"), RetryAction.DEFAULT),
    ],
    ids=[
        "configuration",
        "the gate is closed",
        "a server was away",
        "read back differs",
        "a missing right",
        "anything else",
    ],
)
def test_a_task_is_retried_only_if_it_may_succeed_later(
    error: Exception, action: RetryAction
) -> None:
    decision = RETRY.evaluate(error, try_number=1, max_tries=3)

    assert decision.action is action


def test_the_retry_waits_a_minute_if_a_server_was_away() -> None:
    assert RETRY.evaluate(TransientError("away"), 1, 3).retry_delay == timedelta(seconds=60)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (75, TransientError),
        (78, ConfigError),
        (65, VerificationError),
        (66, GateClosedError),
        (1, AirflowException),
        (137, AirflowException),
    ],
)
def test_an_exit_code_of_truetape_becomes_its_error(
    code: int, kind: type[TruetapeError] | type[AirflowException]
) -> None:
    message = f"Cannot execute: spark-submit. Error code is: {code}.\nLast spark-submit output: x"

    error = error_of(AirflowException(message))

    assert type(error) is kind
    assert str(error) == message


def test_an_error_without_an_exit_code_is_returned_unchanged() -> None:
    error = AirflowException("no spark-submit on PATH")

    assert error_of(error) is error
