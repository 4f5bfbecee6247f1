"""The stack with its real servers. A test that stops or kills one brings it back."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import pytest
from click.testing import CliRunner

from support.wait import until
from truetape.broker import topics
from truetape.cli.main import truetape
from truetape.host import secret_files
from truetape.host.errors import ConfigError
from truetape.host.process import birth
from truetape.host.settings import Secret, Settings
from truetape.market.resolution import Resolution
from truetape.serving.backends import open_store
from truetape.serving.buckets import load_buckets
from truetape.stack import lifecycle as local_stack
from truetape.stack.lifecycle import PartState, PartStatus
from truetape.stack.server import is_listening

pytestmark = pytest.mark.real

YEAR_2013_MS = 1_381_161_600_000
YEAR_2099_MS = 4_070_908_800_000
LISTEN = "0A"


def silent(_: str) -> None:
    """Report nothing."""


def parts(settings: Settings) -> dict[str, PartStatus]:
    """Return the status of each part that the settings need."""
    needed = local_stack.needed_parts(settings)
    return {status.part: status for status in local_stack.status(settings) if status.part in needed}


def pid_of(settings: Settings, part: str) -> int:
    """The process of a running part."""
    pid = parts(settings)[part].pid
    assert pid is not None
    return pid


def port_of(address: str) -> int:
    """The port at the end of an address."""
    return int(address.rpartition(":")[2])


def sockets(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    links = (str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir())
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def listening_on(pid: int) -> set[str]:
    """The addresses a process listens on, in the kernel's hex (proc_net(5)), IPv4 and IPv6."""
    mine = sockets(pid)
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    return {row[1].rpartition(":")[0] for row in rows if row[3] == LISTEN and row[9] in mine}


def influx(settings: Settings, method: str, path: str, body: bytes, token: str) -> tuple[int, str]:
    """Call InfluxDB's HTTP API as any client would."""
    connection = HTTPConnection("127.0.0.1", port_of(settings.influx_url), timeout=10)
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/vnd.flux"}
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    answer = response.status, response.read().decode()
    connection.close()
    return answer


def token(settings: Settings) -> str:
    """The operator token."""
    return settings.influx_token_file.read_text().strip()


def org_id(settings: Settings) -> str:
    """The id of the stack's organisation."""
    status, text = influx(settings, "GET", "/api/v2/orgs?org=truetape", b"", token(settings))
    assert status == 200
    return str(json.loads(text)["orgs"][0]["id"])


def make_bucket(settings: Settings, name: str) -> None:
    """Create a bucket of a test's own."""
    wanted = json.dumps({"orgID": org_id(settings), "name": name, "retentionRules": []})
    status, text = influx(settings, "POST", "/api/v2/buckets", wanted.encode(), token(settings))
    assert status == 201, text


def write(settings: Settings, bucket: str, line: str, as_token: str | None = None) -> int:
    """Write one line and return the status."""
    path = f"/api/v2/write?org=truetape&bucket={bucket}"
    return influx(settings, "POST", path, line.encode(), as_token or token(settings))[0]


def query(settings: Settings, bucket: str, as_token: str | None = None) -> str:
    """Read everything in a bucket as CSV."""
    flux = f'from(bucket: "{bucket}") |> range(start: 0)'.encode()
    path = "/api/v2/query?org=truetape"
    status, text = influx(settings, "POST", path, flux, as_token or token(settings))
    assert status == 200, text
    return text


def send(bootstrap: str, payload: bytes, timestamp_ms: int, topic: str = "trades") -> int:
    """Send one record to partition 0 and return its offset, once acknowledged by the broker."""
    from kafka import KafkaProducer

    with KafkaProducer(
        bootstrap_servers=bootstrap, acks="all", max_request_size=20_000_000
    ) as producer:
        headers = [("feed", b"truetape"), ("received_ns", b"17")]
        sent = producer.send(topic, payload, b"IBM", headers, 0, timestamp_ms)
        return int(sent.get(timeout=30).offset)


def record(bootstrap: str, offset: int, topic: str = "trades") -> object:
    """Read one record of partition 0."""
    from kafka import KafkaConsumer, TopicPartition

    with KafkaConsumer(
        bootstrap_servers=bootstrap, max_partition_fetch_bytes=20_000_000
    ) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, offset)
        found = consumer.poll(timeout_ms=20_000, max_records=1)
        return found[partition][0]


@pytest.fixture
def brought_back(stack: Settings) -> Iterator[Settings]:
    """A stack that may be stopped or killed: it runs again after the test."""
    yield stack
    local_stack.up(stack, report=silent)


def test_a_second_up_adopts_the_running_servers(stack: Settings) -> None:
    before = {name: one.pid for name, one in parts(stack).items()}
    said: list[str] = []

    local_stack.up(stack, report=said.append)

    assert {name: one.pid for name, one in parts(stack).items()} == before
    assert [line for line in said if "already runs" in line] == said[:2]
    assert len(before) == 2


def test_status_names_a_bucket_that_is_gone(stack: Settings) -> None:
    with closing(open_store(stack)) as store:
        store.ensure_buckets()
        name = load_buckets(stack.bucket_set).bars[Resolution.FIVE_MINUTES].name
        _, text = influx(stack, "GET", f"/api/v2/buckets?name={name}", b"", token(stack))
        gone = json.loads(text)["buckets"][0]["id"]
        influx(stack, "DELETE", f"/api/v2/buckets/{gone}", b"", token(stack))
        try:
            status = parts(stack)["influx"]
        finally:
            store.ensure_buckets()

    assert status.state is PartState.UNHEALTHY
    assert f"no bucket {name} that the token may see; `truetape stack up`" in str(status.problem)
    assert parts(stack)["influx"].state is PartState.RUNNING


def test_status_reports_pid_memory_and_data(stack: Settings) -> None:
    for one in parts(stack).values():
        assert one.state is PartState.RUNNING
        assert one.problem is None
        assert one.pid is not None
        assert one.memory_bytes is not None
        assert one.memory_bytes > 20_000_000
        assert one.data_bytes is not None
        assert one.since is not None


def test_every_listener_is_on_loopback(stack: Settings) -> None:
    for one in parts(stack).values():
        assert one.pid is not None
        assert listening_on(one.pid) == {"0100007F"}  # 127.0.0.1, the kernel's byte order


def test_secrets_are_private_and_appear_in_no_other_file(stack: Settings) -> None:
    files = sorted((stack.home / "secrets").iterdir())
    assert [file.name for file in files] == ["influx-password", "influx-read-token", "influx-token"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert stack.home.stat().st_mode & 0o077 == 0

    secrets = [file.read_bytes().strip() for file in files]
    open_to_others = [
        *Path("/proc").glob("[0-9]*/cmdline"),
        *(Path(f"/proc/{one.pid}/environ") for one in parts(stack).values()),
        *(stack.home / "logs").iterdir(),
        *(stack.home / "run").iterdir(),
        stack.home / "influx" / "config.json",
        stack.home / "kafka" / "server.properties",
    ]
    for path in open_to_others:
        try:
            content = path.read_bytes()
        except (FileNotFoundError, ProcessLookupError):  # a process that ended meanwhile
            continue
        assert not [secret for secret in secrets if secret in content], path


def test_the_read_token_cannot_write(stack: Settings) -> None:
    make_bucket(stack, "readers")
    assert write(stack, "readers", "m v=1 1000") == 204
    readers = (stack.home / "secrets" / "influx-read-token").read_text().strip()

    assert ",1,v,m" in query(stack, "readers", readers)
    assert write(stack, "readers", "m v=2 2000", readers) == 403


def test_a_revoked_token_is_named_at_once_and_replaced_with_the_password_of_the_home(
    stack: Settings, tmp_path: Path
) -> None:
    own = replace(stack, influx_token_file=tmp_path / "token")
    secret_files.write(own.influx_token_file, Secret("revoked"))

    assert "`truetape stack renew-token`" in (parts(own)["influx"].problem or "")
    with pytest.raises(ConfigError, match="renew-token"):
        local_stack.up(own, ["influx"], silent)
    done = CliRunner(env=own.to_env()).invoke(truetape, ["stack", "renew-token"])
    assert done.exit_code == 0, done.output
    local_stack.up(own, ["influx"], silent)

    assert parts(own)["influx"].state is PartState.RUNNING
    assert token(own) not in {"revoked", token(stack)}
    assert token(own) not in done.output
    assert own.influx_token_file.stat().st_mode & 0o777 == 0o600
    make_bucket(own, "renewed")
    readers = (stack.home / "secrets" / "influx-read-token").read_text().strip()
    assert (write(own, "renewed", "m v=1 1000"), write(own, "renewed", "m v=1 1000", readers)) == (
        204,
        403,
    )


def test_no_bucket_is_left_over_from_the_setup(stack: Settings) -> None:
    _, text = influx(stack, "GET", "/api/v2/buckets", b"", token(stack))

    assert "setup" not in {bucket["name"] for bucket in json.loads(text)["buckets"]}


def described(bootstrap: str, topic: str) -> Mapping[str, Mapping[str, str]]:
    """A topic's configuration as the broker tells it."""
    from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

    with KafkaAdminClient(bootstrap_servers=bootstrap) as admin:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        answer: Mapping[str, Mapping[str, str]] = admin.describe_configs([resource])["topic"][topic]
        return answer


def test_a_changed_retention_reaches_topics_that_exist(stack: Settings, kafka: str) -> None:
    """A broker describes what it has applied, which may be a moment after it accepted a change."""

    def retained_ms() -> str:
        return str(described(kafka, "trades")["retention.ms"]["value"])

    said: list[str] = []
    topics.ensure_topics(kafka, stack, said.append)
    assert said == []

    try:
        topics.ensure_topics(kafka, replace(stack, kafka_retention_h=5), silent)
        until(lambda: retained_ms() == "18000000")
    finally:
        topics.ensure_topics(kafka, stack, silent)
    until(lambda: retained_ms() == "604800000")


@pytest.mark.parametrize("own_ms", [YEAR_2013_MS, YEAR_2099_MS], ids=["2013", "2099"])
def test_a_record_of_any_year_is_accepted_and_stamped_with_its_arrival(
    kafka: str, own_ms: int
) -> None:
    before_ms = record(kafka, send(kafka, b"now", 0)).timestamp  # type: ignore[attr-defined]

    found = record(kafka, send(kafka, b'{"t":1}', own_ms))

    assert found.value == b'{"t":1}'  # type: ignore[attr-defined]
    assert dict(found.headers) == {"feed": b"truetape", "received_ns": b"17"}  # type: ignore[attr-defined]
    assert before_ms <= found.timestamp < before_ms + 600_000  # type: ignore[attr-defined]


@pytest.mark.parametrize("topic", ["trades", "trades.rejected"])
def test_a_payload_of_ten_megabytes_is_accepted(kafka: str, topic: str) -> None:
    payload = os.urandom(10_000_000)

    found = record(kafka, send(kafka, payload, YEAR_2013_MS, topic), topic)

    assert found.value == payload  # type: ignore[attr-defined]


def test_down_leaves_no_process_and_no_port_and_two_ups_at_once_start_one_stack(
    brought_back: Settings,
) -> None:
    pids = [pid_of(brought_back, part) for part in parts(brought_back)]
    ports = [port_of(brought_back.kafka), port_of(brought_back.influx_url)]

    local_stack.down(brought_back, silent)

    assert [pid for pid in pids if birth(pid) is not None] == []  # a zombie has ended
    assert [port for port in ports if is_listening(port)] == []
    assert {one.state for one in parts(brought_back).values()} == {PartState.STOPPED}

    env = os.environ | {
        "TRUETAPE_HOME": str(brought_back.home),
        "TRUETAPE_CACHE": str(brought_back.cache),
        "TRUETAPE_KAFKA": brought_back.kafka,
        "TRUETAPE_INFLUX_PORT": str(ports[1]),
        "TRUETAPE_AIRFLOW": "False",
    }
    command = [sys.executable, "-m", "truetape.cli.main", "stack", "up"]
    calls = [
        subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [call.communicate(timeout=120)[1] for call in calls]

    assert [call.returncode for call in calls] == [0, 0], said
    for part in parts(brought_back):
        assert sum(f"{part}: started" in text for text in said) == 1
        assert sum(f"{part}: already runs" in text for text in said) == 1


@pytest.mark.faults
def test_a_killed_broker_restarts_with_every_acknowledged_record(
    brought_back: Settings, kafka: str
) -> None:
    offset = send(kafka, b"kept", YEAR_2013_MS)
    killed = pid_of(brought_back, "kafka")
    os.kill(killed, signal.SIGKILL)
    until(lambda: birth(killed) is None)
    assert parts(brought_back)["kafka"].state is PartState.STOPPED

    local_stack.up(brought_back, report=silent)

    assert pid_of(brought_back, "kafka") != killed
    assert record(kafka, offset).value == b"kept"  # type: ignore[attr-defined]
    assert send(kafka, b"next", YEAR_2013_MS) == offset + 1


@pytest.mark.faults
def test_a_killed_influxdb_restarts_with_every_acknowledged_point(brought_back: Settings) -> None:
    make_bucket(brought_back, "killed")
    assert write(brought_back, "killed", "m v=4711 1000") == 204
    secret = token(brought_back)
    killed = pid_of(brought_back, "influx")
    os.kill(killed, signal.SIGKILL)
    until(lambda: birth(killed) is None)
    assert parts(brought_back)["influx"].state is PartState.STOPPED

    local_stack.up(brought_back, report=silent)

    assert ",4711,v,m" in query(brought_back, "killed")
    assert token(brought_back) == secret


@pytest.mark.faults
def test_a_frozen_broker_is_unhealthy_although_its_port_is_open(stack: Settings) -> None:
    pid = pid_of(stack, "kafka")
    os.kill(pid, signal.SIGSTOP)
    try:
        frozen = parts(stack)["kafka"]
        assert is_listening(port_of(stack.kafka))
        assert (frozen.state, frozen.pid) == (PartState.UNHEALTHY, pid)
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: parts(stack)["kafka"].state is PartState.RUNNING, within_s=30)
