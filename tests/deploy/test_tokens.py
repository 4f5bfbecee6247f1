"""Tokens by role on a real InfluxDB: each can do its work, and nothing else."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support import influxd
from support.composed import Host
from support.influxd import InfluxServer
from truetape.broker import topics
from truetape.deploy import stores_init
from truetape.deploy.stores_init import prepare_stores
from truetape.deploy.tokens import GRAFANA, READER, ROLES, WRITER, permissions
from truetape.host.errors import ConfigError
from truetape.host.http import call
from truetape.host.settings import Settings
from truetape.serving.backends import open_store
from truetape.serving.buckets import load_buckets
from truetape.serving.store import BarStore, Point

NOW_NS = time.time_ns()
BARS = ["bars_1s", "bars_1m", "bars_5m", "bars_1h", "bars_1d", "pipeline"]


def test_a_writer_writes_bars_and_reads_tasks_and_a_reader_only_reads_bars() -> None:
    assert permissions(READER, "o", ["b"]) == [
        {"action": "read", "resource": {"type": "buckets", "id": "b", "orgID": "o"}}
    ]
    assert permissions(GRAFANA, "o", ["b"]) == permissions(READER, "o", ["b"])
    assert permissions(WRITER, "o", ["b"]) == [
        {"action": "read", "resource": {"type": "buckets", "id": "b", "orgID": "o"}},
        {"action": "write", "resource": {"type": "buckets", "id": "b", "orgID": "o"}},
        {"action": "read", "resource": {"type": "orgs", "id": "o"}},
        {"action": "read", "resource": {"type": "tasks", "orgID": "o"}},
    ]


class Prepared:
    """An InfluxDB that was set up as the container `stores-init` does it."""

    def __init__(self, settings: Settings, host: Host, tokens: Path) -> None:
        self.settings, self.host, self.tokens = settings, host, tokens
        self.said: list[str] = []

    def again(self) -> list[str]:
        """Set up once more; return what was done."""
        self.said.clear()
        password = self.host.secret("influx-password")
        prepare_stores(self.settings, password, self.tokens, self.said.append)
        return list(self.said)

    def token(self, role: str) -> str:
        return (self.tokens / role / "token").read_text().strip()

    def status(self, role: str, method: str, path: str, body: bytes = b"") -> int:
        """What the server answers to who has the token of a role."""
        headers = {"Authorization": f"Token {self.token(role)}", "Content-Type": "text/plain"}
        return call(self.settings.influx_url, method, path, body, headers).status

    def store(self, role: str) -> BarStore:
        file = self.tokens / role / "token"
        return open_store(replace(self.settings, influx_token_file=file))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    """One new influxd, with the secrets of a new host; Kafka's topics are another test's."""
    folder = tmp_path_factory.mktemp("stores")
    host = Host.made(folder / "host")
    settings = Settings.from_env({"TRUETAPE_HOME": str(folder / "home")})
    server, url = influxd.start_new(influxd.binary(settings.cache), folder)
    patch = pytest.MonkeyPatch()
    patch.setattr(topics, "ensure_topics", lambda *_: None)
    ready = replace(
        settings, influx_url=url, influx_token_file=host.secret("influx-operator-token")
    )
    try:
        made = Prepared(ready, host, folder / "tokens")
        made.again()
        yield made
    finally:
        patch.undo()
        server.terminate()
        server.wait(influxd.STOP_TIMEOUT_S)


pytestmark = pytest.mark.real


def write_path(bucket: str) -> str:
    return f"/api/v2/write?org=truetape&bucket={bucket}"


def read_path(bucket: str) -> str:
    return f"/query?db={bucket}&q=select+*+from+bar+limit+1"


def test_each_role_gets_its_own_token(prepared: Prepared) -> None:
    assert len({prepared.token(role.name) for role in ROLES}) == 3
    modes = {
        role.name: (prepared.tokens / role.name / "token").stat().st_mode & 0o777 for role in ROLES
    }
    assert modes == {"writer": 0o600, "reader": 0o600, "grafana": 0o444}


@pytest.mark.parametrize("bucket", BARS)
def test_only_the_writer_can_write(prepared: Prepared, bucket: str) -> None:
    assert prepared.status("writer", "POST", write_path(bucket), b"mark n=1i") == 204
    for role in ("reader", "grafana"):
        assert prepared.status(role, "POST", write_path(bucket), b"mark n=1i") == 403


@pytest.mark.parametrize("role", ["writer", "reader", "grafana"])
def test_every_role_can_read_bars(prepared: Prepared, role: str) -> None:
    flux = b'from(bucket: "bars_1m") |> range(start: -1m) |> limit(n: 1)'
    headers = {
        "Authorization": f"Token {prepared.token(role)}",
        "Content-Type": "application/vnd.flux",
    }
    answer = call(prepared.settings.influx_url, "POST", "/api/v2/query?org=truetape", flux, headers)

    assert (answer.status, b"error" in answer.body) == (200, False)
    assert prepared.status(role, "GET", read_path("bars_1m")) == 200


@pytest.mark.parametrize("role", ["writer", "reader", "grafana"])
def test_no_role_can_read_another_bucket(prepared: Prepared, role: str) -> None:
    operator = prepared.host.secret("influx-operator-token").read_text().strip()
    headers = {"Authorization": f"Token {operator}", "Content-Type": "application/json"}
    url = prepared.settings.influx_url
    org = call(url, "GET", "/api/v2/orgs?org=truetape", None, headers)
    body = b'{"orgID": "%s", "name": "payroll"}' % org.body.split(b'"id": "')[1][:16]
    assert call(url, "POST", "/api/v2/buckets", body, headers).status in (201, 422)

    assert prepared.status(role, "POST", write_path("payroll"), b"mark n=1i") in (403, 404)
    flux = b'from(bucket: "payroll") |> range(start: -1m)'
    asked = headers | {
        "Authorization": f"Token {prepared.token(role)}", "Content-Type": "application/vnd.flux",
    }  # fmt: skip
    answer = call(url, "POST", "/api/v2/query?org=truetape", flux, asked)
    assert answer.status == 404  # one that may not see it is told that there is none


@pytest.mark.parametrize("role", ["writer", "reader", "grafana"])
def test_no_role_can_create_tokens_buckets_or_tasks(prepared: Prepared, role: str) -> None:
    for path in ("/api/v2/authorizations", "/api/v2/buckets", "/api/v2/tasks"):
        assert prepared.status(role, "POST", path, b"{}") >= 400, path
    assert prepared.status(role, "GET", "/api/v2/authorizations") in (200, 401, 403)
    answer = call(
        prepared.settings.influx_url, "GET", "/api/v2/authorizations", None,
        {"Authorization": f"Token {prepared.token(role)}"},
    )  # fmt: skip
    assert b'"token"' not in answer.body or b'"authorizations": []' in answer.body


def test_the_store_works_with_the_writer_s_token(prepared: Prepared) -> None:
    """What the layers do: a point there and back; nothing to change of buckets and tasks."""
    with closing(prepared.store("writer")) as store:
        assert store.ensure_buckets() + store.ensure_rollups() == []
        assert store.ping() > 0
        store.await_rollups(60)


def test_the_store_reads_with_the_reader_s_token(prepared: Prepared) -> None:
    with closing(prepared.store("writer")) as store:
        store.write_points([Point("canary", {"writer": "test"}, NOW_NS, {"nonce": 7})])
    with closing(prepared.store("reader")) as store:
        found = list(store.read_points("canary", NOW_NS, NOW_NS + 1))

    assert [point.fields["nonce"] for point in found] == [7]


def test_a_second_time_changes_nothing(prepared: Prepared) -> None:
    before = [prepared.token(role.name) for role in ROLES]

    assert prepared.again() == []
    assert [prepared.token(role.name) for role in ROLES] == before


def test_a_lost_token_is_replaced_and_the_old_one_revoked(prepared: Prepared) -> None:
    old = prepared.token("grafana")
    (prepared.tokens / "grafana" / "token").unlink()

    assert prepared.again() == ["created a token for the grafana"]
    headers = {"Authorization": f"Token {old}"}
    path = read_path("bars_1m")
    assert call(prepared.settings.influx_url, "GET", path, None, headers).status == 401
    assert prepared.status("grafana", "GET", path) == 200


def test_a_token_with_too_many_permissions_is_replaced(prepared: Prepared) -> None:
    """Another set of buckets, or a hand that helped: what it may do is compared, not believed."""
    api = stores_init.InfluxApi(prepared.settings.influx_url, "truetape")
    operator = stores_init._secret(prepared.settings.influx_token_file)
    wide: list[dict[str, Any]] = [
        {"action": "write", "resource": {"type": "buckets", "orgID": api.org_id(operator)}}
    ]
    [listed] = [
        one for one in api.authorizations(operator) if one["description"] == READER.description
    ]
    api.revoke(operator, listed["id"])
    token = api.new_token(operator, api.org_id(operator), READER.description, wide)
    (prepared.tokens / "reader" / "token").write_text(token.reveal())

    assert prepared.again() == ["created a token for the reader"]
    assert prepared.status("reader", "POST", write_path("bars_1m"), b"mark n=1i") == 403


def test_the_declared_buckets_and_tasks_exist(prepared: Prepared) -> None:
    api = stores_init.InfluxApi(prepared.settings.influx_url, "truetape")
    operator = stores_init._secret(prepared.settings.influx_token_file)

    assert set(BARS) <= set(api.bucket_ids(operator))
    assert [bucket.name for bucket in load_buckets("live").all] == BARS


def test_a_server_that_was_set_up_with_another_token_is_refused(prepared: Prepared) -> None:
    stranger = prepared.host.folder / "stranger"
    stranger.write_text("not-the-operator")
    stranger.chmod(0o600)
    settings = replace(prepared.settings, influx_token_file=stranger)

    with pytest.raises(ConfigError, match="refuses the token of secrets/: restore") as error:
        prepare_stores(
            settings, prepared.host.secret("influx-password"), prepared.tokens, pytest.fail
        )
    assert "not-the-operator" not in str(error.value)


def test_the_server_runs_with_what_the_compose_file_gives_it(tmp_path: Path) -> None:
    port = influxd.free_port()
    places = {":8086": f"127.0.0.1:{port}", "/var/lib/influxdb2": str(tmp_path)}
    env = Host.made(tmp_path / "host").environment("influxdb", places)
    program = influxd.binary(Settings.from_env({}).cache)

    server: InfluxServer | Any = influxd.spawn([str(program), "run"], port, tmp_path, env)
    try:
        answer = call(f"http://127.0.0.1:{port}", "GET", "/health", None, {})
        assert answer.status == 200
        assert (tmp_path / "influxd.bolt").exists()
        assert (tmp_path / "engine").is_dir()
        profile = call(f"http://127.0.0.1:{port}", "GET", "/debug/pprof/all", None, {})
        assert profile.status != 200 or b"heap" not in profile.body
    finally:
        server.terminate()
        server.wait(influxd.STOP_TIMEOUT_S)
