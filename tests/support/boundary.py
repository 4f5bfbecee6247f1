"""Nothing outside this process: no broker answers, and neither a program nor Spark starts.

A verb that gets that far has accepted its arguments.
"""

import subprocess
import threading
import time
from typing import NoReturn

import kafka
import kafka.admin
import pytest
from kafka.errors import KafkaTimeoutError
from pyspark.sql import SparkSession

from truetape.host.errors import TransientError
from truetape.host.http import Http
from truetape.quality import expectations


def _no_broker(*_: object, **__: object) -> NoReturn:
    raise KafkaTimeoutError("Unable to bootstrap")  # as the library, without its wait of 10 s


def _not_here(*_: object, **__: object) -> NoReturn:
    raise TransientError("nothing outside of this process starts here")


def close_boundary(patch: pytest.MonkeyPatch) -> None:
    """Cut this process off from Kafka, Spark, other programs, and from waiting."""
    patch.setattr(kafka, "KafkaConsumer", _no_broker)
    patch.setattr(kafka, "KafkaProducer", _no_broker)
    patch.setattr(kafka.admin, "KafkaAdminClient", _no_broker)
    patch.setattr(SparkSession.Builder, "getOrCreate", _not_here)
    patch.setattr(subprocess, "Popen", _not_here)
    patch.setattr(expectations, "_batches", _not_here)
    patch.setattr(time, "sleep", _not_here)
    patch.setattr(Http, "pause", _not_here)  # it took `time.sleep` before, if it was imported then


def forbid_waiting(patch: pytest.MonkeyPatch) -> None:
    """End loops that wait for a signal; not together with an event loop in a thread."""
    patch.setattr(threading.Event, "wait", _not_here)
