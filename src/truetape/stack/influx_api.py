"""The calls of InfluxDB's HTTP API that set a server up and check that it works.

Reads and writes no bars; `truetape.serving` does. Tokens travel in the header only.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from urllib3.util import make_headers

from truetape.host.addresses import without_user_info
from truetape.host.errors import ConfigError, TransientError
from truetape.host.http import RETRYABLE, Reply, call
from truetape.host.settings import Secret

_SETUP_BUCKET = "setup"
"""`/api/v2/setup` always creates a bucket; ours are declared elsewhere, so it is deleted."""

_OPERATED = ("authorizations", "buckets", "orgs", "tasks", "users")
"""The kinds of things that the operator token may read and change, in every organisation."""

_MAX_BUCKETS = 100
"""InfluxDB lists no more at once."""


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in user, by the cookie of the session. It may be used instead of a token."""

    cookie: str = field(repr=False)


Access = Secret | Session
"""A token, or a session."""


@dataclass(frozen=True, slots=True)
class InfluxApi:
    """One server, one organisation."""

    url: str
    org: str

    def health(self) -> str | None:
        """Return None if the server reports that it passes, else the problem."""
        answer = self._call("GET", "/health")
        return None if answer.status == 200 else f"/health answered {answer.status} {answer.text}"

    def query_problem(self, token: Secret) -> str | None:
        """Run a small query with `token`. Return None if it was answered, else the problem.

        Raise ConfigError if the server does not accept the token.
        """
        path = f"/api/v2/query?org={quote(self.org)}"
        answer = self._call("POST", path, b"buckets() |> limit(n: 1)", token, "vnd.flux")
        if answer.status == 200:
            return None
        if answer.status == 401:
            raise ConfigError(f"InfluxDB at {without_user_info(self.url)} refuses the token")
        return f"a query was answered with {answer.status} {answer.text}"

    def is_new(self) -> bool:
        """True if the server waits for its first user."""
        return bool(self._json("GET", "/api/v2/setup", None, None)["allowed"])

    def set_up(self, user: str, password: Secret, token: Secret) -> None:
        """Create the first user, the organisation, and the operator token that the caller chose."""
        content = {"username": user, "password": password.reveal(), "token": token.reveal()}
        content |= {"org": self.org, "bucket": _SETUP_BUCKET}
        created = self._json("POST", "/api/v2/setup", content, None)
        bucket = dict(created["bucket"])  # type: ignore[call-overload]
        self._call("DELETE", f"/api/v2/buckets/{bucket['id']}", None, token)

    def new_operator_token(self, user: str, password: Secret) -> Secret:
        """Sign in as a user and create a token that can do all that truetape does with a server.

        Raise ConfigError if the server refuses the password.
        """
        headers = make_headers(basic_auth=f"{user}:{password.reveal()}")
        reply = call(self.url, "POST", "/api/v2/signin", headers=headers)
        if reply.status != 204 or reply.cookie is None:
            raise ConfigError(
                f"InfluxDB at {without_user_info(self.url)} does not let {user} sign in: "
                f"{reply.status} {reply.message}"
            )
        session = Session(reply.cookie)
        permissions = [
            {"action": action, "resource": {"type": kind}}
            for kind in _OPERATED
            for action in ("read", "write")
        ]
        return self.new_token(session, self.org_id(session), "truetape operator", permissions)

    def new_read_token(self, token: Secret, description: str) -> Secret:
        """Create a token that can only read, every bucket of the organisation."""
        org = self.org_id(token)
        permission = {"action": "read", "resource": {"type": "buckets", "orgID": org}}
        return self.new_token(token, org, description, [permission])

    def new_token(
        self, token: Access, org: str, description: str, permissions: Sequence[Mapping[str, object]]
    ) -> Secret:
        """Create a token with these permissions. InfluxDB shows it only now."""
        content = {"orgID": org, "description": description, "permissions": permissions}
        return Secret(str(self._json("POST", "/api/v2/authorizations", content, token)["token"]))

    def org_id(self, token: Access) -> str:
        """Return the id of the organisation."""
        orgs = self._list("orgs", f"org={quote(self.org)}", token)
        return str(orgs[0]["id"])

    def bucket_ids(self, token: Secret) -> dict[str, str]:
        """Return the id of each bucket by its name."""
        buckets = self._list("buckets", f"org={quote(self.org)}&limit={_MAX_BUCKETS}", token)
        return {bucket["name"]: bucket["id"] for bucket in buckets}

    def authorizations(self, token: Secret) -> list[dict[str, Any]]:
        """Return the permissions of every token of the organisation, without the tokens."""
        return self._list("authorizations", f"org={quote(self.org)}", token)

    def revoke(self, token: Secret, authorization: str) -> None:
        """Delete a token. InfluxDB then refuses requests with it."""
        answer = self._call("DELETE", f"/api/v2/authorizations/{authorization}", None, token)
        if answer.status not in (204, 404):
            raise TransientError(f"InfluxDB did not revoke a token: {answer.status} {answer.text}")

    def _list(self, kind: str, query: str, token: Access) -> list[dict[str, Any]]:
        answer: dict[str, Any] = self._json("GET", f"/api/v2/{kind}?{query}", None, token)
        entries: list[dict[str, Any]] = answer[kind]
        return entries

    def _json(
        self, method: str, path: str, content: object, token: Access | None
    ) -> dict[str, object]:
        body = None if content is None else json.dumps(content).encode()
        answer = self._call(method, path, body, token)
        if answer.status >= 300:
            kind = TransientError if answer.status in RETRYABLE else ConfigError
            raise kind(
                f"InfluxDB at {without_user_info(self.url)} refused {method} "
                f"{path.partition('?')[0]}: {answer.status} {answer.message}; check the token and "
                "TRUETAPE_INFLUX_ORG"
            )
        return dict(json.loads(answer.body))

    def _call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        token: Access | None = None,
        kind: str = "json",
    ) -> Reply:
        headers = {"Content-Type": f"application/{kind}"}
        match token:
            case Secret():
                headers["Authorization"] = f"Token {token.reveal()}"
            case Session(cookie=cookie):
                headers["Cookie"] = cookie
        return call(self.url, method, path, body, headers)
