"""Tokens of InfluxDB by role, each with the permissions that its part needs and no more.

Does not choose the tokens: InfluxDB generates them and keeps only their digests, so each goes into
a file of its own, which only the containers of that role see.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truetape.host import secret_files
from truetape.host.errors import ConfigError
from truetape.host.settings import Secret
from truetape.host.state_files import read_text
from truetape.stack.influx_api import InfluxApi

FILE = "token"
Permission = dict[str, Any]
"""As InfluxDB's API has it: an action and its resource."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role; `mode` is that of its file, which for Grafana another image's user reads."""

    name: str
    may_write: bool
    mode: int

    @property
    def description(self) -> str:
        """Return its name in InfluxDB's list of tokens."""
        return f"truetape {self.name}"


WRITER = Role("writer", may_write=True, mode=0o600)
"""The speed layer and the batch layer."""
READER = Role("reader", may_write=False, mode=0o600)
"""The console."""
GRAFANA = Role("grafana", may_write=False, mode=0o444)
ROLES = (WRITER, READER, GRAFANA)


def permissions(role: Role, org: str, buckets: Iterable[str]) -> list[Permission]:
    """Return the permissions of a role, for the ids of organisation and buckets.

    A writer also reads its organisation and the roll-up tasks; it changes neither.
    """
    actions = ("read", "write") if role.may_write else ("read",)
    data = [
        {"action": action, "resource": {"type": "buckets", "id": bucket, "orgID": org}}
        for bucket in buckets
        for action in actions
    ]
    if not role.may_write:
        return data
    return [
        *data,
        {"action": "read", "resource": {"type": "orgs", "id": org}},
        {"action": "read", "resource": {"type": "tasks", "orgID": org}},
    ]


def ensure_tokens(
    api: InfluxApi,
    operator: Secret,
    buckets: Iterable[str],
    folder: Path,
    report: Callable[[str], None],
) -> None:
    """Write the token of each role into `folder/<role>/token`; replace a lost or outdated one.

    Safe to repeat: a token that works and has the right permissions stays. Older tokens of a role
    are revoked once its new one is on disk.
    """
    org = api.org_id(operator)
    ids = api.bucket_ids(operator)
    bucket_ids = [ids[name] for name in buckets]
    listed = api.authorizations(operator)
    for role in ROLES:
        needed = permissions(role, org, bucket_ids)
        present = [entry for entry in listed if entry["description"] == role.description]
        file = folder / role.name / FILE
        if len(present) == 1 and _same(present[0]["permissions"], needed) and _works(api, file):
            continue
        token = api.new_token(operator, org, role.description, needed)
        secret_files.write(file, token)
        file.chmod(role.mode)
        for old in present:
            api.revoke(operator, old["id"])
        report(f"created a token for the {role.name}")


def _works(api: InfluxApi, file: Path) -> bool:
    if not file.exists():
        return False
    token = Secret((read_text(file, "remove it and run this again") or "").strip())
    try:
        return api.query_problem(token) is None
    except ConfigError:
        return False


def _same(listed: Iterable[Permission], needed: Iterable[Permission]) -> bool:
    return set(map(_key, listed)) == set(map(_key, needed))


def _key(permission: Permission) -> tuple[str, str, str]:
    resource: Mapping[str, str] = permission["resource"]
    return permission["action"], resource["type"], resource.get("id", "")
