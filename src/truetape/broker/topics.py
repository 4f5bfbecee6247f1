"""The Kafka topics: their names, and how they are made. Reads and writes no records."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from truetape.broker.clients import ADMIN_REQUEST_MS, MAX_RECORD_BYTES, open_admin, transient
from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Settings

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient

REJECTED = "trades.rejected"
HEARTBEAT = "truetape.heartbeat"
CONTROL = "truetape.control"
PUBLISHING = "truetape.publishing"

_Configs = Mapping[str, Mapping[str, str]]
"""The settings of topics, by name."""
_STAMPS = "message.timestamp.type"
_BROKER_STAMPS = "LogAppendTime"
_HOUR_MS = 3_600_000
_REPORT_HOURS = 6


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be; `config` lists only what differs from the broker's defaults."""

    name: str
    partitions: int
    config: Mapping[str, str]


def topics(settings: Settings) -> tuple[Topic, ...]:
    """Return the topics that the pipeline needs.

    The broker stamps every record (LogAppendTime). Kafka expires records by their stamp, so it
    would delete a replay of 2013 with its own times within minutes, and the heartbeats of a host
    whose clock is behind; with its defaults it refuses stamps over an hour ahead. The receipt time
    of trades is in the header `received_ns`.
    """
    stamp = {_STAMPS: _BROKER_STAMPS}
    of_trades = stamp | {
        "retention.ms": str(settings.kafka_retention_h * _HOUR_MS),
        "segment.ms": str(24 * _HOUR_MS),
        "max.message.bytes": str(MAX_RECORD_BYTES),
    }
    # whole segments expire, so a segment must be much shorter than the retention
    of_reports = stamp | {
        "retention.ms": str(_REPORT_HOURS * _HOUR_MS),
        "segment.ms": str(_HOUR_MS),
    }
    of_control = stamp | {"cleanup.policy": "compact", "segment.ms": str(24 * _HOUR_MS)}
    # the newest heartbeat of a layer has its position, so it must not expire while the layer rests
    of_heartbeats = stamp | {"cleanup.policy": "compact", "segment.ms": str(_HOUR_MS)}
    return (
        Topic(settings.topic, settings.partitions, of_trades),
        Topic(REJECTED, 1, of_trades),
        Topic(HEARTBEAT, 1, of_heartbeats),
        Topic(PUBLISHING, 1, of_reports),
        Topic(CONTROL, 1, of_control),
    )


def ensure_topics(bootstrap: str, settings: Settings, report: Callable[[str], None]) -> None:
    """Create missing topics and set the configuration of the others; safe to repeat.

    Raise ConfigError if `trades` has another number of partitions than the settings: adding
    partitions would move keys, and the order of a symbol's trades would be lost. Raise it too if
    producers stamp its records: a changed setting would leave the stamps of older records.
    """
    from kafka.errors import KafkaError

    wanted = topics(settings)
    try:
        with open_admin(bootstrap) as admin:
            partitions = {
                topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics()
            }
            missing = [topic for topic in wanted if topic.name not in partitions]
            if missing:
                _create(admin, missing)
                report(f"created topics {', '.join(topic.name for topic in missing)}")
            existing = [topic for topic in wanted if topic.name in partitions]
            actual = _configs(admin, [topic.name for topic in existing])
            if settings.topic in partitions:
                _require_broker_stamps(settings.topic, actual)
            _configure(admin, existing, actual, report)
    except KafkaError as error:
        kind = TransientError if error.retriable else ConfigError
        raise kind(f"Kafka at {bootstrap} did not set its topics up: {error!r}") from error
    for topic in wanted:
        count = partitions.get(topic.name, topic.partitions)
        if count != topic.partitions:
            raise ConfigError(
                f"topic {topic.name} has {count} partitions, settings say "
                f"{topic.partitions}; set TRUETAPE_PARTITIONS={count} or use another "
                "TRUETAPE_TOPIC"
            )


def require_broker_stamps(bootstrap: str, topic: str) -> None:
    """Raise ConfigError if producers stamp the records of a topic: the stamp bounds all times.

    Passes a topic that does not exist. Raise TransientError if Kafka does not answer.
    """
    action = f"cannot read the settings of {topic} at {bootstrap}"
    with transient(action), open_admin(bootstrap) as admin:
        configs = _configs(admin, [topic])
    _require_broker_stamps(topic, configs)


def metadata_problem(bootstrap: str) -> str | None:
    """Return why a cluster names no live broker, None if it names one."""
    from kafka.errors import RetriableError

    try:
        with open_admin(bootstrap) as admin:
            brokers = admin.describe_cluster()["brokers"]
    except (RetriableError, OSError) as error:
        return f"no metadata from {bootstrap}: {error!r}"
    return None if brokers else f"{bootstrap} knows no live broker yet"


def _create(admin: "KafkaAdminClient", missing: list[Topic]) -> None:
    admin.create_topics(
        {
            topic.name: {"num_partitions": topic.partitions, "configs": dict(topic.config)}
            for topic in missing
        },
        timeout_ms=ADMIN_REQUEST_MS,
        wait_for_metadata=True,
    )


def _require_broker_stamps(topic: str, configs: _Configs) -> None:
    stamps = configs.get(topic, {}).get(_STAMPS, _BROKER_STAMPS)
    if stamps != _BROKER_STAMPS:
        raise ConfigError(
            f"topic {topic} has {_STAMPS}={stamps}, so its records carry stamps of their "
            f"producers, which bound no time; make the topic anew with {_BROKER_STAMPS}, or use "
            'another TRUETAPE_TOPIC; see "Stamps of producers" in docs/RUNBOOK.md'
        )


def _configs(admin: "KafkaAdminClient", names: Sequence[str]) -> _Configs:
    """Return the settings of topics by name; a topic that does not exist has none."""
    from kafka.admin import ConfigResource, ConfigResourceType

    if not names:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    answer = admin.describe_configs(resources, config_filter="all")["topic"]
    return {
        name: {key: entry["value"] for key, entry in entries.items()}
        for name, entries in answer.items()
    }


def _configure(
    admin: "KafkaAdminClient",
    existing: list[Topic],
    configs: _Configs,
    report: Callable[[str], None],
) -> None:
    from kafka.admin import ConfigResource, ConfigResourceType

    changed = []
    for topic in existing:
        actual = configs[topic.name]
        drifted = {key: value for key, value in topic.config.items() if actual.get(key) != value}
        if drifted:
            changed.append(ConfigResource(ConfigResourceType.TOPIC, topic.name, drifted))
            report(f"topic {topic.name}: {', '.join(f'{k}={v}' for k, v in drifted.items())}")
    if changed:
        admin.alter_configs(changed)
