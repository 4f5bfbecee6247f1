"""Sets Kafka and InfluxDB up for the containers, once: topics, buckets, roll-up tasks, tokens."""

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
    """Bring topics, buckets, tasks and tokens to what is declared. Safe to repeat.

    `settings.influx_token_file` holds the operator token, which a new InfluxDB is set up with.
    ConfigError when a secret is missing, or when InfluxDB was set up with another token.
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
    problem = api.query_problem(operator)
    if problem is not None:
        raise ConfigError(
            f"InfluxDB at {api.url} does not take the operator token of secrets/: {problem}; "
            "put the token that it was set up with back, or begin with an empty volume"
        )


def _ensure_buckets(settings: Settings, report: Callable[[str], None]) -> list[str]:
    from truetape.serving.backends import open_store
    from truetape.serving.buckets import load_buckets

    with closing(open_store(settings)) as store:
        for change in store.ensure_buckets() + store.ensure_rollups():
            report(change)
    return [bucket.name for bucket in load_buckets(settings.bucket_set).all]


def _secret(file: Path) -> Secret:
    found = secret_files.read(file)
    if found is None:
        raise ConfigError(f"no secret in {file}; make it with: make env")
    return found
