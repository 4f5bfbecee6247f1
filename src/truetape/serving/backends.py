"""Opens the bar store that the settings name. Implements no store."""

from truetape.host.settings import Settings
from truetape.serving.store import BarStore


def open_store(settings: Settings) -> BarStore:
    """Open the store that `settings.store` names, with the buckets of `settings.bucket_set`.

    Contacts no server yet. A store cannot be pickled or shared between processes: open one in each
    Spark partition.
    """
    from truetape.serving.buckets import load_buckets

    buckets = load_buckets(settings.bucket_set)
    if settings.store == "embedded":
        from truetape.serving.embedded import EmbeddedStore

        return EmbeddedStore(settings.home / "bars.sqlite", buckets)
    from truetape.serving.influx import InfluxStore

    return InfluxStore.from_settings(settings, buckets)
