"""Buckets: where each resolution is stored and for how long, read from `influx/buckets.yaml`.

Creates no bucket: `ensure_buckets` of the stores does.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from truetape.host.declared_yaml import WORD, Declared, Text, problem, read
from truetape.host.errors import ConfigError
from truetape.host.resources import folder
from truetape.market.resolution import SECOND_NS, Resolution

HOUR_S = 3_600
"""InfluxDB takes no shorter retention and no shorter shard."""
FOREVER = "forever"
"""A retention that keeps everything."""

_UNITS_S = {"s": 1, "m": 60, "h": HOUR_S, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhdw])")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket. `retention_s` None keeps everything. Data expires in shards of `shard_s`."""

    name: str
    retention_s: int | None
    shard_s: int

    def oldest_ns(self, now_ns: int) -> int | None:
        """Return the oldest time that the bucket accepts now, None if it accepts every time."""
        return None if self.retention_s is None else now_ns - self.retention_s * SECOND_NS


@dataclass(frozen=True, slots=True)
class Buckets:
    """The buckets of one set. "live" expires; "history" keeps everything."""

    set_name: str
    bars: Mapping[Resolution, Bucket]
    pipeline: Bucket

    @property
    def all(self) -> tuple[Bucket, ...]:
        """Return every bucket: those of the bars from fine to coarse, then the pipeline's."""
        return *self.bars.values(), self.pipeline


def load_buckets(set_name: str, path: Path | None = None) -> Buckets:
    """Return one set of the declared buckets. Raise ConfigError with file, line and field."""
    file = path or folder("influx") / "buckets.yaml"
    sets = read(file, _BucketsFile).sets
    if set_name not in sets:
        raise ConfigError(f"{file}: sets lacks {set_name!r}; it has {', '.join(sets)}")
    return sets[set_name].buckets(set_name)


def check_retention(buckets: Buckets, bucket: Bucket, times: Iterable[int], now_ns: int) -> None:
    """Raise ConfigError if a point is older than the bucket's retention: InfluxDB would drop it.

    The message has the bucket, its retention, the oldest point and the set of buckets to use.
    """
    limit = bucket.oldest_ns(now_ns)
    oldest = min(times, default=None)
    if limit is None or oldest is None or oldest >= limit:
        return
    raise ConfigError(
        f"bucket {bucket.name} keeps {_days(bucket.retention_s)} and the oldest point is of "
        f"{_utc(oldest)}, so InfluxDB would drop it; nothing was written. Old trades belong in "
        "the buckets that keep everything: set TRUETAPE_BUCKET_SET=history "
        f'(it is "{buckets.set_name}")'
    )


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"is {name!r}; write lower-case letters, digits and _, starting with a letter"
        )
    return name


def _check_duration(text: str) -> str:
    if text != FOREVER and _seconds(text) < HOUR_S:
        raise ValueError(
            f"is {text!r}; write a whole number and s, m, h, d or w, at least 1h, like 7d"
        )
    return text


def _check_finite(text: str) -> str:
    if text == FOREVER:
        raise ValueError(f"is {text!r}; a shard has a length, like 7d")
    return text


def _seconds(text: str) -> int:
    """Return the length of a duration such as "7d", 0 for a text that is none."""
    match = _DURATION.fullmatch(text)
    return int(match[1]) * _UNITS_S[match[2]] if match else 0


_Duration = Annotated[Text, AfterValidator(_check_duration)]


class _BucketEntry(Declared):
    name: Annotated[Text, AfterValidator(_check_name)] = Field(alias="bucket")
    retention: _Duration
    shard: Annotated[_Duration, AfterValidator(_check_finite)]

    @model_validator(mode="after")
    def _check_shard(self) -> Self:
        if self.retention != FOREVER and _seconds(self.shard) > _seconds(self.retention):
            raise problem(f"is {self.shard!r}, longer than the retention", "shard")
        return self

    def bucket(self) -> Bucket:
        keeps_all = self.retention == FOREVER
        retention_s = None if keeps_all else _seconds(self.retention)
        return Bucket(self.name, retention_s, _seconds(self.shard))


def _check_complete(bars: dict[Resolution, _BucketEntry]) -> dict[Resolution, _BucketEntry]:
    for resolution in Resolution:
        if resolution not in bars:
            raise ValueError(f"lacks {resolution.value!r}")
    return bars


_BarBuckets = dict[Annotated[Resolution, WORD], _BucketEntry]


class _BucketSet(Declared):
    bars: Annotated[_BarBuckets, AfterValidator(_check_complete)]
    pipeline: _BucketEntry

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = Counter(entry.name for entry in (*self.bars.values(), self.pipeline))
        for name, uses in names.items():
            if uses > 1:
                raise ValueError(f"uses the bucket {name!r} twice")
        return self

    def buckets(self, set_name: str) -> Buckets:
        bars = {resolution: self.bars[resolution].bucket() for resolution in Resolution}
        return Buckets(set_name, bars, self.pipeline.bucket())


class _BucketsFile(Declared):
    version: Literal["1"]  # of the file format
    sets: dict[str, _BucketSet]


def _days(seconds: int | None) -> str:
    return "everything" if seconds is None else f"{seconds / 86_400:g} days"


def _utc(time_ns: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_ns // SECOND_NS)).isoformat()
