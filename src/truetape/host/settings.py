"""Settings: one frozen object, built once from the environment and passed down.

Each field is a variable TRUETAPE_<NAME> in capitals; no other module reads these variables.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from truetape.host import addresses, setting_rules
from truetape.host.errors import ConfigError
from truetape.host.resources import own_schema_folder

BUCKET_SETS = ("live", "history")
LAUNCHERS = ("local", "yarn", "kubernetes", "elsewhere")
_YES_NO = ("True", "False")
_WHOLE = re.compile(r"\d{1,15}", re.ASCII)
_NUMBER = re.compile(r"\d{1,15}(\.\d{0,15})?(e-\d{1,2})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that is never printed; only `reveal` returns it."""

    _value: str

    def reveal(self) -> str:
        """Return the value, for the call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Settings:
    """Addresses, folders and limits. A duration has its unit in its name."""

    home: Path
    """All data of the local stack: Kafka, InfluxDB, lake, locks, secrets."""
    cache: Path
    """What is built or resolved once and can be deleted: influxd, jars."""
    lake: str
    kafka: str
    kafka_retention_h: int
    """How long Kafka keeps trades; the lake keeps them forever."""
    influx_url: str
    influx_external: bool
    """True if TRUETAPE_INFLUX_URL names an external server; the stack then starts none."""
    influx_org: str
    influx_token_file: Path
    airflow: bool
    """True if the local stack runs an Airflow."""
    airflow_port: int
    dags_paused: bool
    """True if a new DAG of the local Airflow starts paused."""
    runbook_url: str
    """The address of the runbook for links; empty for the page of the console."""
    schemas: str
    """The folders of the user's own feeds, profiles and venues, separated as in PATH."""
    store: str
    """The bar store: "influx" or "embedded"."""
    bucket_set: str
    """The set of `influx/buckets.yaml`: "live" expires, "history" keeps everything."""
    profile: str
    feeds: tuple[str, ...]
    """The feeds that the speed layer serves; the archive takes every feed that has a contract."""
    venues: tuple[str, ...]
    """The venues whose sessions Airflow finalizes."""
    batch_delay_min: int
    """Minutes from the end of a session, after hours included, to its recompute."""
    final_within_min: int
    """Minutes from there until the session must be final; after them an alert fires."""
    topic: str
    partitions: int
    speed_trigger_s: float
    """Seconds between micro-batches; with 0 the next one starts as soon as the last one ends."""
    speed_lateness_s: int
    """How long the speed layer waits for late trades; the batch layer adds the later ones."""
    future_slack_ms: int
    """How far an event time may be after the receipt time, and both after Kafka's stamp; a record
    beyond it is rejected."""
    speed_engine: str
    """What runs the speed layer: "spark" a streaming query, "direct" one process without Java."""
    speed_max_trades_per_batch: int
    """The most Kafka records in a micro-batch; bounds memory while catching up."""
    speed_cores: int
    """The most cores that the speed layer takes of a standalone cluster; jobs need the rest."""
    speed_venues: tuple[str, ...]
    """The venues that raise an alert if their regular session has no trade for long."""
    speed_launcher: str
    """How the supervisor starts the speed layer: "local" as a process, "yarn" or "kubernetes" by
    spark-submit, "elsewhere" not at all: another supervisor does, and this one only observes."""
    speed_submit_conf: tuple[str, ...]
    """More settings for the cluster, as spark.name=value: an image, a queue."""
    batch_engine: str
    """What recomputes sessions: "local" this process, "spark" a Spark job."""
    spark_master: str
    spark_driver_memory: str
    write_timeout_s: float
    write_attempts: int
    max_batch_lines: int
    seal_delay_s: float
    """The pause between the last value written and the seal: longer than any query takes."""
    max_payload_bytes: int
    backfill_approve_above: int
    """The most records that Airflow's backfill ingests without a person's approval."""
    lake_keep_h: int
    """How long the lake keeps files that a newer version of a table replaced, for its readers."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Read and check the environment, each value by itself and all of them together.

        Raise ConfigError with the variable's name. No message contains a password of an address.
        """
        read = _Reader(os.environ if env is None else env)
        home = read.path("home", "~/.local/share/truetape")
        has_url = read.is_set("influx_url")
        influx_port = read.whole("influx_port", 18_086)
        settings = cls(
            home=home,
            cache=read.path("cache", "~/.cache/truetape"),
            lake=read.lake(str(home / "lake")),
            kafka=read.checked("kafka", "127.0.0.1:19092", addresses.kafka_address),
            kafka_retention_h=read.whole("kafka_retention_h", 168),
            influx_url=read.checked(
                "influx_url", f"http://127.0.0.1:{influx_port}", addresses.influx_address
            ),
            # `to_env` writes it, since there the URL is always set
            influx_external=read.flag("influx_external", default=has_url),
            influx_org=read.checked("influx_org", "truetape", setting_rules.name),
            influx_token_file=read.path("influx_token_file", str(home / "secrets/influx-token")),
            airflow=read.flag("airflow", default=True),
            airflow_port=read.whole("airflow_port", 18_080),
            dags_paused=read.flag("dags_paused", default=False),
            runbook_url=read.checked("runbook_url", "", addresses.runbook_address),
            schemas=os.pathsep.join(map(str, read.folders("schemas"))),
            store=read.choice("store", "influx", ("influx", "embedded")),
            bucket_set=read.choice("bucket_set", "live", BUCKET_SETS),
            profile=read.declared("profile", "sip", "profile")[0],
            feeds=read.declared("feeds", "truetape", "feed"),
            venues=read.declared("venues", "XNYS", "venue"),
            batch_delay_min=read.whole("batch_delay_min", 15),
            final_within_min=read.whole("final_within_min", 60),
            topic=read.checked("topic", "trades", setting_rules.topic),
            partitions=read.whole("partitions", 4),
            speed_trigger_s=read.number("speed_trigger_s", 0.0),
            speed_lateness_s=read.whole("speed_lateness_s", 60),
            future_slack_ms=read.whole("future_slack_ms", 1_000),
            speed_engine=read.choice("speed_engine", "spark", ("spark", "direct")),
            speed_max_trades_per_batch=read.whole("speed_max_trades_per_batch", 200_000),
            speed_cores=read.whole("speed_cores", 2),
            speed_venues=read.declared("speed_venues", "XNYS", "venue"),
            speed_launcher=read.choice("speed_launcher", "local", LAUNCHERS),
            speed_submit_conf=setting_rules.submit_options(
                _variable("speed_submit_conf"),
                read.words("speed_submit_conf", "spark.submit.deployMode=cluster"),
            ),
            batch_engine=read.choice("batch_engine", "local", ("local", "spark")),
            spark_master=read.checked("spark_master", "local[2]", addresses.spark_master),
            spark_driver_memory=read.checked("spark_driver_memory", "3g", setting_rules.memory),
            write_timeout_s=read.number("write_timeout_s", 5.0),
            write_attempts=read.whole("write_attempts", 6),
            max_batch_lines=read.whole("max_batch_lines", 5_000),
            seal_delay_s=read.number("seal_delay_s", 2.0),
            max_payload_bytes=read.whole("max_payload_bytes", 1_000_000),
            backfill_approve_above=read.whole("backfill_approve_above", 1_000_000),
            lake_keep_h=read.whole("lake_keep_h", 720),
        )
        setting_rules.require_no_contradiction(settings, has_influx_url=has_url)
        return settings

    def to_env(self) -> dict[str, str]:
        """Return the variables from which a child process reads the same settings."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            _variable(name): ",".join(value) if isinstance(value, tuple) else str(value)
            for name, value in values.items()
        }


@dataclass(frozen=True, slots=True)
class _Reader:
    env: Mapping[str, str]

    def is_set(self, name: str) -> bool:
        return bool(self.text(name, ""))

    def text(self, name: str, default: str) -> str:
        return self.env.get(_variable(name), "").strip() or default

    def checked(self, name: str, default: str, check: Callable[[str, str], str]) -> str:
        return check(_variable(name), self.text(name, default))

    def path(self, name: str, default: str) -> Path:
        """Return a path that is the same in every folder that a child process starts in."""
        value = self.text(name, default)
        try:
            return Path(value).expanduser().absolute()
        except RuntimeError as error:  # no such user
            raise ConfigError(f"{_variable(name)} is {value!r}: {error}; give a path") from error

    def folders(self, name: str) -> list[Path]:
        return [own_schema_folder(text) for text in self.text(name, "").split(os.pathsep) if text]

    def lake(self, default: str) -> str:
        value = self.checked("lake", default, addresses.lake_address)
        return value if addresses.is_url(value) else str(self.path("lake", default))

    def words(self, name: str, default: str) -> tuple[str, ...]:
        return tuple(word for word in self.text(name, default).replace(",", " ").split() if word)

    def declared(self, name: str, default: str, kind: str) -> tuple[str, ...]:
        names = self.words(name, default)
        if kind == "profile":
            names = (self.text(name, default),)
        return setting_rules.declared_names(_variable(name), names, kind)

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value not in allowed:
            raise ConfigError(
                f"{_variable(name)} is {_shown(value)}; set it to one of {', '.join(allowed)}"
            )
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        return self.choice(name, str(default), _YES_NO) == "True"

    def number(self, name: str, default: float) -> float:
        value, bounds = self.text(name, str(default)), setting_rules.BOUNDS[name]
        if not _NUMBER.fullmatch(value) or not bounds.least <= float(value) <= bounds.most:
            raise ConfigError(
                f"{_variable(name)} is {_shown(value)}; set it to a number {bounds}: {bounds.why}"
            )
        return float(value)

    def whole(self, name: str, default: int) -> int:
        value, bounds = self.text(name, str(default)), setting_rules.BOUNDS[name]
        if not _WHOLE.fullmatch(value) or not bounds.least <= int(value) <= bounds.most:
            raise ConfigError(
                f"{_variable(name)} is {_shown(value)}; set it to a whole number {bounds}: "
                f"{bounds.why}"
            )
        return int(value)


def _shown(value: str) -> str:
    return repr(addresses.without_user_info(value))


def _variable(name: str) -> str:
    return f"TRUETAPE_{name.upper()}"
