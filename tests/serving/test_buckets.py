"""Buckets: the content of the shipped file, and the errors for a wrong file."""

from pathlib import Path

import pytest

from support.build import at
from truetape.host.errors import ConfigError
from truetape.host.resources import folder
from truetape.market.resolution import Resolution
from truetape.serving.buckets import Bucket, check_retention, load_buckets

DAY_S = 86_400
SHIPPED = (folder("influx") / "buckets.yaml").read_text(encoding="utf-8")


def test_the_live_set_has_the_retentions_of_production() -> None:
    buckets = load_buckets("live")

    assert list(buckets.bars.values()) == [
        Bucket("bars_1s", 7 * DAY_S, DAY_S),
        Bucket("bars_1m", 400 * DAY_S, 7 * DAY_S),
        Bucket("bars_5m", 730 * DAY_S, 28 * DAY_S),
        Bucket("bars_1h", 1_826 * DAY_S, 182 * DAY_S),
        Bucket("bars_1d", None, 364 * DAY_S),
    ]
    assert buckets.pipeline == Bucket("pipeline", 90 * DAY_S, 7 * DAY_S)


def test_the_history_set_never_expires_and_has_its_own_names() -> None:
    buckets = load_buckets("history")

    assert {bucket.retention_s for bucket in buckets.all} == {None}
    assert buckets.bars[Resolution.DAY] == Bucket("history_bars_1d", None, 364 * DAY_S)
    assert [bucket.name for bucket in buckets.all] == [
        f"history_{bucket.name}" for bucket in load_buckets("live").all
    ]


def test_every_bucket_has_so_few_shards_that_a_write_cannot_time_out() -> None:
    """20 years of daily bars are 21 shards; the 1,044 of the default shard size time out."""
    for bucket in load_buckets("live").all:
        kept = bucket.retention_s or 20 * 365 * DAY_S
        assert kept / bucket.shard_s < 60


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("version: 1", "version: 2", ", line 6: version is '2'; write one of 1"),
        ("retention: 7d", "retention: 7", ", line 10: sets.live.bars.1s.retention is '7'; write a"),
        ("retention: 7d", "retention: 30m", "is '30m'; write a whole number"),
        ("retention: 7d", "retention: 1.5d", "is '1.5d'; write a whole number"),
        ("shard: 1d", "shard: 8d", ", line 10: sets.live.bars.1s.shard is '8d', longer than"),
        ("bucket: bars_1s", "bucket: Bars", "bars.1s.bucket is 'Bars'; write lower-case"),
        ("bucket: bars_1s", "bucket: _bars", "bars.1s.bucket is '_bars'; write lower-case"),
        ("bucket: bars_1s", "bucket: bars_1m", "sets.live uses the bucket 'bars_1m' twice"),
        ("bucket: bars_1s", "bukket: bars_1s", "bars.1s.bukket is not known; known are bucket"),
        ("      1s: {bucket: bars_1s, retention: 7d, shard: 1d}\n", "", "bars lacks '1s'"),
        ("  live:", "  alive:", "sets lacks 'live'"),
        ("      5m: {bucket: bars_5m, retention: 730d, shard: 28d}", "      5m: x", "a mapping"),
        ("sets:", "sets: [", "line 9: not YAML"),
    ],
    ids=str,
)
def test_an_error_names_file_line_field_and_value(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    assert old in SHIPPED
    path = tmp_path / "buckets.yaml"
    path.write_text(SHIPPED.replace(old, new, 1), encoding="utf-8")

    with pytest.raises(ConfigError) as raised:
        load_buckets("live", path)

    assert str(path) in str(raised.value)
    assert complaint in str(raised.value)


@pytest.mark.parametrize("content", ["", "42", "[]"], ids=["empty", "number", "list"])
def test_a_file_that_is_not_a_mapping_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "buckets.yaml"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(ConfigError, match=str(path)):
        load_buckets("live", path)


def test_the_error_of_a_missing_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read"):
        load_buckets("live", tmp_path / "nowhere.yaml")


def test_retention_accepts_a_point_exactly_at_its_limit() -> None:
    buckets = load_buckets("live")
    second, now = buckets.bars[Resolution.SECOND], at("2026-11-20T17:00:00")
    limit = at("2026-11-13T17:00:00")

    check_retention(buckets, second, [now, limit], now)
    check_retention(buckets, second, [], now)
    with pytest.raises(ConfigError) as refused:
        check_retention(buckets, second, [now, limit - 1], now)

    assert str(refused.value) == (
        "bucket bars_1s keeps 7 days and the oldest point is of 2026-11-13T16:59:59+00:00, so "
        "InfluxDB would drop it; nothing was written. Old trades belong in the buckets that keep "
        'everything: set TRUETAPE_BUCKET_SET=history (it is "live")'
    )
