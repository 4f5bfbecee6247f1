"""Settings: one frozen object, built once from the environment and passed down.

Each field is a variable TRUETAPE_<NAME> in capitals; no other module reads these variables.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from truetape.host.errors import ConfigError

BUCKET_SETS = ("live", "history")
LAUNCHERS = ("local", "yarn", "kubernetes", "elsewhere")
_YES_NO = ("True", "False")


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
    """All data of the local stack: Kafka, InfluxDB, lake, checkpoints, secrets."""
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
    speed_shuffle_partitions: int
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
        """Read the environment. Raise ConfigError with the variable's name for a bad value."""
        read = _Reader(os.environ if env is None else env)
        home = Path(read.text("home", "~/.local/share/truetape")).expanduser().absolute()
        cache = Path(read.text("cache", "~/.cache/truetape")).expanduser().absolute()
        secrets = home / "secrets"
        influx_url = read.text("influx_url", "")
        influx_port = read.whole("influx_port", 18_086, 1)
        return cls(
            home=home,
            cache=cache,
            lake=read.text("lake", str(home / "lake")),
            kafka=read.text("kafka", "127.0.0.1:19092"),
            kafka_retention_h=read.whole("kafka_retention_h", 168, 1),
            influx_url=influx_url or f"http://127.0.0.1:{influx_port}",
            # `to_env` writes it, since there the URL is always set
            influx_external=read.choice("influx_external", str(bool(influx_url)), _YES_NO)
            == "True",
            influx_org=read.text("influx_org", "truetape"),
            influx_token_file=Path(read.text("influx_token_file", str(secrets / "influx-token"))),
            airflow=read.choice("airflow", "True", _YES_NO) == "True",
            airflow_port=read.whole("airflow_port", 18_080, 1),
            dags_paused=read.choice("dags_paused", "False", _YES_NO) == "True",
            store=read.choice("store", "influx", ("influx", "embedded")),
            bucket_set=read.choice("bucket_set", "live", BUCKET_SETS),
            profile=read.text("profile", "sip"),
            feeds=read.names("feeds", "truetape"),
            venues=read.names("venues", "XNYS"),
            batch_delay_min=read.whole("batch_delay_min", 15, 0),
            final_within_min=read.whole("final_within_min", 60, 1),
            topic=read.text("topic", "trades"),
            partitions=read.whole("partitions", 4, 1),
            speed_trigger_s=read.number("speed_trigger_s", 0.0),
            speed_lateness_s=read.whole("speed_lateness_s", 60, 1),
            future_slack_ms=read.whole("future_slack_ms", 1_000, 0),
            speed_shuffle_partitions=read.whole("speed_shuffle_partitions", 1, 1),
            speed_max_trades_per_batch=read.whole("speed_max_trades_per_batch", 200_000, 1),
            speed_cores=read.whole("speed_cores", 2, 1),
            speed_venues=read.names("speed_venues", "XNYS"),
            speed_launcher=read.choice("speed_launcher", "local", LAUNCHERS),
            speed_submit_conf=read.names("speed_submit_conf", "spark.submit.deployMode=cluster"),
            spark_master=read.text("spark_master", "local[2]"),
            spark_driver_memory=read.text("spark_driver_memory", "3g"),
            write_timeout_s=read.number("write_timeout_s", 10.0),
            write_attempts=read.whole("write_attempts", 4, 1),
            max_batch_lines=read.whole("max_batch_lines", 5_000, 1),
            seal_delay_s=read.number("seal_delay_s", 2.0),
            max_payload_bytes=read.whole("max_payload_bytes", 1_000_000, 1_000),
            backfill_approve_above=read.whole("backfill_approve_above", 1_000_000, 0),
            lake_keep_h=read.whole("lake_keep_h", 720, 168),
        )

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

    def text(self, name: str, default: str) -> str:
        return self.env.get(_variable(name), "").strip() or default

    def names(self, name: str, default: str) -> tuple[str, ...]:
        return tuple(word for word in self.text(name, default).replace(",", " ").split() if word)

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value not in allowed:
            raise ConfigError(
                f"{_variable(name)} is {value!r}; set it to one of {', '.join(allowed)}"
            )
        return value

    def number(self, name: str, default: float) -> float:
        value = self.text(name, str(default))
        try:
            parsed = float(value)
        except ValueError:
            parsed = -1.0
        if not 0 <= parsed < float("inf"):
            raise ConfigError(f"{_variable(name)} is {value!r}; set it to a number of at least 0")
        return parsed

    def whole(self, name: str, default: int, least: int) -> int:
        value = self.text(name, str(default))
        if not value.isdecimal() or int(value) < least:
            raise ConfigError(
                f"{_variable(name)} is {value!r}; set it to a whole number from {least}"
            )
        return int(value)


def _variable(name: str) -> str:
    return f"TRUETAPE_{name.upper()}"
