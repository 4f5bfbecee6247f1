"""Drivers of the speed layer as real processes: run, waited for, asked for their last word."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from truetape.broker.control_topic import ControlTopic
from truetape.broker.offsets import end_offsets
from truetape.host.settings import Settings
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore
from truetape.speed.control_records import ControlRecords, ExitReport
from truetape.tour.speed_process import SpeedProcess

READ_WITHIN_S = 120.0


@contextmanager
def running(settings: Settings) -> Iterator[SpeedProcess]:
    """Start a driver and wait until it is ready; kill it at the end if the test did not stop it."""
    driver = SpeedProcess.start(settings)
    try:
        driver.wait_until_ready()
        yield driver
    finally:
        driver.kill()


def read_all(driver: SpeedProcess, settings: Settings) -> None:
    """Wait until the driver has finished a batch that reaches the end of the topic."""
    driver.wait_until_read(end_offsets(settings.kafka, settings.topic), READ_WITHIN_S)


def last_word(driver: SpeedProcess) -> ExitReport:
    """Return the exit report of a driver that has ended."""
    settings = driver.settings
    with ControlTopic(settings.kafka) as control:
        reports = ControlRecords(control, settings.topic).refresh().exit_reports
    (report,) = (item for item in reports if item.driver.pid == driver.process.pid)
    return report


@contextmanager
def store_of(settings: Settings) -> Iterator[BarStore]:
    """Open the bar store, with its buckets."""
    with closing(open_store(settings)) as store:
        store.ensure_buckets()
        yield store


def port_of(url: str) -> int:
    """Return the port of a URL."""
    return int(url.rpartition(":")[2])
