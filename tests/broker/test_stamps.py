"""Only the broker's stamp bounds times: whoever reads trades refuses a topic without it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.loop import own_settings, stamped_by
from truetape.batch.backfill_request import BackfillRequest, Holes
from truetape.batch.backfill_run import plan_once
from truetape.batch.jobs import archive_once
from truetape.broker.offsets import TopicOffsets
from truetape.broker.producer import Producer
from truetape.broker.topics import ensure_topics, require_broker_stamps
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.speed.trades_topic import TradesTopic

pytestmark = pytest.mark.real

TRADE = (
    b'{"kind":"trade","symbol":"IBM","venue":"XNYS","id":"1",'
    b'"event_time":"2026-03-03T15:00:00Z","price":"100","size":"10"}'
)


@pytest.fixture
def own(stack: Settings, tmp_path: Path) -> Settings:
    return own_settings(stack, tmp_path)


def open_speed_layer(own: Settings) -> None:
    with TopicOffsets(own.kafka, own.topic) as offsets:
        TradesTopic(own, offsets).require_readable(None)


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda own: ensure_topics(own.kafka, own, lambda _: None), id="stack up"),
        pytest.param(archive_once, id="archive"),
        pytest.param(lambda own: plan_once(own, BackfillRequest(Holes(), "why")), id="backfill"),
        pytest.param(open_speed_layer, id="speed layer"),
    ],
)
def test_a_topic_whose_producers_set_the_stamps_is_refused(
    own: Settings, read: Callable[[Settings], object]
) -> None:
    """Not even `stack up` corrects it: older records would keep their producers' stamps."""
    stamped_by(own, "CreateTime")

    with pytest.raises(ConfigError) as error:
        read(own)

    assert f"topic {own.topic} has message.timestamp.type=CreateTime" in str(error.value)
    assert '"Stamps of producers" in docs/RUNBOOK.md' in str(error.value)


def test_a_topic_that_does_not_exist_has_no_stamp_to_refuse(own: Settings) -> None:
    require_broker_stamps(own.kafka, f"{own.topic}-missing")


def test_an_older_record_with_the_stamp_of_its_producer_is_not_archived(
    own: Settings,
) -> None:
    """The topic was corrected behind the back of the stack, and still has the record."""
    stamped_by(own, "CreateTime")
    with Producer(own.kafka) as producer:
        producer.send(own.topic, "IBM", TRADE, "truetape")
    stamped_by(own, "LogAppendTime")

    with pytest.raises(ConfigError) as error:
        archive_once(own)

    assert "@0 carries a stamp of its producer, which bounds no time" in str(error.value)
    assert str(error.value).startswith(f"{own.topic}/")
