"""Airflow as the containers run it: FAB, Postgres, the variables and secrets of the compose file.

What `airflow-init` and `airflow-api` run is run here, their hosts, paths and ports put in place.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path

import pytest

from support import postgres
from support.composed import ROOT, Host, compose
from support.influxd import free_port
from support.wait import until
from truetape.deploy.airflow_init import create_user_arguments
from truetape.deploy.health import airflow_problem
from truetape.host.errors import TransientError
from truetape.host.http import Reply, call
from truetape.host.settings import Secret
from truetape.stack.airflow_api import AirflowApi

pytestmark = [pytest.mark.real, pytest.mark.long]

OVERVIEW = "/truetape/"
INIT_WITHIN_S = 900.0
READY_WITHIN_S = 300.0
SLOW_S = 120.0


@dataclass(frozen=True)
class Composed:
    """A running API server, and who may sign in to it."""

    url: str
    passwords: dict[str, str]
    env: dict[str, str]
    log: Path
    init: str

    def api(self, user: str) -> AirflowApi:
        return AirflowApi(self.url).signed_in(user, Secret(self.passwords[user]))

    def page(self, user: str | None, path: str = OVERVIEW) -> Reply:
        """What a page answers to a user, or to nobody."""
        headers = {}
        if user is not None:
            token = self.api(user).token
            assert token is not None
            headers = {"Authorization": f"Bearer {token.reveal()}"}
        return call(self.url, "GET", path, None, headers, timeout_s=SLOW_S)


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    folder = tmp_path_factory.mktemp("composed")
    host = Host.made(folder / "host")
    with postgres.running("airflow", host.secret("postgres-password"), "airflow") as db_port:
        database = host.secret("airflow-database")
        database.write_text(database.read_text().replace("@postgres:5432", f"@127.0.0.1:{db_port}"))
        port = free_port()
        places = {
            "/run/secrets": str(host.folder / "secrets"),
            "/etc/truetape/schemas": str(ROOT / "deploy/schemas"),
            "/opt/truetape": str(ROOT),
            "/opt/airflow": str(folder / "home"),
            "/var/log/airflow": str(folder / "logs"),
            "http://airflow-api:8080": f"http://127.0.0.1:{port}",
            "http://127.0.0.1:18080": f"http://127.0.0.1:{port}",
            "0.0.0.0": "127.0.0.1",  # noqa: S104 - what is put out of place
            "kafka:9092": "127.0.0.1:9",  # the console says that Kafka is away, and shows the rest
            "http://influxdb:8086": "http://127.0.0.1:9",
        }
        env = host.environment("airflow-api", places) | {
            "AIRFLOW__API__PORT": str(port),
            "TRUETAPE_HOME": str(folder / "data"),
        }
        said = init_words(host, env)
        with (folder / "api.log").open("wb") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "airflow", "api-server"],
                env=env, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        address = f"http://127.0.0.1:{port}"
        try:
            until(lambda: is_ready(address, server), READY_WITHIN_S)
            passwords = json.loads(host.secret("airflow-passwords").read_text())
            yield Composed(address, passwords, env, folder / "api.log", said)
        finally:
            server.terminate()
            server.wait(60)


def init_words(host: Host, env: dict[str, str]) -> str:
    """Run the command of `airflow-init`; return what it printed."""
    words = [str(word) for word in compose().services["airflow-init"]["command"]]
    assert words[0] == "truetape"
    words = [word.replace("/run/secrets", str(host.folder / "secrets")) for word in words]
    done = subprocess.run(
        [sys.executable, "-m", "truetape.cli.main", *words[1:]], env=env, check=False,
        capture_output=True, text=True, timeout=INIT_WITHIN_S,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-3_000:]
    return done.stdout + done.stderr


def is_ready(url: str, server: "subprocess.Popen[bytes]") -> bool:
    assert server.poll() is None, "the API server ended"
    try:
        return airflow_problem(url, "metadatabase") is None
    except TransientError:
        return False


def test_the_set_up_prints_no_password(composed: Composed) -> None:
    assert "user admin exists, role Admin" in composed.init
    assert not [word for word in composed.passwords.values() if word in composed.init]


def test_no_password_is_an_argument_of_a_command() -> None:
    assert "--password" not in create_user_arguments("admin", "Admin")
    assert "-p" not in create_user_arguments("admin", "Admin")


@pytest.mark.parametrize("path", ["", "market", "drift", "quality", "backfill", "files/page.js"])
def test_the_console_requires_a_sign_in(composed: Composed, path: str) -> None:
    assert composed.page(None, OVERVIEW + path).status == 401


@pytest.mark.parametrize("user", ["admin", "operator", "viewer"])
def test_every_signed_in_user_sees_the_console(composed: Composed, user: str) -> None:
    answer = composed.page(user)

    assert answer.status == 200
    assert b"Is what I see complete?" in answer.body


def test_a_viewer_can_look_but_cannot_start_anything(composed: Composed) -> None:
    """FAB's rights: Airflow's own API refuses the viewer what it grants the operator."""
    pool = json.dumps({"name": "spare", "slots": 1}).encode()
    told = {}
    for user in ("viewer", "operator"):
        token = composed.api(user).token
        assert token is not None
        headers = {"Authorization": f"Bearer {token.reveal()}", "Content-Type": "application/json"}
        told[user] = call(
            composed.url, "POST", "/api/v2/pools", pool, headers, timeout_s=SLOW_S
        ).status

    assert told == {"viewer": 403, "operator": 201}
    assert composed.page("viewer", "/api/v2/dags").status == 200
    assert composed.page("viewer", "/api/v2/connections").status == 403


@pytest.mark.parametrize(
    "password", ["admin", "airflow", ""], ids=["its own name", "the usual", "none"]
)
def test_no_common_password_works(composed: Composed, password: str) -> None:
    body = json.dumps({"username": "admin", "password": password}).encode()
    headers = {"Content-Type": "application/json"}

    answer = call(composed.url, "POST", "/auth/token", body, headers, timeout_s=SLOW_S)

    assert answer.status in (400, 401, 422)


def test_the_console_accepts_the_cookie_of_a_browser(composed: Composed) -> None:
    token = composed.api("viewer").token
    assert token is not None
    cookie = SimpleCookie({"_token": token.reveal()})
    headers = {"Cookie": cookie.output(header="", sep=";").strip()}

    answer = call(composed.url, "GET", OVERVIEW, None, headers, timeout_s=SLOW_S)

    assert answer.status == 200


def test_the_log_shows_no_secret(composed: Composed) -> None:
    text = composed.log.read_text(errors="replace")
    secrets = Path(composed.env["AIRFLOW__API_AUTH__JWT_SECRET_CMD"].removeprefix("cat ")).parent
    found = {
        file.name
        for file in secrets.iterdir()
        if file.name != "spark-defaults" and file.read_text().strip() in text
    }

    assert found == set()
    assert not [word for word in composed.passwords.values() if word in text]


def test_a_second_set_up_changes_nothing_and_keeps_the_passwords(composed: Composed) -> None:
    words = ["deploy", "init", "airflow", "--passwords"]
    file = Path(composed.env["AIRFLOW__CORE__FERNET_KEY_CMD"].removeprefix("cat "))
    done = subprocess.run(
        [sys.executable, "-m", "truetape.cli.main", *words, str(file.parent / "airflow-passwords")],
        env=composed.env, check=False, capture_output=True, text=True, timeout=INIT_WITHIN_S,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.count("already exists in the db") == 3
    assert composed.api("admin").token is not None
