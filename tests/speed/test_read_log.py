"""The log that a driver has read: topics made anew between two observations."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from truetape.host.errors import ConfigError
from truetape.lake import record_identity
from truetape.market.ranges import Range
from truetape.speed.position import ReadLog
from truetape.speed.read_log import LogObserver


@dataclass
class Topic:
    """A topic of one partition; its records are stamped with their offset."""

    id: str
    end: int
    topic: str = "trades"
    bootstrap: str = "nowhere"

    def available(self) -> dict[int, Range]:
        return {0: Range(0, self.end)}

    def stamps(self, offsets: Mapping[int, int]) -> dict[int, int | None]:
        return dict(offsets)


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    made = Topic("first", 0)
    monkeypatch.setattr(record_identity, "topic_id", lambda *_: made.id)
    return made


@pytest.fixture
def observer(topic: Topic) -> LogObserver:
    """An observer that has seen the topic before anything was read."""
    made = LogObserver(topic, ReadLog("", {}))  # type: ignore[arg-type]
    assert made.observe({"0": 0}, fresh=True) == ReadLog("first", {})
    return made


def test_a_topic_made_anew_before_the_first_record_was_observed_is_refused(
    topic: Topic, observer: LogObserver
) -> None:
    """40 records were read, then the topic was made anew: 60 new ones, of which 40 were skipped."""
    topic.id, topic.end = "second", 60

    with pytest.raises(ConfigError, match="the topic has id second, the records read are of first"):
        observer.observe({"0": 60}, fresh=False)


def test_a_topic_made_anew_before_anything_was_read_is_accepted(
    topic: Topic, observer: LogObserver
) -> None:
    topic.id = "second"

    assert observer.observe({"0": 0}, fresh=True).topic_id == "second"


def test_the_same_topic_is_accepted(topic: Topic, observer: LogObserver) -> None:
    topic.end = 40

    observed = observer.observe({"0": 40}, fresh=False)

    assert (observed.topic_id, observed.records["0"].offset) == ("first", 39)
