"""One InfluxDB server over HTTP: single requests with a time limit, and bounded retries for reads.

The only import of influxdb_client. Of that client it uses the connection pool (TLS, keep-alive,
gzip); its batching writer loses points when a process ends, and its retry helper has a deadline
fixed at construction.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

import urllib3

from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Secret
from truetape.serving.store import Traffic

BACK_OFF_S = 0.2
MAX_BACK_OFF_S = 10.0
"""Also the longest that a Retry-After is obeyed."""
RETRYABLE = frozenset({408, 429, 499, 500, 502, 503, 504})
REFUSED = frozenset({401, 403, 404})


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the server, whatever its status."""

    status: int
    body: bytes
    retry_after_s: float | None = None

    @property
    def message(self) -> str:
        """Return InfluxDB's own words, else the start of the body."""
        try:
            return str(json.loads(self.body)["message"])
        except (ValueError, KeyError, TypeError):
            return self.body[:500].decode(errors="replace").strip()


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer: refused, timed out or cut. What was sent may have been applied, or may yet be."""

    why: str


class Server:
    """A connection pool to one InfluxDB, with its token and organisation."""

    def __init__(
        self,
        url: str,
        org: str,
        token: Secret,
        *,
        timeout_s: float,
        attempts: int,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        from influxdb_client import InfluxDBClient

        self.url = url.rstrip("/")
        self.org = org
        self.attempts = attempts
        self.sleep = sleep
        self._client = InfluxDBClient(
            url=self.url, token=token.reveal(), org=org, timeout=int(timeout_s * 1_000)
        )
        self._pool: urllib3.PoolManager = self._client.api_client.rest_client.pool_manager
        self.timeout_s = timeout_s
        self._authorization = {"Authorization": f"Token {token.reveal()}"}
        self._traffic = Traffic()
        self._lock = threading.Lock()

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
    ) -> Reply | Lost:
        """Send one request, once."""
        self.count(requests=1, bytes_sent=len(body or b""))
        try:
            response = self._pool.request(
                method,
                self.url + path,
                body=body,
                headers={**self._authorization, **(headers or {})},
                timeout=urllib3.Timeout(connect=self.timeout_s, read=self.timeout_s),
                retries=False,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            return Lost(f"{type(error).__name__}: {error}")
        self.count(bytes_received=len(response.data))
        return Reply(response.status, response.data, _seconds(response.headers.get("Retry-After")))

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        accepted: AbstractSet[int] = frozenset(),
    ) -> Reply:
        """Send a request that may be repeated; return a 2xx answer or one in `accepted`.

        Raises TransientError after the last attempt, ConfigError for an answer that will not
        change.
        """
        for attempt in range(1, self.attempts + 1):
            answer = self.request(method, path, body=body, headers=headers)
            match answer:
                case Reply(status=status) if status in accepted or 200 <= status < 300:
                    return answer
                case Reply(status=status) if status not in RETRYABLE:
                    raise self.refused(answer)
            if attempt < self.attempts:
                self.pause(answer, attempt)
        raise self.gave_up(answer)

    def ask_json(
        self,
        method: str,
        path: str,
        content: object = None,
        *,
        accepted: AbstractSet[int] = frozenset(),
    ) -> Any:
        """Exchange JSON with the administrative API."""
        body = None if content is None else json.dumps(content).encode()
        reply = self.ask(method, path, body=body, headers=_JSON, accepted=accepted)
        return json.loads(reply.body or b"null")

    def pause(self, answer: Reply | Lost, attempt: int) -> None:
        """Wait before the next attempt."""
        self.count(retries=1)
        asked = answer.retry_after_s if isinstance(answer, Reply) else None
        self.sleep(back_off_s(attempt, asked, random.random()))  # noqa: S311 - jitter, not a secret

    def gave_up(self, answer: Reply | Lost) -> TransientError:
        """Build the error after the last attempt."""
        why = answer.why if isinstance(answer, Lost) else f"{answer.status} {answer.message}"
        return TransientError(
            f"InfluxDB at {self.url} did not take the request in {self.attempts} attempts; "
            f"last: {why}. It is safe to run this again"
        )

    def refused(self, reply: Reply) -> ConfigError:
        """Build the error for an answer that repeating does not change."""
        advice = _ADVICE.get(reply.status, "this is a defect of truetape or of the server")
        return ConfigError(
            f"InfluxDB at {self.url} answered {reply.status} {reply.message!r}; {advice}"
        )

    def close(self) -> None:
        """Close the pool."""
        self._client.close()


def back_off_s(attempt: int, retry_after_s: float | None, jitter: float) -> float:
    """Return the seconds to wait after a failed attempt, counted from 1; `jitter` is in [0, 1).

    The server's Retry-After is a lower bound, up to `MAX_BACK_OFF_S`.
    """
    own = min(BACK_OFF_S * (1 << (attempt - 1)) * (0.5 + jitter), MAX_BACK_OFF_S)
    return min(max(own, retry_after_s or 0.0), MAX_BACK_OFF_S)


_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
_ADVICE = {
    401: "the token is not valid there: check TRUETAPE_INFLUX_TOKEN_FILE",
    403: "the token lacks the right for this: create one that reads and writes the buckets",
    404: "check TRUETAPE_INFLUX_ORG and create the buckets (ensure_buckets, or truetape stack up)",
}


def _seconds(retry_after: str | None) -> float | None:
    """Read a Retry-After; its other form, a date, counts as none."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else None
