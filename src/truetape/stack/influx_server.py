"""The InfluxDB of the local stack: one `influxd` on loopback, set up with generated secrets.

Creates no buckets; `truetape.serving` declares and creates them.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from truetape.host import secret_files
from truetape.host.errors import ConfigError, TransientError, TruetapeError
from truetape.host.locks import Report
from truetape.host.process import Program, log_file, pid_file
from truetape.host.settings import Settings
from truetape.host.state_files import write_text
from truetape.serving.buckets import load_buckets
from truetape.stack import influxd
from truetape.stack.influx_api import InfluxApi
from truetape.stack.server import LOOPBACK

_USER = "truetape"
_RENEW = "`truetape stack renew-token` writes a new one"
CACHE_BYTES = 268_435_456
"""What a shard keeps in memory before it writes a file. A publication fits into it: a row that is
rewritten while InfluxDB merges small files can get its old value back (influxdb#24388).
"""


@dataclass(frozen=True, slots=True)
class InfluxServer:
    """The server at `settings.influx_url`. With `may_build` a missing influxd is built."""

    settings: Settings
    may_build: bool = False

    @property
    def name(self) -> str:
        """The part's name."""
        return "influx"

    @property
    def address(self) -> str:
        """Its URL."""
        return self.settings.influx_url

    @property
    def port_setting(self) -> str:
        """The setting of its port, with an example."""
        return "TRUETAPE_INFLUX_PORT, for example TRUETAPE_INFLUX_PORT=28086"

    @property
    def port(self) -> int | None:
        """Its port. None if TRUETAPE_INFLUX_URL names an external server."""
        return None if self.settings.influx_external else urlsplit(self.settings.influx_url).port

    @property
    def data(self) -> Path:
        """The folder of its databases."""
        return self.settings.home / "influx"

    @property
    def sign_in(self) -> str | None:
        """The user of its pages and the password file. None for an external server."""
        if self.settings.influx_external:
            return None
        return f"sign in as {_USER}; password in {self._password}"

    @property
    def ready_within_s(self) -> float:
        """A start takes half a second, and longer if it replays a large log after a crash."""
        return 60.0

    def program(self, report: Report) -> Program:
        """Write the configuration and return the program to start."""
        executable = influxd.find(self.settings)
        if executable is None and self.may_build:
            executable = influxd.build(self.settings, report)
        if executable is None:
            raise ConfigError(
                'no influxd on PATH or in the cache; build one with "truetape stack up '
                '--build-influx", name a running server with TRUETAPE_INFLUX_URL, or serve from '
                "a file with TRUETAPE_STORE=embedded"
            )
        self.data.mkdir(parents=True, exist_ok=True)
        config = self.data / "config.json"
        write_text(config, influxd_config(f"{LOOPBACK}:{self.port}", self.data))
        return Program(
            name=self.name,
            address=self.address,
            command=(str(executable), "run"),
            # else influxd reads a configuration from the folder in which it starts
            env={"INFLUXD_CONFIG_PATH": str(config), **_environment()},
            cwd=self.data,
            log=log_file(self.settings, self.name),
            pid_file=pid_file(self.settings, self.name),
        )

    def problem(self) -> str | None:
        """Check its health and, once it has a token, a query. None if both succeed.

        Raise ConfigError if it does not accept the token: waiting does not help.
        """
        token = secret_files.read(self.settings.influx_token_file)
        if token is None and self.settings.influx_external:
            return f"no token in {self.settings.influx_token_file}; put one there, mode 600"
        try:
            problem = self._api.health()
            if problem is None and token is not None and not self._is_new():
                problem = self._api.query_problem(token)
        except TransientError as error:
            return str(error)
        except ConfigError as error:
            file = self.settings.influx_token_file
            advice = "put a valid one there" if self.settings.influx_external else _RENEW
            raise ConfigError(f"{error} in {file}; {advice}") from error
        return problem

    def missing(self) -> str | None:
        """Name the declared buckets that it lacks, or that the token may not see."""
        token = secret_files.read(self.settings.influx_token_file)
        if token is None:
            return None
        try:
            present = self._api.bucket_ids(token)
        except TruetapeError as error:
            return str(error)
        declared = load_buckets(self.settings.bucket_set).all
        lacking = [bucket.name for bucket in declared if bucket.name not in present]
        if not lacking:
            return None
        return (
            f"it has no bucket {', '.join(lacking)} that the token may see; `truetape stack up` "
            'creates missing buckets; see "A bucket is gone" in docs/RUNBOOK.md'
        )

    def set_up(self, report: Report) -> None:
        """Create user, organisation and tokens. Does nothing on an external server."""
        if self.settings.influx_external:
            return
        if self._is_new():
            # both are on disk before InfluxDB gets them, so a kill in between loses nothing
            password = secret_files.ensure(self._password)
            token = secret_files.ensure(self.settings.influx_token_file)
            self._api.set_up(_USER, password, token)
            report(f"set InfluxDB up for organisation {self.settings.influx_org}")
        operator = secret_files.read(self.settings.influx_token_file)
        if operator is None:
            raise ConfigError(
                f"InfluxDB in {self.data} is set up, but its token is not in "
                f"{self.settings.influx_token_file}; {_RENEW}"
            )
        if secret_files.read(self._read_token) is None:
            secret_files.write(
                self._read_token, self._api.new_read_token(operator, "truetape readers")
            )

    def renew_tokens(self) -> None:
        """Replace the operator's and the readers' token, with the password of this home.

        Raise ConfigError if the server is not this home's, or has another password.
        """
        if self.settings.influx_external:
            raise ConfigError(
                f"TRUETAPE_INFLUX_URL names a server that is not of this stack; write a token of "
                f"it to {self.settings.influx_token_file}, mode 600"
            )
        password = secret_files.read(self._password)
        if password is None:
            raise ConfigError(f"no password in {self._password}: this home has no InfluxDB yet")
        token = self._api.new_operator_token(_USER, password)
        secret_files.write(self.settings.influx_token_file, token)
        secret_files.write(self._read_token, self._api.new_read_token(token, "truetape readers"))

    @property
    def _api(self) -> InfluxApi:
        return InfluxApi(self.settings.influx_url, self.settings.influx_org)

    @property
    def _secrets(self) -> Path:
        return self.settings.home / "secrets"

    @property
    def _password(self) -> Path:
        return self._secrets / "influx-password"

    @property
    def _read_token(self) -> Path:
        return self._secrets / "influx-read-token"

    def _is_new(self) -> bool:
        return not self.settings.influx_external and self._api.is_new()


def influxd_config(address: str, data: Path) -> str:
    """Render influxd's configuration: loopback, no telemetry, no file URLs, bounded memory."""
    values = {
        "http-bind-address": address,
        "bolt-path": str(data / "influxd.bolt"),
        "sqlite-path": str(data / "influxd.sqlite"),
        "engine-path": str(data / "engine"),
        "reporting-disabled": True,
        "hardening-enabled": True,
        "pprof-disabled": True,
        "log-level": "info",
        "storage-cache-max-memory-size": 1_073_741_824,
        "storage-cache-snapshot-memory-size": CACHE_BYTES,
        "query-concurrency": 32,
        "query-queue-size": 256,
    }
    return json.dumps(values, indent=2) + "\n"


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
