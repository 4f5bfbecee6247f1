"""What a setting may be: bounds of numbers, forms of names, and what contradicts each other.

Reads no environment; `settings` does. A value out of bounds is a slip of the keyboard: it would be
accepted today and fail, or wait for ever, at night.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from truetape.host.addresses import loopback_port
from truetape.host.errors import ConfigError
from truetape.host.resources import schema_names

if TYPE_CHECKING:
    from truetape.host.settings import Settings

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_OWN_TOPICS = ("trades.rejected", "truetape.control", "truetape.heartbeat")
_MEMORY = re.compile(r"([1-9]\d{0,6})([mg])")
_SECRET_NAME = re.compile(
    r"(password|passphrase|secret|token|credentials?|(access|secret|account|session)[._-]?key)$"
    r"|account\.key\.",
    re.IGNORECASE,
)
_MAX_NAME = 128
PROGRESS_WITHIN_S = 60.0
"""How long a driver may end no batch before the supervisor restarts it: `speed.observation.POLICY`.
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the most of a number, both included, and why."""

    least: int
    most: int
    why: str

    def __str__(self) -> str:
        return f"from {self.least} to {self.most}"


_PORT = Bounds(1_024, 65_535, "lower ports belong to root, higher ones do not exist")

BOUNDS: Mapping[str, Bounds] = {
    "influx_port": _PORT,
    "airflow_port": _PORT,
    "kafka_retention_h": Bounds(
        1, 87_600, "the archive needs Kafka's records for minutes at least; ten years are for ever"
    ),
    "batch_delay_min": Bounds(0, 1_440, "a day later the next session is over, too"),
    "final_within_min": Bounds(1, 10_080, "an alert that comes after a week helps nobody"),
    "partitions": Bounds(1, 1_000, "each costs the broker files, and every batch a task"),
    "speed_trigger_s": Bounds(
        0, 30, "the supervisor restarts a driver that ends no batch for 60 s"
    ),
    "speed_lateness_s": Bounds(
        1, 86_400, "the driver has all bars of that time in its memory; a day is a session"
    ),
    "future_slack_ms": Bounds(0, 60_000, "a clock that is a minute ahead must be set first"),
    "speed_max_trades_per_batch": Bounds(
        100, 10_000_000, "fewer never catch up, more do not fit into a driver's memory"
    ),
    "speed_cores": Bounds(1, 1_024, "more than any cluster lends to one application"),
    "write_timeout_s": Bounds(
        1, 60, "a busy InfluxDB takes seconds; a takeover waits until the last write timed out"
    ),
    "write_attempts": Bounds(1, 10, "each may take the whole time limit"),
    "max_batch_lines": Bounds(
        1, 50_000, "InfluxDB advises 5,000; a request must end within its time limit"
    ),
    "seal_delay_s": Bounds(0, 60, "a publication waits so long, twice if it replaces final rows"),
    "max_payload_bytes": Bounds(
        1_000, 16_777_216, "a trade needs hundreds of bytes; Kafka takes records up to 16 MiB"
    ),
    "backfill_approve_above": Bounds(
        0, 1_000_000_000, "with 0 every plan waits for a person; a lake has no more in one commit"
    ),
    "lake_keep_h": Bounds(
        168, 87_600, "readers of older versions need a week; ten years are for ever"
    ),
}
"""The bounds of each setting that is a number."""


def topic(variable: str, text: str) -> str:
    """Return the name of the topic of trades. Raise ConfigError if Kafka or we refuse it."""
    if not _TOPIC.fullmatch(text) or text in (".", "..") or text in _OWN_TOPICS:
        raise ConfigError(
            f"{variable} is {_short(text)}; set it to up to 249 letters, digits, '.', '_' and '-', "
            f"and to none of {', '.join(_OWN_TOPICS)}"
        )
    return text


def name(variable: str, text: str) -> str:
    """Return a name of another system. Raise ConfigError if it is long or not printable."""
    if len(text) > _MAX_NAME or not text.isprintable():
        raise ConfigError(
            f"{variable} is {_short(text)}; set it to at most {_MAX_NAME} printable characters"
        )
    return text


def memory(variable: str, text: str) -> str:
    """Return an amount of memory for Spark. Raise ConfigError if it is not 512m to 1024g."""
    match = _MEMORY.fullmatch(text)
    mebibytes = 0 if match is None else int(match[1]) * (1_024 if match[2] == "g" else 1)
    if not 512 <= mebibytes <= 1_048_576:
        raise ConfigError(
            f"{variable} is {_short(text)}; set it from 512m to 1024g, like 3g: Spark does not "
            "start with less"
        )
    return text


def submit_options(variable: str, options: Sequence[str]) -> tuple[str, ...]:
    """Return options of spark-submit. Raise ConfigError if an option is no pair, or a secret."""
    for option in options:
        key, equals, value = option.partition("=")
        if not key.startswith("spark.") or not equals or not value:
            raise ConfigError(
                f"{variable} has {_short(key)}; give spark.name=value, separated by blanks"
            )
        if _SECRET_NAME.search(key) or "@" in value:
            raise ConfigError(
                f"{variable} has {_short(key)}, which looks like a secret: others can read it on a "
                "command line; put it into spark-defaults.conf, in the folder SPARK_CONF_DIR"
            )
    return tuple(options)


def declared_names(variable: str, names: Sequence[str], kind: str) -> tuple[str, ...]:
    """Return the names if `schemas/` declares each, once. `kind` is "feed", "profile", "venue"."""
    known = _declared(kind)
    for wanted in names:
        if wanted not in known:
            raise ConfigError(
                f"{variable} names the {kind} {_short(wanted)}, which is not declared; "
                f"there are {', '.join(known)}"
            )
        if names.count(wanted) > 1:
            raise ConfigError(f"{variable} names the {kind} {wanted!r} twice; remove one")
    if not names:
        raise ConfigError(f"{variable} names no {kind}; there are {', '.join(known)}")
    return tuple(names)


def require_no_contradiction(settings: "Settings", *, has_influx_url: bool) -> None:
    """Raise ConfigError if two settings contradict each other."""
    if settings.influx_external and not has_influx_url:
        raise ConfigError(
            "TRUETAPE_INFLUX_EXTERNAL is True, but TRUETAPE_INFLUX_URL is not set; set it, or "
            "unset TRUETAPE_INFLUX_EXTERNAL"
        )
    for problem in _contradictions(settings):
        raise ConfigError(problem)


def _contradictions(settings: "Settings") -> Iterator[str]:
    if settings.future_slack_ms > settings.speed_lateness_s * 1_000:
        yield (
            f"TRUETAPE_FUTURE_SLACK_MS is {settings.future_slack_ms}, more than "
            f"TRUETAPE_SPEED_LATENESS_S of {settings.speed_lateness_s} s: one clock that is ahead "
            "would make all other trades late; lower the slack or raise the lateness"
        )
    if not settings.influx_external and loopback_port(settings.influx_url) is None:
        yield (
            "TRUETAPE_INFLUX_EXTERNAL is False, but TRUETAPE_INFLUX_URL names another machine; "
            "unset TRUETAPE_INFLUX_EXTERNAL"
        )
    longest_write_s = settings.write_timeout_s * settings.write_attempts
    if longest_write_s > PROGRESS_WITHIN_S:
        yield (
            f"TRUETAPE_WRITE_TIMEOUT_S times TRUETAPE_WRITE_ATTEMPTS is {longest_write_s:g} s: "
            f"after {PROGRESS_WITHIN_S:g} s the supervisor restarts a driver that waits for a "
            "write; lower one of them"
        )
    yield from _launcher_problems(settings)
    yield from _port_problems(settings)


def _launcher_problems(settings: "Settings") -> Iterator[str]:
    launcher = settings.speed_launcher
    prefix = {"yarn": "yarn", "kubernetes": "k8s://"}.get(launcher)
    if prefix is None:
        return
    if not settings.spark_master.startswith(prefix):
        yield (
            f"TRUETAPE_SPEED_LAUNCHER is {launcher}, but TRUETAPE_SPARK_MASTER is "
            f"{settings.spark_master}; set it to {prefix}…, or the launcher to local"
        )
    if settings.store == "embedded":
        yield (
            f"TRUETAPE_SPEED_LAUNCHER is {launcher}, but TRUETAPE_STORE is embedded: a driver on "
            "another machine cannot reach that file; set TRUETAPE_STORE=influx"
        )


def _port_problems(settings: "Settings") -> Iterator[str]:
    ports = {
        "TRUETAPE_KAFKA": loopback_port(settings.kafka),
        "TRUETAPE_INFLUX_PORT": _influx_port(settings),
        "TRUETAPE_AIRFLOW_PORT": settings.airflow_port if settings.airflow else None,
    }
    used: dict[int, str] = {}
    for variable, port in ports.items():
        if port is not None and port in used:
            yield f"{used[port]} and {variable} have the same port {port}; change one"
        if port is not None:
            used[port] = variable


def _influx_port(settings: "Settings") -> int | None:
    """Return the port of our own InfluxDB, None if the stack starts none."""
    if settings.influx_external or settings.store == "embedded":
        return None
    return loopback_port(settings.influx_url)


def _declared(kind: str) -> list[str]:
    match kind:
        case "venue":
            from truetape.host.venues import venues  # reads YAML, which executors cannot

            return sorted(venues())
        case "profile":
            return schema_names("eligibility")
    return schema_names("feeds")


def _short(text: str) -> str:
    return repr(text if len(text) <= _MAX_NAME else f"{text[:_MAX_NAME]}…")
