"""Buckets: where each resolution is kept and for how long, read from `influx/buckets.yaml`.

Creates nothing; the stores do that (`ensure_buckets`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from truetape.errors import ConfigError
from truetape.market.resolution import SECOND_NS, Resolution
from truetape.resources import folder

VERSION = 1
HOUR_S = 3_600
"""InfluxDB takes no shorter retention and no shorter shard."""

_UNITS_S = {"s": 1, "m": 60, "h": HOUR_S, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhdw])")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket; `retention_s` None keeps everything. Data leaves in whole shards of `shard_s`."""

    name: str
    retention_s: int | None
    shard_s: int

    def oldest_ns(self, now_ns: int) -> int | None:
        """Return the oldest time the bucket takes now, None where it takes any."""
        return None if self.retention_s is None else now_ns - self.retention_s * SECOND_NS


@dataclass(frozen=True, slots=True)
class Buckets:
    """The buckets of one set: "live" expires, "history" keeps everything."""

    set_name: str
    bars: Mapping[Resolution, Bucket]
    pipeline: Bucket

    @property
    def all(self) -> tuple[Bucket, ...]:
        """Return every bucket of the set, the bars' from fine to coarse, then the pipeline's."""
        return *self.bars.values(), self.pipeline


def load_buckets(set_name: str, path: Path | None = None) -> Buckets:
    """Read one set of the declaration; ConfigError names file, line and field."""
    path = path or folder("influx") / "buckets.yaml"
    root = _Node.read(path)
    root.only("version", "sets")
    if root.at("version").value != VERSION:
        raise root.at("version").wrong(f"must be {VERSION}")
    chosen = root.at("sets").at(set_name)
    chosen.only("bars", "pipeline")
    bars = chosen.at("bars")
    bars.only(*(resolution.value for resolution in Resolution))
    declared = Buckets(
        set_name,
        {resolution: _bucket(bars.at(resolution.value)) for resolution in Resolution},
        _bucket(chosen.at("pipeline")),
    )
    names = [bucket.name for bucket in declared.all]
    for name in names:
        if names.count(name) > 1:
            raise chosen.wrong(f"uses the bucket {name!r} twice")
    return declared


def check_retention(buckets: Buckets, bucket: Bucket, times: Iterable[int], now_ns: int) -> None:
    """Raise ConfigError when a point is older than its bucket keeps: InfluxDB would drop it.

    The message names the bucket, its retention, the oldest point and the set of buckets to use
    instead.
    """
    limit = bucket.oldest_ns(now_ns)
    oldest = min(times, default=None)
    if limit is None or oldest is None or oldest >= limit:
        return
    raise ConfigError(
        f"bucket {bucket.name} keeps {_days(bucket.retention_s)} and the oldest point is of "
        f"{_utc(oldest)}, so InfluxDB would drop it; nothing was written. Old trades belong into "
        "the buckets that keep everything: set TRUETAPE_BUCKET_SET=history "
        f'(it is "{buckets.set_name}")'
    )


def _bucket(node: "_Node") -> Bucket:
    node.only("bucket", "retention", "shard")
    name = node.at("bucket")
    if not isinstance(name.value, str) or not _NAME.fullmatch(name.value):
        raise name.wrong("must be lower-case letters, digits and _, starting with a letter")
    retention = None if node.at("retention").value == "forever" else node.at("retention").seconds()
    shard = node.at("shard").seconds()
    if retention is not None and shard > retention:
        raise node.at("shard").wrong("must not be longer than the retention")
    return Bucket(name.value, retention, shard)


@dataclass(frozen=True, slots=True)
class _Node:
    """A value of the file with the place it came from, for messages."""

    path: Path
    field: str
    node: yaml.Node

    @classmethod
    def read(cls, path: Path) -> "_Node":
        try:
            node = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from error
        if node is None:
            raise ConfigError(f"{path}: is empty; restore it from the repository")
        return cls(path, "", node)

    @property
    def value(self) -> Any:
        loader = yaml.SafeLoader("")
        return loader.construct_document(self.node)

    def at(self, name: str) -> "_Node":
        for key, value in self._entries():
            if key.value == name:
                return _Node(self.path, f"{self.field}.{name}".lstrip("."), value)
        raise self.wrong(f"has no {name!r}")

    def only(self, *allowed: str) -> None:
        for key, _ in self._entries():
            if key.value not in allowed:
                unknown = _Node(self.path, f"{self.field}.{key.value}".lstrip("."), key)
                raise unknown.wrong(f"is unknown here; known: {', '.join(allowed)}")

    def seconds(self) -> int:
        match = _DURATION.fullmatch(str(self.value))
        length = int(match[1]) * _UNITS_S[match[2]] if match else 0
        if length < HOUR_S:
            raise self.wrong('must be a whole number and s, m, h, d or w, at least 1h, like "7d"')
        return length

    def wrong(self, what: str) -> ConfigError:
        line = self.node.start_mark.line + 1
        shown = f" is {self.value!r} and" if isinstance(self.node, yaml.ScalarNode) else ""
        return ConfigError(f"{self.path}:{line}: {self.field or 'the file'}{shown} {what}")

    def _entries(self) -> list[tuple[yaml.Node, yaml.Node]]:
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong("must be a mapping")
        return list(self.node.value)


def _days(seconds: int | None) -> str:
    return "everything" if seconds is None else f"{seconds / 86_400:g} days"


def _utc(time_ns: int) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_ns // SECOND_NS)).isoformat()
