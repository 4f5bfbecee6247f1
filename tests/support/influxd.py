"""A real influxd for tests: its own directory, a free loopback port, generated credentials."""

import json
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truetape.host.settings import Secret

VERSION = "2.9.1"
ORG = "truetape"
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
BUILD_TIMEOUT_S = 3_600
_BUILD = Path(__file__).resolve().parents[2] / "deploy" / "influxd" / "build.sh"


@dataclass(frozen=True, slots=True)
class InfluxServer:
    """A running influxd; `token` may do everything."""

    url: str
    port: int
    token: Secret
    org_id: str
    process: subprocess.Popen[bytes]

    def api(self, method: str, path: str, content: object = None) -> Any:
        """Exchange JSON with the server, outside of the code under test."""
        return _exchange(method, self.url + path, content, self.token)

    def token_for(self, *actions: str) -> tuple[str, Secret]:
        """Create a token for these actions on all buckets; return its id and the token."""
        permissions = [{"action": action, "resource": {"type": "buckets"}} for action in actions]
        wanted = {"orgID": self.org_id, "permissions": permissions}
        created = self.api("POST", "/api/v2/authorizations", wanted)
        return created["id"], Secret(created["token"])

    def freeze(self) -> None:
        """Stop the process where it is; its port still accepts connections."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the process."""
        self.thaw()
        self.process.terminate()
        self.process.wait(STOP_TIMEOUT_S)


def binary(cache: Path) -> Path:
    """Return influxd from the cache; build it first where it is missing (8 to 10 minutes, once)."""
    target = cache / f"influxd-{VERSION}"
    if not (target / "influxd").exists():
        subprocess.run([str(_BUILD), str(target)], check=True, timeout=BUILD_TIMEOUT_S)
    return target / "influxd"


def start(executable: Path, folder: Path) -> InfluxServer:
    """Start influxd with its data in `folder` and set it up; the caller stops it."""
    process, url = start_new(executable, folder)
    port = int(url.rpartition(":")[2])
    wanted = {
        "username": "tests",
        "password": secrets.token_urlsafe(24),
        "org": ORG,
        "bucket": "unused",
    }
    created = _exchange("POST", f"{url}/api/v2/setup", wanted, None)
    token = Secret(created["auth"]["token"])
    return InfluxServer(url, port, token, created["org"]["id"], process)


def start_new(executable: Path, folder: Path) -> "tuple[subprocess.Popen[bytes], str]":
    """Start influxd with its data in `folder`, waiting for its first user; the caller stops it."""
    port = free_port()
    words = [
        str(executable),
        f"--http-bind-address=127.0.0.1:{port}",
        f"--bolt-path={folder / 'influxd.bolt'}",
        f"--sqlite-path={folder / 'influxd.sqlite'}",
        f"--engine-path={folder / 'engine'}",
        "--reporting-disabled",
    ]
    return spawn(words, port, folder), f"http://127.0.0.1:{port}"


def spawn(
    words: list[str], port: int, folder: Path, env: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start influxd by these words and wait until it answers; the caller stops it."""
    with (folder / "influxd.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env=env)
    _await_ready(f"http://127.0.0.1:{port}", process)
    return process


def free_port() -> int:
    """Return a loopback port that nobody listens on now, and that was not returned before."""
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = int(listener.getsockname()[1])
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port


_GIVEN: set[int] = set()


def _await_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            _exchange("GET", f"{url}/health", None, None)
        except urllib.error.URLError:
            time.sleep(0.05)
        else:
            return
    process.kill()
    raise TimeoutError(f"influxd at {url} was not ready within {START_TIMEOUT_S} s")


def _exchange(method: str, url: str, content: object, token: Secret | None) -> Any:
    request = urllib.request.Request(  # noqa: S310 - a loopback server of our own
        url,
        data=None if content is None else json.dumps(content).encode(),
        headers={"Content-Type": "application/json"},
        method=method,
    )
    if token is not None:
        request.add_header("Authorization", f"Token {token.reveal()}")
    with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310 - see above
        return json.loads(reply.read() or b"null")
