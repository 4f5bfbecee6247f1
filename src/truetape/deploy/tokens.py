"""Tokens of InfluxDB by role: each may do what its part does, and no more.

InfluxDB makes the tokens itself and keeps their digests only, so each is written into a file of its
own, which the containers of that role see.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truetape.host import secret_files
from truetape.host.settings import Secret
from truetape.stack.influx_api import InfluxApi

FILE = "token"
Permission = dict[str, Any]
"""As InfluxDB spells one: an action, and the resource that it is allowed on."""


@dataclass(frozen=True, slots=True)
class Role:
    """Who reads and writes; `mode` is of the file, read by a user of another image for Grafana."""

    name: str
    may_write: bool
    mode: int

    @property
    def description(self) -> str:
        """What InfluxDB's list of tokens calls it."""
        return f"truetape {self.name}"


WRITER = Role("writer", may_write=True, mode=0o600)
"""The speed layer and the batch layer."""
READER = Role("reader", may_write=False, mode=0o600)
"""The console."""
GRAFANA = Role("grafana", may_write=False, mode=0o444)
ROLES = (WRITER, READER, GRAFANA)


def permissions(role: Role, org: str, buckets: Iterable[str]) -> list[Permission]:
    """Return what a role may do, by the ids of organisation and buckets.

    A writer also looks its organisation up and watches the roll-up tasks; it changes neither.
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
    """Give each role its token in `folder/<role>/token`; makes anew what is lost or outdated.

    Safe to repeat: a token that works and may do what it should is kept. Older ones of a role are
    revoked once its new one is on disk.
    """
    org = api.org_id(operator)
    ids = api.bucket_ids(operator)
    wanted = [ids[name] for name in buckets]
    listed = api.authorizations(operator)
    for role in ROLES:
        may = permissions(role, org, wanted)
        of_role = [one for one in listed if one["description"] == role.description]
        file = folder / role.name / FILE
        if len(of_role) == 1 and _same(of_role[0]["permissions"], may) and _works(api, file):
            continue
        made = api.new_token(operator, org, role.description, may)
        secret_files.write(file, made)
        file.chmod(role.mode)
        for old in of_role:
            api.revoke(operator, old["id"])
        report(f"made a token for the {role.name}")


def _works(api: InfluxApi, file: Path) -> bool:
    if not file.exists():
        return False
    token = Secret(file.read_text("utf-8").strip())
    return api.query_problem(token) is None


def _same(listed: Iterable[Permission], wanted: Iterable[Permission]) -> bool:
    return {_key(one) for one in listed} == {_key(one) for one in wanted}


def _key(permission: Permission) -> tuple[str, str, str]:
    resource: Mapping[str, str] = permission["resource"]
    return permission["action"], resource["type"], resource.get("id", "")
