"""One HTTP call to a server of the stack. Knows no API; secrets travel in headers only."""

from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from truetape.host.errors import TransientError

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of one call."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The first part of the body, for an error message."""
        return self.body[:300].decode(errors="replace").strip()


def call(
    url: str,
    method: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str],
    *,
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """Send one request below `url`, which is plain http(s).

    TransientError without an answer; the request may have been carried out all the same.
    """
    parts = urlsplit(url)
    make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, response.read())
    except (OSError, HTTPException) as error:
        raise TransientError(f"{url} did not answer: {error!r}") from None
    finally:
        connection.close()
