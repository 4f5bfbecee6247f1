"""The store on a real InfluxDB when the server, the network or the token fails."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from support import influxd
from support.build import NOON
from support.fault_proxy import FaultProxy, Mode
from support.influxd import InfluxServer
from support.serving import MINUTE_NS, bar, bars, own_buckets, prefixed
from truetape.host.errors import ConfigError, TransientError, VerificationError
from truetape.host.resources import folder
from truetape.host.settings import Secret
from truetape.market.resolution import Resolution
from truetape.serving import lines
from truetape.serving.bar_table import table_of
from truetape.serving.buckets import Buckets, load_buckets
from truetape.serving.digest import digests_of
from truetape.serving.http import InfluxHttp
from truetape.serving.influx import InfluxStore
from truetape.serving.store import ServedBar, WriteReport
from truetape.serving.writer import Batch, LineWriter

pytestmark = [pytest.mark.real, pytest.mark.faults]
MINUTE, FIVE = Resolution.MINUTE, Resolution.FIVE_MINUTES
DAY_NS = 1_440 * MINUTE_NS
WINDOW = (NOON - DAY_NS, NOON + DAY_NS)


def nothing(seconds: float) -> None:
    """Do not wait: tests of retries need no pause."""


@pytest.fixture
def buckets(influx_server: InfluxServer) -> Buckets:
    """Buckets that exist and are empty."""
    declared = own_buckets("history")
    with closing(connect(influx_server, declared)) as store:
        store.ensure_buckets()
    return declared


@pytest.fixture
def proxy(influx_server: InfluxServer) -> Iterator[FaultProxy]:
    """A proxy to the server that can inject faults."""
    with FaultProxy(influx_server.port, delay_s=0.3) as proxy:
        yield proxy


def connect(
    influx_server: InfluxServer,
    buckets: Buckets,
    *,
    url: str | None = None,
    token: Secret | None = None,
    timeout_s: float = 10,
    attempts: int = 3,
    sleep: Callable[[float], None] = nothing,
    max_batch_lines: int = 5_000,
) -> InfluxStore:
    server = InfluxHttp(
        url or influx_server.url,
        influxd.ORG,
        token or influx_server.token,
        timeout_s=timeout_s,
        attempts=attempts,
        sleep=sleep,
    )
    return InfluxStore(server, buckets, max_batch_lines=max_batch_lines)


def served(influx_server: InfluxServer, buckets: Buckets) -> list[ServedBar]:
    """Read all bars on a separate, healthy connection."""
    with closing(connect(influx_server, buckets)) as store:
        return list(store.read(MINUTE, *WINDOW))


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.LOSE_REPLY, Mode.BLACKHOLE], ids=str)
def test_a_write_succeeds_after_a_temporary_fault(
    influx_server: InfluxServer, buckets: Buckets, proxy: FaultProxy, mode: Mode
) -> None:
    def heal(seconds: float) -> None:
        proxy.set(Mode.PASS)

    rows = bars(10)
    proxy.set(mode)
    with closing(
        connect(influx_server, buckets, url=proxy.url, timeout_s=0.5, sleep=heal)
    ) as store:
        report = store.write(MINUTE, rows)

        assert (report.sent, report.stored) == (10, 10)
        assert store.traffic.retries == 1
    assert served(influx_server, buckets) == rows


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.LOSE_REPLY, Mode.BLACKHOLE], ids=str)
def test_a_permanent_fault_is_an_error_after_a_bounded_number_of_attempts(
    influx_server: InfluxServer, buckets: Buckets, proxy: FaultProxy, mode: Mode
) -> None:
    proxy.set(mode)
    with closing(connect(influx_server, buckets, url=proxy.url, timeout_s=0.3)) as store:
        with pytest.raises(TransientError, match="in 3 attempts"):
            store.write(MINUTE, bars(10))
        assert store.traffic.requests == 3

        with pytest.raises(TransientError, match="in 3 attempts"):
            list(store.read(MINUTE, *WINDOW))


def test_a_write_whose_reply_was_lost_is_stored_and_safe_to_repeat(
    influx_server: InfluxServer, buckets: Buckets, proxy: FaultProxy
) -> None:
    rows = bars(10)
    with closing(connect(influx_server, buckets, url=proxy.url)) as store:
        store.ping()  # so that a kept-alive connection loses its reply, too
        proxy.set(Mode.LOSE_REPLY)
        with pytest.raises(TransientError):
            store.write(MINUTE, rows)
        assert served(influx_server, buckets) == rows

        proxy.set(Mode.PASS)
        assert store.write(MINUTE, rows).stored == 10
    assert served(influx_server, buckets) == rows


def test_a_slow_answer_within_the_time_limit_needs_no_retry(
    influx_server: InfluxServer, buckets: Buckets, proxy: FaultProxy
) -> None:
    proxy.set(Mode.DELAY)
    with closing(connect(influx_server, buckets, url=proxy.url)) as store:
        assert store.write(MINUTE, bars(10)).stored == 10
        assert store.traffic.retries == 0


def test_a_write_to_a_frozen_server_fails_and_is_safe_to_repeat(
    influx_server: InfluxServer, buckets: Buckets
) -> None:
    rows = bars(10)
    with closing(connect(influx_server, buckets, timeout_s=0.3)) as store:
        influx_server.freeze()
        try:
            with pytest.raises(TransientError, match="safe to run this again"):
                store.write(MINUTE, rows)
        finally:
            influx_server.thaw()
    with closing(connect(influx_server, buckets)) as store:
        assert store.write(MINUTE, rows).stored == 10
    assert served(influx_server, buckets) == rows


def test_a_token_deleted_during_a_run_is_a_config_error(
    influx_server: InfluxServer, buckets: Buckets
) -> None:
    token_id, token = influx_server.token_for("read", "write")
    with closing(connect(influx_server, buckets, token=token)) as store:
        assert store.write(MINUTE, bars(1)).stored == 1
        influx_server.api("DELETE", f"/api/v2/authorizations/{token_id}")
        sent = store.traffic.requests

        with pytest.raises(ConfigError, match="TRUETAPE_INFLUX_TOKEN_FILE"):
            store.write(MINUTE, bars(2))
        with pytest.raises(ConfigError, match="401"):
            list(store.read(MINUTE, *WINDOW))
        assert store.traffic.requests == sent + 2
        assert token.reveal() not in repr(vars(store))


@pytest.mark.parametrize(
    ("right", "fails"), [("read", "write"), ("write", "read")], ids=["read-only", "write-only"]
)
def test_a_token_without_the_right_is_a_config_error(
    influx_server: InfluxServer, buckets: Buckets, right: str, fails: str
) -> None:
    _, token = influx_server.token_for(right)
    with closing(connect(influx_server, buckets, token=token)) as store:
        act = {
            "write": lambda: store.write(MINUTE, bars(1)),
            "read": lambda: list(store.read(MINUTE, *WINDOW)),
        }
        with pytest.raises(ConfigError, match="token"):
            act[fails]()


def test_a_missing_bucket_or_organisation_is_an_error_with_its_name(
    influx_server: InfluxServer,
) -> None:
    absent = own_buckets("history")
    with closing(connect(influx_server, absent)) as store:
        with pytest.raises(ConfigError, match=f"{absent.bars[MINUTE].name}.*truetape stack up"):
            store.write(MINUTE, bars(1))
        with pytest.raises(ConfigError, match=f"{absent.bars[MINUTE].name}.*truetape stack up"):
            list(store.read(MINUTE, *WINDOW))
    server = InfluxHttp(influx_server.url, "nobody", influx_server.token, timeout_s=5, attempts=1)
    with (
        closing(InfluxStore(server, absent)) as store,
        pytest.raises(ConfigError, match="TRUETAPE_INFLUX_ORG"),
    ):
        store.ensure_buckets()


def test_ensure_buckets_corrects_retention_and_shards(
    influx_server: InfluxServer,
) -> None:
    declared = own_buckets("live")
    minute = declared.bars[MINUTE]
    influx_server.api(
        "POST",
        "/api/v2/buckets",
        {
            "orgID": influx_server.org_id,
            "name": minute.name,
            "retentionRules": [{"type": "expire", "everySeconds": 7_200}],
        },
    )

    with closing(connect(influx_server, declared)) as store:
        changes = store.ensure_buckets()
        assert store.ensure_buckets() == []

    assert len(changes) == 6
    assert changes[1].startswith(f"changed {minute.name}")
    bucket = influx_server.api("GET", f"/api/v2/buckets?name={minute.name}")["buckets"][0]
    rule = bucket["retentionRules"][0]
    assert (rule["everySeconds"], rule["shardGroupDurationSeconds"]) == (34_560_000, 604_800)


def test_a_shorter_declared_retention_is_applied_and_older_bars_are_refused(
    influx_server: InfluxServer, tmp_path: Path
) -> None:
    """If one bar of a write is too old, none is stored; without it, the other is stored."""
    declared = (folder("influx") / "buckets.yaml").read_text()
    file = tmp_path / "buckets.yaml"
    file.write_text(declared.replace("retention: 400d, shard: 7d", "retention: 30d, shard: 7d"))
    now = time.time_ns() // MINUTE.width_ns * MINUTE.width_ns
    old, young = (bar(start_ns=now - days * DAY_NS) for days in (31, 29))
    prefix = f"t{secrets.token_hex(4)}_"
    before, after = (prefixed(load_buckets("live", path), prefix) for path in (None, file))
    with closing(connect(influx_server, before)) as store:
        store.ensure_buckets()
        assert store.write(MINUTE, [old]).stored == 1

    with closing(connect(influx_server, after)) as store:
        changes = store.ensure_buckets()
        sent = store.traffic.rows_written
        with pytest.raises(ConfigError) as refused:
            store.write(MINUTE, [young, replace(old, symbol="KO")])
        assert store.traffic.rows_written == sent
        assert [row.symbol for row in store.read(MINUTE, old.start_ns, now)] == ["IBM"]
        assert store.write(MINUTE, [young]).stored == 1

    [change] = changes
    assert change.startswith(f"changed {after.bars[MINUTE].name}")
    message = str(refused.value)
    assert f"bucket {after.bars[MINUTE].name} keeps 30 days" in message
    assert "nothing was written" in message
    assert "TRUETAPE_BUCKET_SET=history" in message
    listed = influx_server.api("GET", f"/api/v2/buckets?name={after.bars[MINUTE].name}")
    assert listed["buckets"][0]["retentionRules"][0]["everySeconds"] == 30 * 86_400


def write_raw(server: InfluxHttp, bucket: str, *texts: str) -> WriteReport:
    """Write lines that our encoder never produces."""
    return LineWriter(server, bucket).write([Batch(texts, (), set)])


def test_exactly_the_bad_lines_of_a_mixed_batch_are_dead(
    influx_server: InfluxServer, buckets: Buckets
) -> None:
    bad = [
        "m,t=a v= 1",
        "m,t=a v=1x 2",
        "m,t=a v=NaN 3",
        "m,t= v=1i 4",
        "m,t=a v=\"it's': odd 5",
        "m,t=a v=1i 99999999999999999999",
    ]
    good = [f"m,t=a v={number}i {number}" for number in range(10, 240)]
    mixed = [*good[:50], bad[0], *good[50:120], *bad[1:5], *good[120:], bad[5]]

    server = InfluxHttp(
        influx_server.url, influxd.ORG, influx_server.token, timeout_s=10, attempts=3, sleep=nothing
    )

    with closing(server):
        report = write_raw(server, buckets.pipeline.name, *mixed)

    assert (report.sent, report.stored) == (236, 230)
    assert [dead.line for dead in report.rejected] == bad
    assert all(dead.reason for dead in report.rejected)
    stored = influx_server.api(
        "GET", f"/query?db={buckets.pipeline.name}&q=SELECT%20count(v)%20FROM%20m"
    )
    assert stored["results"][0]["series"][0]["values"][0][1] == 230


WRITES: dict[str, Callable[[InfluxStore, list[ServedBar]], WriteReport]] = {
    "rows": lambda store, rows: store.write(MINUTE, rows),
    "table": lambda store, rows: store.write_table(MINUTE, table_of(rows)),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_rows_with_a_type_conflict_are_identified_by_reading_back(
    influx_server: InfluxServer,
    buckets: Buckets,
    write: Callable[[InfluxStore, list[ServedBar]], WriteReport],
) -> None:
    """InfluxDB answers "dropped=1" for any number of rows with a type conflict."""
    bucket = buckets.bars[MINUTE].name
    server = InfluxHttp(
        influx_server.url, influxd.ORG, influx_server.token, timeout_s=10, attempts=3
    )
    with closing(server):
        write_raw(server, bucket, f"bar,symbol=OTHER,venue=XNYS trades=1.5 {NOON}")
    rows = bars(20)

    with closing(connect(influx_server, buckets)) as store:
        report = write(store, rows)

        assert (report.sent, report.stored) == (20, 0)
        assert [dead.line for dead in report.rejected] == [lines.bar(row) for row in rows]
        assert all("field type conflict" in dead.reason for dead in report.rejected)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_each_row_that_the_server_drops_as_too_old_is_a_dead_line(
    influx_server: InfluxServer,
    buckets: Buckets,
    write: Callable[[InfluxStore, list[ServedBar]], WriteReport],
) -> None:
    """Somebody shortened the bucket below its declaration, so the check before the write passes."""
    name = buckets.bars[MINUTE].name
    bucket_id = influx_server.api("GET", f"/api/v2/buckets?name={name}")["buckets"][0]["id"]
    rules = [{"type": "expire", "everySeconds": 864_000, "shardGroupDurationSeconds": 86_400}]
    influx_server.api("PATCH", f"/api/v2/buckets/{bucket_id}", {"retentionRules": rules})
    now_ns = time.time_ns()
    rows = [
        bar(symbol=symbol, start_ns=now_ns - days * DAY_NS)
        for symbol in ("A", "B")
        for days in (400, 30, 1, 0)
    ]

    with closing(connect(influx_server, buckets)) as store:
        report = write(store, rows)

        assert report.stored == 4
        assert {dead.line for dead in report.rejected} == {
            lines.bar(row) for row in rows if row.start_ns < now_ns - 2 * DAY_NS
        }
        assert all("Retention Policy" in dead.reason for dead in report.rejected)
        stored = list(store.read(MINUTE, now_ns - 1_000 * DAY_NS, now_ns + 1))
        assert len(stored) == 4


READS_OF_5M: dict[str, Callable[[InfluxStore], object]] = {
    "digests": lambda store: store.digests(FIVE, "XNYS", *WINDOW),
    "bars": lambda store: list(store.read(FIVE, *WINDOW)),
    "tail": lambda store: store.tail(FIVE, "IBM", 3),
    "symbols": lambda store: store.symbols(FIVE),
    "indicators": lambda store: list(store.read_indicators(FIVE, *WINDOW)),
    "write": lambda store: store.write(FIVE, bars(1)),
}
"""What publish, verify, repair, show and the console do with one bucket."""


@pytest.mark.parametrize("call", READS_OF_5M.values(), ids=READS_OF_5M.keys())
def test_a_bucket_that_is_gone_is_named_and_not_tried_again(
    influx_server: InfluxServer, buckets: Buckets, call: Callable[[InfluxStore], object]
) -> None:
    """Of the five statements of `digests` InfluxDB says only "not executed"."""
    name = buckets.bars[FIVE].name
    bucket_id = influx_server.api("GET", f"/api/v2/buckets?name={name}")["buckets"][0]["id"]
    influx_server.api("DELETE", f"/api/v2/buckets/{bucket_id}")

    with closing(connect(influx_server, buckets)) as store:
        with pytest.raises(ConfigError, match=f"{name}.*truetape stack up"):
            call(store)
        store.ensure_buckets()
        call(store)


@pytest.mark.parametrize("action", ["read", "write"])
@pytest.mark.parametrize("call", READS_OF_5M.values(), ids=READS_OF_5M.keys())
def test_a_token_that_lacks_a_right_is_told_so(
    influx_server: InfluxServer,
    buckets: Buckets,
    call: Callable[[InfluxStore], object],
    action: str,
) -> None:
    """InfluxDB answers a read without the right as if there was no bucket."""
    _, token = influx_server.token_for(action)
    needed = "write" if call is READS_OF_5M["write"] else "read"
    with closing(connect(influx_server, buckets, token=token)) as store:
        if action == needed:
            call(store)
            return
        with pytest.raises(ConfigError, match=r"lacks the right|use a token that may"):
            call(store)


def test_an_organisation_that_is_not_there_is_named_by_every_request(
    influx_server: InfluxServer, buckets: Buckets
) -> None:
    other = InfluxHttp(influx_server.url, "nowhere", influx_server.token, timeout_s=5, attempts=1)
    with closing(InfluxStore(other, buckets)) as store:
        for call in (
            lambda: store.write(MINUTE, bars(1)),
            lambda: store.await_rollups(1),
            store.ensure_buckets,
            store.ensure_rollups,
        ):
            with pytest.raises(ConfigError, match="TRUETAPE_INFLUX_ORG"):
                call()


def test_reading_a_row_that_lacks_a_field_is_an_error(
    influx_server: InfluxServer, buckets: Buckets
) -> None:
    bucket = buckets.bars[MINUTE].name
    server = InfluxHttp(
        influx_server.url, influxd.ORG, influx_server.token, timeout_s=10, attempts=3
    )
    with closing(server):
        write_raw(server, bucket, f"bar,symbol=HALF,venue=XNYS open=1,high=2 {NOON}")

    with closing(connect(influx_server, buckets)) as store:
        store.write(MINUTE, bars(1))
        with pytest.raises(VerificationError, match="lacks fields"):
            list(store.read(MINUTE, *WINDOW))
        with pytest.raises(VerificationError, match="lacks fields"):
            store.read_table(MINUTE, *WINDOW)
        assert list(store.read(MINUTE, *WINDOW, symbols=["IBM"])) == bars(1)


def test_the_size_of_a_digest_query_does_not_change_the_digests(
    influx_server: InfluxServer, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With queries of 7 rows, or of 2 symbols, one symbol has a query of its own."""
    rows = [
        *bars(3, symbol="A"),
        *bars(3, symbol="it's"),
        *bars(30, symbol="C"),
        *bars(2, symbol="D"),
        *bars(1, symbol="E", final=False),
    ]
    wanted = digests_of(table_of(rows))
    with closing(connect(influx_server, buckets)) as store:
        store.write(MINUTE, rows)
        for limit, value in LIMITS.items():
            with monkeypatch.context() as changed:
                changed.setattr(f"truetape.serving.{limit}", value)
                before = store.traffic.requests
                assert store.digests(MINUTE, "XNYS", *WINDOW) == wanted
                assert store.traffic.requests - before == 1 + 3
                few = store.digests(MINUTE, "XNYS", *WINDOW, symbols=["D", "it's", "nope"])
                assert few == {name: wanted[name] for name in ("D", "it's")}
                final = store.final_counts(MINUTE, "XNYS", *WINDOW, symbols=list(wanted))
                assert final == {"A": 3, "it's": 3, "C": 30, "D": 2}


LIMITS = {"influx.MAX_FOLDED_ROWS": 7, "influxql.MAX_SYMBOLS_PER_QUERY": 2}


def test_reading_a_field_of_another_type_is_an_error(
    influx_server: InfluxServer, buckets: Buckets
) -> None:
    bucket = buckets.bars[MINUTE].name
    server = InfluxHttp(
        influx_server.url, influxd.ORG, influx_server.token, timeout_s=10, attempts=3
    )
    row = lines.bar(bar(symbol="OTHER"))
    assert isinstance(row, str)
    with closing(server):
        write_raw(server, bucket, row.replace("trades=17i", "trades=17.5"))

    with (
        closing(connect(influx_server, buckets)) as store,
        pytest.raises(VerificationError, match=r"bar.*not of its type.*17\.5"),
    ):
        list(store.read(MINUTE, *WINDOW))


def test_the_page_size_does_not_change_the_rows_read(
    influx_server: InfluxServer, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pages of 7 rows, one series needs many pages, and others share a page."""
    monkeypatch.setattr("truetape.serving.influxql.MAX_PAGE_ROWS", 7)
    rows = [
        *bars(3, symbol="A"),
        *bars(3, symbol="B"),
        *bars(30, symbol="C"),
        *bars(2, symbol="D", venue="ARCX"),
        *bars(7, symbol="D"),
    ]

    with closing(connect(influx_server, buckets, max_batch_lines=11)) as store:
        assert store.write(MINUTE, rows).stored == 45
        assert list(store.read(MINUTE, *WINDOW)) == rows
        assert list(store.read(MINUTE, *WINDOW, venue="XNYS", symbols=["C"])) == rows[6:36]
