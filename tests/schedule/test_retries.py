"""Which failures are tried again, and what the exit code of a Spark job becomes."""

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
from truetape.schedule.defaults import RETRY
from truetape.schedule.spark_job import named


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (ConfigError("set it"), RetryAction.FAIL),
        (GateClosedError("T8"), RetryAction.FAIL),
        (TransientError("away"), RetryAction.RETRY),
        (VerificationError("differs"), RetryAction.DEFAULT),
        (OSError("disk"), RetryAction.DEFAULT),
    ],
    ids=[
        "configuration",
        "the gate is closed",
        "a server was away",
        "read back differs",
        "anything else",
    ],
)
def test_only_what_may_succeed_later_is_tried_again(error: Exception, action: RetryAction) -> None:
    decision = RETRY.evaluate(error, try_number=1, max_tries=3)

    assert decision.action is action


def test_a_server_that_was_away_is_given_a_minute() -> None:
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
def test_an_exit_code_becomes_the_error_it_stands_for(
    code: int, kind: type[TruetapeError] | type[AirflowException]
) -> None:
    said = f"Cannot execute: spark-submit. Error code is: {code}.\nLast spark-submit output: x"

    error = named(AirflowException(said))

    assert type(error) is kind
    assert str(error) == said


def test_an_error_without_a_code_stays_what_it_is() -> None:
    error = AirflowException("no spark-submit on PATH")

    assert named(error) is error
