"""HTTP requests to one server: a time limit for each, and bounded retries by urllib3's Retry.

Knows no API and never retries by itself: `attempts` is for requests that are safe to repeat.
Secrets travel in headers only.
"""

import json
import random
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Self

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError, ResponseError

from truetape.host.addresses import without_user_info
from truetape.host.errors import TransientError

TIMEOUT_S = 10.0
BACK_OFF_S = 0.2
MAX_BACK_OFF_S = 10.0
"""Also the longest Retry-After that is respected."""
RETRYABLE = frozenset({408, 429, 499, 500, 502, 503, 504})
_MAX_CONNECTIONS = 10


@dataclass(frozen=True, slots=True)
class Reply:
    """The last answer of a server, whatever its status; `attempts` requests were sent for it."""

    status: int
    body: bytes
    retry_after_s: float | None = None
    attempts: int = 1
    cookie: str | None = None
    """The first cookie that the server sets, as a request sends it back."""

    @property
    def text(self) -> str:
        """Return the start of the body, for an error message."""
        return self.body[:300].decode(errors="replace").strip()

    @property
    def message(self) -> str:
        """Return the `message` of a JSON body, else the start of the body."""
        try:
            return str(json.loads(self.body)["message"])
        except (ValueError, KeyError, TypeError):
            return self.body[:500].decode(errors="replace").strip()


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer: refused, timed out or cut off. The server may apply the request all the same."""

    why: str
    attempts: int = 1


class Http:
    """A pool of connections to one server. `headers` go with every request."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self._headers = headers or {}
        self._timeout = urllib3.Timeout(connect=timeout_s, read=timeout_s)
        self._sleep = sleep
        self._pool = urllib3.PoolManager(maxsize=_MAX_CONNECTIONS)

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
        """Send a request, up to `attempts` times until it succeeds or fails for good.

        Retries a request without an answer and the statuses in `RETRYABLE`, unless `is_final` is
        true for the body of the answer. Follows no redirect.
        """
        try:
            response = self._pool.request(
                method,
                self.url + path,
                body=body,
                headers={**self._headers, **(headers or {})},
                timeout=self._timeout,
                retries=self.retries(attempts, is_final),
                redirect=False,
            )
        except MaxRetryError as error:
            return Lost(f"{type(error.reason).__name__}: {error.reason}", attempts)
        except HTTPError as error:
            return Lost(f"{type(error).__name__}: {error}")
        sent = 1 + len(response.retries.history if response.retries else ())
        cookie = response.headers.get("Set-Cookie")
        return Reply(
            response.status,
            response.data,
            _retry_after_s(response),
            sent,
            cookie and cookie.partition(";")[0],
        )

    def pause(self, attempt: int, retry_after_s: float | None) -> None:
        """Wait after a failed attempt, counted from 1."""
        self._sleep(back_off_s(attempt, retry_after_s, random.random()))  # noqa: S311 - jitter, not a secret

    def retries(
        self, attempts: int, is_final: Callable[[bytes], bool] = lambda _: False
    ) -> urllib3.Retry:
        """Return the rule of `request`, for another client of urllib3."""
        return _Retry(
            total=attempts - 1,
            allowed_methods=None,  # any: the caller vouches for the request
            status_forcelist=RETRYABLE,
            raise_on_status=False,
            pause=self.pause,
            is_final=is_final,
        )

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


def call(
    url: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
) -> Reply:
    """Send one request to a server, once, on a connection of its own.

    Raise TransientError if no answer comes; the server may have applied the request all the same.
    """
    with closing(Http(url, timeout_s=timeout_s)) as http:
        reply = http.request(method, path, body=body, headers=headers)
    if isinstance(reply, Lost):
        raise TransientError(f"{without_user_info(url)} did not answer: {reply.why}")
    return reply


def back_off_s(attempt: int, retry_after_s: float | None, jitter: float) -> float:
    """Return the seconds to wait after a failed attempt, counted from 1; `jitter` is in [0, 1).

    The server's Retry-After is a lower bound, up to `MAX_BACK_OFF_S`.
    """
    own = min(BACK_OFF_S * (1 << (attempt - 1)) * (0.5 + jitter), MAX_BACK_OFF_S)
    return min(max(own, retry_after_s or 0.0), MAX_BACK_OFF_S)


class _Retry(urllib3.Retry):
    """urllib3's Retry with the pauses of `back_off_s`: urllib3 itself skips the first one."""

    # else urllib3 retries a 413 that has a Retry-After, whatever `status_forcelist` says
    RETRY_AFTER_STATUS_CODES = frozenset()

    def __init__(
        self,
        *args: Any,
        pause: Callable[[int, float | None], None],
        is_final: Callable[[bytes], bool],
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.pause = pause
        self.is_final = is_final

    def new(self, **changes: Any) -> Self:
        return super().new(pause=self.pause, is_final=self.is_final, **changes)

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        *args: Any,
        **options: Any,
    ) -> Self:
        if response is not None and self.is_final(response.data):
            raise MaxRetryError(options["_pool"], url or "", ResponseError("final"))
        return super().increment(method, url, response, *args, **options)

    def sleep(self, response: urllib3.BaseHTTPResponse | None = None) -> None:
        self.pause(len(self.history), None if response is None else _retry_after_s(response))


def _retry_after_s(response: urllib3.BaseHTTPResponse) -> float | None:
    """Read a Retry-After, in seconds or as a date; an unreadable one counts as none."""
    with suppress(InvalidHeader):
        return urllib3.Retry().get_retry_after(response)
    return None
