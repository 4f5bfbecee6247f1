"""An InfluxDB with the same market in both sets of buckets."""

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from support import influxd
from support.served_market import Served, served_market, write
from truetape.host.settings import Settings
from truetape.serving.buckets import load_buckets
from truetape.serving.http import InfluxHttp
from truetape.serving.influx import InfluxStore


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxHttp]:
    """A server of our own: boards name buckets as they are declared."""
    cache = Settings.from_env().cache
    running = influxd.start(influxd.binary(cache), tmp_path_factory.mktemp("influxd"))
    with closing(
        InfluxHttp(running.url, influxd.ORG, running.token, timeout_s=30, attempts=4)
    ) as opened:
        yield opened
    running.stop()


@pytest.fixture(scope="package")
def market(server: InfluxHttp) -> Served:
    """The market that both sets serve."""
    served = served_market(time.time_ns())
    for set_name in ("live", "history"):
        write(InfluxStore(server, load_buckets(set_name)), served)
    return served
