"""Opens the bar store that the settings name. Implements no store."""

from collections.abc import Callable

from truetape.host.settings import Settings
from truetape.serving.store import BarStore


def open_store(settings: Settings, before_post: Callable[[], None] = lambda: None) -> BarStore:
    """Open the store that `settings.store` names, with the buckets of `settings.bucket_set`.

    Contacts no server yet. A store cannot be pickled or shared between processes: open one in each
    Spark partition. `before_post` is called before each request that changes data on a server; if
    it raises, the request is not sent.
    """
    from truetape.serving.buckets import load_buckets

    buckets = load_buckets(settings.bucket_set)
    if settings.store == "embedded":
        from truetape.serving.embedded import EmbeddedStore

        return EmbeddedStore(settings.home / "bars.sqlite", buckets)
    from truetape.serving.influx import InfluxStore

    return InfluxStore.from_settings(settings, buckets, before_post)
