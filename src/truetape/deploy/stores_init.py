"""Set up Kafka and InfluxDB for the containers: topics, buckets, roll-up tasks, tokens.

Starts no server.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from truetape.broker import topics
from truetape.deploy.tokens import ensure_tokens
from truetape.host import secret_files
from truetape.host.errors import ConfigError
from truetape.host.settings import Secret, Settings
from truetape.stack.influx_api import InfluxApi

_USER = "truetape"


def prepare_stores(
    settings: Settings, password_file: Path, tokens: Path, report: Callable[[str], None]
) -> None:
    """Create or change topics, buckets, tasks and tokens as declared. Safe to repeat.

    `settings.influx_token_file` has the operator token; a new InfluxDB is set up with it. Raise
    ConfigError if a secret is missing, or if InfluxDB was set up with another token.
    """
    topics.ensure_topics(settings.kafka, settings, report)
    operator = _secret(settings.influx_token_file)
    api = InfluxApi(settings.influx_url, settings.influx_org)
    _set_up(api, _secret(password_file), operator, report)
    names = _ensure_buckets(settings, report)
    ensure_tokens(api, operator, names, tokens, report)


def _set_up(
    api: InfluxApi, password: Secret, operator: Secret, report: Callable[[str], None]
) -> None:
    if api.is_new():
        api.set_up(_USER, password, operator)
        report(f"set InfluxDB up for organisation {api.org}")
    try:
        problem = api.query_problem(operator)
    except ConfigError as refused:
        raise ConfigError(
            f"{refused} of secrets/: restore the operator token that it was set up with, "
            "or start with an empty volume"
        ) from None
    if problem is not None:
        raise ConfigError(f"InfluxDB at {api.url} does not answer the operator: {problem}")


def _ensure_buckets(settings: Settings, report: Callable[[str], None]) -> list[str]:
    from truetape.serving.backends import open_store
    from truetape.serving.buckets import load_buckets

    with closing(open_store(settings)) as store:
        for change in store.ensure_buckets() + store.ensure_rollups():
            report(change)
    return [bucket.name for bucket in load_buckets(settings.bucket_set).all]


def _secret(file: Path) -> Secret:
    secret = secret_files.read(file)
    if secret is None:
        raise ConfigError(f"{file} does not exist; create it with: make env")
    return secret
