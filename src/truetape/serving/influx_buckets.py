"""Creates the declared buckets on an InfluxDB, and changes those that differ, by influxdb_client.

Deletes no bucket. What is declared is read in `buckets`.
"""

from typing import TYPE_CHECKING

from truetape.host.errors import ConfigError
from truetape.serving.buckets import Bucket, Buckets
from truetape.serving.http import InfluxHttp

if TYPE_CHECKING:
    from influxdb_client import BucketsApi
    from influxdb_client.domain.bucket import Bucket as ServerBucket
    from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules


def ensure(http: InfluxHttp, buckets: Buckets) -> list[str]:
    """Create missing buckets and correct the others; return one line for each change. Repeatable.

    Raise ConfigError if the organisation does not exist or the token may not do it.
    """
    with http.client() as client:
        organizations = client.organizations_api().find_organizations(org=http.org)
        if not organizations:
            raise ConfigError(
                f"InfluxDB at {http.url} has no organisation {http.org!r} that this token may see; "
                "check TRUETAPE_INFLUX_ORG, or use a token that may create buckets"
            )
        api = client.buckets_api()
        changes = [_ensure(api, bucket, organizations[0].id) for bucket in buckets.all]
    return [change for change in changes if change]


def _ensure(api: "BucketsApi", declared: Bucket, org_id: str) -> str | None:
    from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules

    rule = BucketRetentionRules(
        every_seconds=declared.retention_s or 0, shard_group_duration_seconds=declared.shard_s
    )
    bucket = _bucket(api, declared.name, org_id)
    if bucket is None:
        return _create(api, declared.name, org_id, rule)
    rules = bucket.retention_rules
    if rules and _durations(rules[0]) == _durations(rule):
        return None
    bucket.retention_rules = [rule]
    api.update_bucket(bucket)
    return f"changed {declared.name} from {list(map(_durations, rules))} to {[_durations(rule)]}"


def _bucket(api: "BucketsApi", name: str, org_id: str) -> "ServerBucket | None":
    from influxdb_client.rest import ApiException

    try:
        matches = api.find_buckets(name=name, org_id=org_id).buckets
    except ApiException as error:
        if error.status == 404:
            return None
        raise
    return matches[0] if matches else None


def _create(api: "BucketsApi", name: str, org_id: str, rule: "BucketRetentionRules") -> str | None:
    from influxdb_client.rest import ApiException

    try:
        api.create_bucket(bucket_name=name, org=org_id, retention_rules=[rule])
    except ApiException as error:
        if error.status == 422:  # another process created it meanwhile, from the same declaration
            return None
        raise
    return f"created {name}"


def _durations(rule: "BucketRetentionRules") -> tuple[int, int]:
    return rule.every_seconds, rule.shard_group_duration_seconds
