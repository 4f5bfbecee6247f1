"""Buckets: where each resolution is kept and for how long, read from `influx/buckets.yaml`.

Creates nothing; the stores do that (`ensure_buckets`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from truetape.host.declared_yaml import Node, read
from truetape.host.errors import ConfigError
from truetape.host.resources import folder
from truetape.market.resolution import SECOND_NS, Resolution

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
    root = read(path or folder("influx") / "buckets.yaml").mapping(("version", "sets"), ())
    root["version"].choice((str(VERSION),))
    chosen = root["sets"].mapping((set_name,))[set_name]
    parts = chosen.mapping(("bars", "pipeline"), ())
    bars = parts["bars"].mapping(tuple(resolution.value for resolution in Resolution), ())
    declared = Buckets(
        set_name,
        {resolution: _bucket(bars[resolution.value]) for resolution in Resolution},
        _bucket(parts["pipeline"]),
    )
    names = [bucket.name for bucket in declared.all]
    for name in names:
        if names.count(name) > 1:
            chosen.fail(f"uses the bucket {name!r} twice")
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


def _bucket(node: Node) -> Bucket:
    fields = node.mapping(("bucket", "retention", "shard"), ())
    name = fields["bucket"]
    if not _NAME.fullmatch(name.text()):
        name.fail(
            f"is {name.text()!r}; write lower-case letters, digits and _, starting with a letter"
        )
    keeps_all = fields["retention"].text() == "forever"
    retention = None if keeps_all else _seconds(fields["retention"])
    shard = _seconds(fields["shard"])
    if retention is not None and shard > retention:
        fields["shard"].fail(f"is {fields['shard'].text()!r}, longer than the retention")
    return Bucket(name.text(), retention, shard)


def _seconds(node: Node) -> int:
    match = _DURATION.fullmatch(node.text())
    length = int(match[1]) * _UNITS_S[match[2]] if match else 0
    if length < HOUR_S:
        node.fail(
            f"is {node.text()!r}; write a whole number and s, m, h, d or w, at least 1h, like 7d"
        )
    return length


def _days(seconds: int | None) -> str:
    return "everything" if seconds is None else f"{seconds / 86_400:g} days"


def _utc(time_ns: int) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_ns // SECOND_NS)).isoformat()
