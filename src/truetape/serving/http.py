"""Requests to one InfluxDB, with its token and organisation: what is retried, and what an error is.

Knows no bars. The only import of influxdb_client, whose own API manages buckets. Lines and queries
go past it: its batching writer loses points when a process ends, and it has no InfluxQL.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from urllib3.exceptions import HTTPError

from truetape.host.addresses import without_user_info
from truetape.host.errors import ConfigError, TransientError
from truetape.host.http import RETRYABLE, Http, Lost, Reply
from truetape.host.settings import Secret
from truetape.serving.store import Traffic

if TYPE_CHECKING:
    from influxdb_client import InfluxDBClient


class InfluxHttp:
    """Connections to one InfluxDB; counts their traffic."""

    def __init__(
        self,
        url: str,
        org: str,
        token: Secret,
        *,
        timeout_s: float,
        attempts: int,
        sleep: Callable[[float], object] = time.sleep,
        token_source: str = "TRUETAPE_INFLUX_TOKEN_FILE",  # noqa: S107 - a name, not a token
    ) -> None:
        self.url = url.rstrip("/")
        self.org = org
        self.timeout_s = timeout_s
        self.attempts = attempts
        self.sleep = sleep
        self._token = token
        self._token_source = token_source
        authorization = {"Authorization": f"Token {token.reveal()}"}
        self._http = Http(self.url, authorization, timeout_s=timeout_s, sleep=sleep)
        self._traffic = Traffic()
        self._lock = threading.Lock()

    @property
    def shown_url(self) -> str:
        """Return its address for a message."""
        return without_user_info(self.url)

    @property
    def traffic(self) -> Traffic:
        """Return what was sent and received so far."""
        return self._traffic

    def count(self, **more: int) -> None:
        """Add to the traffic counters."""
        with self._lock:
            grown = {name: getattr(self._traffic, name) + value for name, value in more.items()}
            self._traffic = replace(self._traffic, **grown)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        attempts: int = 1,
        is_final: Callable[[bytes], bool] = lambda _: False,
    ) -> Reply | Lost:
        """Send a request, up to `attempts` times; see `Http.request`."""
        reply = self._http.request(
            method, path, body=body, headers=headers, attempts=attempts, is_final=is_final
        )
        sent, received = len(body or b""), len(reply.body) if isinstance(reply, Reply) else 0
        self.count(
            requests=reply.attempts,
            retries=reply.attempts - 1,
            bytes_sent=sent * reply.attempts,
            bytes_received=received,
        )
        return reply

    def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        accepted: AbstractSet[int] = frozenset(),
    ) -> Reply:
        """Send a request that is safe to repeat; return an answer 2xx or one in `accepted`.

        Raise TransientError after the last attempt, ConfigError for an answer that repeating does
        not change.
        """
        reply = self.request(method, path, body=body, headers=headers, attempts=self.attempts)
        match reply:
            case Reply(status=status) if status in accepted or 200 <= status < 300:
                return reply
        raise self.error(reply)

    def send_json(
        self,
        method: str,
        path: str,
        content: object = None,
        *,
        accepted: AbstractSet[int] = frozenset(),
    ) -> Any:
        """Exchange JSON; see `send`."""
        body = None if content is None else json.dumps(content).encode()
        reply = self.send(method, path, body=body, headers=_JSON, accepted=accepted)
        return json.loads(reply.body or b"null")

    @contextmanager
    def client(self) -> "Iterator[InfluxDBClient]":
        """Open influxdb_client with the same token, time limit, retries and errors as `send`."""
        from influxdb_client import InfluxDBClient
        from influxdb_client.rest import ApiException

        with InfluxDBClient(
            self.url,
            self._token.reveal(),
            org=self.org,
            timeout=int(self.timeout_s * 1_000),
            retries=self._http.retries(self.attempts),
        ) as client:
            try:
                yield client
            except ApiException as error:
                body = error.body or error.reason or ""
                raise self.error(Reply(error.status, str(body).encode())) from error
            except HTTPError as error:
                raise self.error(Lost(f"{type(error).__name__}: {error}")) from error

    def pause(self, reply: Reply) -> None:
        """Wait after an answer that may be different next time; counts as a retry."""
        self.count(retries=1)
        self._http.pause(reply.attempts, reply.retry_after_s)

    def error(self, reply: Reply | Lost) -> TransientError | ConfigError:
        """Build the error for a request that did not succeed."""
        match reply:
            case Reply(status=status) if status not in RETRYABLE:
                advice = _ADVICE.get(status, "this is a defect of truetape or of the server")
                if "organization" in reply.message and "not found" in reply.message:
                    advice = _NO_ORGANISATION  # its status is 400 or 404
                advice = advice.replace("{token}", self._token_source)
                return ConfigError(
                    f"InfluxDB at {self.shown_url} answered {status} {reply.message!r}; {advice}"
                )
            case Reply(status=status):
                why = f"{status} {reply.message}"
            case Lost(why):
                pass
        return TransientError(
            f"InfluxDB at {self.shown_url} did not take the request in {self.attempts} attempts; "
            f"last: {why}. It is safe to run this again"
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
_ADVICE = {
    401: "the token in {token} is not valid there, or not any more: write a valid one to the file, "
    'then see "A token was revoked" in docs/RUNBOOK.md',
    403: "the token in {token} lacks the right for this: create one that reads and writes the "
    "buckets",
    404: "`truetape stack up` creates missing buckets; then publish each session again: see "
    '"A bucket is gone" in docs/RUNBOOK.md',
}
_NO_ORGANISATION = (
    'check TRUETAPE_INFLUX_ORG; if it was deleted, see "A bucket is gone" in docs/RUNBOOK.md'
)
