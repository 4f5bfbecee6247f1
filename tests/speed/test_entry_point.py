"""The last word of a driver that cannot even begin."""

import sys
from contextlib import nullcontext
from datetime import datetime

import pytest

from support.race import Control
from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Settings
from truetape.speed import entry_point
from truetape.speed.control_records import ControlRecords
from truetape.speed.driver import Driver
from truetape.speed.entry_point import run_driver
from truetape.speed.protocol import reported


@pytest.fixture
def records() -> ControlRecords:
    return ControlRecords(Control(), "trades")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigError("the marker is empty"), 78, "the marker is empty"),
        (TransientError("Kafka is away"), 75, "Kafka is away"),
        (RuntimeError("a defect"), 1, "unforeseen RuntimeError: a defect"),
        (AssertionError(), 1, "unforeseen AssertionError: "),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_driver_that_cannot_begin_leaves_a_last_word(
    records: ControlRecords, error: Exception, code: int, message: str
) -> None:
    with pytest.raises(type(error)), reported(records):
        raise error

    (report,) = records.exit_reports
    assert (report.epoch, report.driver) == (0, Driver.this())
    assert (report.code, report.message) == (code, message)
    assert report.at <= datetime.now(report.at.tzinfo)


def test_the_error_stays_if_its_last_word_cannot_be_written(
    records: ControlRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(self: object, report: object) -> None:
        raise OSError("the network is down")

    monkeypatch.setattr(ControlRecords, "write_exit_report", away)

    with pytest.raises(RuntimeError, match="a defect"), reported(records):
        raise RuntimeError("a defect")


def test_a_machine_without_spark_leaves_a_last_word(
    records: ControlRecords, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "truetape.speed.job", None)
    monkeypatch.setattr(entry_point, "require_listener", lambda _: None)
    monkeypatch.setattr(entry_point, "ControlTopic", lambda *_: nullcontext())
    monkeypatch.setattr(entry_point, "ControlRecords", lambda *_: records)

    with pytest.raises(ConfigError, match="cannot be imported"):
        run_driver(lambda: settings)

    (report,) = records.exit_reports
    assert report.code == 78


@pytest.mark.parametrize(
    ("variables", "topics"),
    [
        pytest.param({"TRUETAPE_TOPIC": "quotes"}, ["quotes"], id="the place is known"),
        pytest.param({"TRUETAPE_TOPIC": ""}, ["trades"], id="the usual place"),
    ],
)
def test_refused_settings_leave_a_last_word_where_the_others_say(
    variables: dict[str, str],
    topics: list[str],
    records: ControlRecords,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def records_of(control: object, topic: str) -> ControlRecords:
        asked.append(topic)
        return records

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(entry_point, "require_listener", lambda _: None)
    monkeypatch.setattr(entry_point, "ControlTopic", lambda *_: nullcontext())
    monkeypatch.setattr(entry_point, "ControlRecords", records_of)
    monkeypatch.setenv("TRUETAPE_SPEED_CORES", "many")

    with pytest.raises(ConfigError, match="TRUETAPE_SPEED_CORES"):
        run_driver(Settings.from_env)

    (report,) = records.exit_reports
    assert (report.code, asked) == (78, topics)
    assert "TRUETAPE_SPEED_CORES" in report.message
