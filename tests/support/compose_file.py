"""The rules of docs/DEPLOY.md for the compose file, each a function. Needs no container engine.

Does not check that a compose tool can read the file; `compose_tool` does.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from truetape import __version__
from truetape.deploy.host_files import SECRETS, Owner, variables
from truetape.host.errors import ConfigError

OWN_IMAGE = f"truetape:{__version__}"
WITHOUT_DIGEST = {"apache/kafka:4.4.0": "no record of its digest was found"}
WRITABLE_ROOT = {"kafka": "the image writes its configuration below /opt/kafka before it starts"}
"""Services whose root file system is not read-only, each with its reason."""

_IMAGE = re.compile(
    r"[a-z0-9][a-z0-9./-]*:(?P<tag>[A-Za-z0-9_.-]+)(?P<digest>@sha256:[0-9a-f]{64})?"
)
_VARIABLE = re.compile(r"(?<!\$)\$(?:\{(?P<name>\w+)(?P<rest>[^}]*)\}|(?P<bare>\w+))")
_SECRET_NAME = re.compile(r"PASSWORD|PASSWD|TOKEN|SECRET|_KEY|CONN\b|SQL_ALCHEMY_CONN")
_BY_FILE = re.compile(r"(_FILE|_CMD)$")
_KNOWN_DEFAULTS = re.compile(
    r"changeme|hunter2|SW2YcwTIb9zpOOhoPsMm|\b(admin:admin|airflow:airflow|postgres:postgres)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ComposeFile:
    """A compose file: its path, its text, and the parsed document."""

    path: Path
    text: str
    document: Mapping[str, Any]

    @property
    def services(self) -> Mapping[str, Mapping[str, Any]]:
        """Its services by name, anchors merged."""
        services: Mapping[str, Mapping[str, Any]] = self.document["services"]
        return services


def read(path: Path) -> ComposeFile:
    """Read a compose file. Raise ConfigError if it is not one."""
    text = path.read_text("utf-8")
    try:
        document = yaml.load(text, yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("services"), dict):
        raise ConfigError(f"{path} has no services; it is not a compose file")
    return ComposeFile(path, text, document)


def problems(file: ComposeFile) -> list[str]:
    """Return one line for each broken rule, with the service that breaks it."""
    lines = [f"the file: {problem}" for rule in _FILE_RULES for problem in rule(file)]
    for name in file.services:
        lines += [f"{name}: {problem}" for rule in _SERVICE_RULES for problem in rule(file, name)]
    return lines


def runs_once(service: Mapping[str, Any]) -> bool:
    """True if a service runs once and ends."""
    return bool(service.get("restart") == "no")


def environment(service: Mapping[str, Any]) -> dict[str, str]:
    """Return a service's variables as text."""
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def secret_sources(service: Mapping[str, Any]) -> list[str]:
    """Return the names of the secrets that a service sees."""
    return [
        name if isinstance(name, str) else name["source"] for name in service.get("secrets", [])
    ]


def resolved(text: str, values: Mapping[str, str]) -> str:
    """Replace variables as a compose tool does; `$$` becomes `$`. KeyError if one has no value."""
    filled = _VARIABLE.sub(lambda match: values[match["name"] or match["bare"]], text)
    return filled.replace("$$", "$")


def start_order(file: ComposeFile) -> list[str]:
    """Return the services, each after those that it waits for. Raise ConfigError for a cycle."""
    order: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ConfigError(
                f"services wait for each other in a cycle: {' for '.join((*path, name))}"
            )
        if name in order:
            return
        for other in file.services[name].get("depends_on", {}):
            visit(other, (*path, name))
        order.append(name)

    for name in file.services:
        visit(name, ())
    return order


def _variables_are_made(file: ComposeFile) -> Iterator[str]:
    made = variables(Owner(1000, 1000))
    for match in _VARIABLE.finditer(file.text):
        name = match["name"] or match["bare"]
        if name not in made:
            yield f"make env does not write the variable {name}"
        elif not (match["rest"] or "").startswith(":?"):
            yield f"{name} is not required; write it as ${{{name}:?run make env}}"


def _secrets_are_made(file: ComposeFile) -> Iterator[str]:
    made = {secret.name for secret in SECRETS}
    for name, secret in file.document.get("secrets", {}).items():
        if secret != {"file": f"./secrets/{name}"} or name not in made:
            yield f"make env does not write the secret {name} as ./secrets/{name}"


def _everything_declared_is_used(file: ComposeFile) -> Iterator[str]:
    for kind in ("secrets", "volumes", "networks"):
        used = {name for service in file.services.values() for name in _USES[kind](service)}
        declared = set(file.document.get(kind, {}))
        yield from (f"{kind}: {name} is not declared" for name in sorted(used - declared))
        yield from (f"{kind}: no service uses {name}" for name in sorted(declared - used))


def _no_cycle(file: ComposeFile) -> Iterator[str]:
    try:
        start_order(file)
    except ConfigError as error:
        yield str(error)
    except KeyError as error:
        yield f"a service waits for {error}, which does not exist"


def _inner_network_has_no_outside_access(file: ComposeFile) -> Iterator[str]:
    networks = file.document.get("networks", {})
    if not (networks.get("inner") or {}).get("internal"):
        yield "the network inner reaches the outside"


def _no_known_default(file: ComposeFile) -> Iterator[str]:
    for match in _KNOWN_DEFAULTS.finditer(file.text):
        yield f"{match[0]!r} is a well-known default credential"


def _image_is_pinned(file: ComposeFile, name: str) -> Iterator[str]:
    image = str(file.services[name].get("image", ""))
    match = _IMAGE.fullmatch(image)
    if image == OWN_IMAGE:
        return
    if match is None or match["tag"] == "latest":
        yield f"image {image!r} is not pinned to a version"
    elif not match["digest"] and image not in WITHOUT_DIGEST:
        yield f"image {image!r} has no digest"


def _is_not_root(file: ComposeFile, name: str) -> Iterator[str]:
    user = str(file.services[name].get("user", ""))
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", user) and not user.startswith("${TRUETAPE_UID:?"):
        yield f"user {user!r} may be root; give a uid and a gid"


def _has_no_privilege(file: ComposeFile, name: str) -> Iterator[str]:
    service = file.services[name]
    if service.get("cap_drop") != ["ALL"] or service.get("cap_add"):
        yield "keeps capabilities"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield "may gain privileges"
    for key in ("privileged", "network_mode", "pid", "ipc", "devices"):
        if service.get(key):
            yield f"{key} is set"
    if not service.get("read_only") and name not in WRITABLE_ROOT:
        yield "can write its root file system"


def _ports_are_on_loopback(file: ComposeFile, name: str) -> Iterator[str]:
    for port in file.services[name].get("ports", []):
        if not str(port).startswith("127.0.0.1:"):
            yield f"port {port} is open to other machines"


def _is_bounded(file: ComposeFile, name: str) -> Iterator[str]:
    service = file.services[name]
    for key in ("mem_limit", "cpus", "pids_limit"):
        if not service.get(key):
            yield f"has no {key}"
    options = service.get("logging", {}).get("options", {})
    if not {"max-size", "max-file"} <= set(options):
        yield "its log grows without a bound"
    for mount in service.get("tmpfs", []):
        if "size=" not in mount:
            yield f"tmpfs {mount} has no size"


def _has_a_health_check(file: ComposeFile, name: str) -> Iterator[str]:
    service = file.services[name]
    test = service.get("healthcheck", {}).get("test", ["NONE"])
    if runs_once(service):
        return
    if test[0] not in ("CMD", "CMD-SHELL"):
        yield "has no health check"
    if service.get("restart") != "unless-stopped":
        yield "is not restarted after it ended"


def _waits_for_health_or_success(file: ComposeFile, name: str) -> Iterator[str]:
    for other, dependency in file.services[name].get("depends_on", {}).items():
        once = runs_once(file.services.get(other, {}))
        expected = "service_completed_successfully" if once else "service_healthy"
        if dependency.get("condition") != expected:
            yield f"waits for {other} on {dependency.get('condition')}, not on {expected}"


def _mounts_exist(file: ComposeFile, name: str) -> Iterator[str]:
    for mount in file.services[name].get("volumes", []):
        source, target, *options = str(mount).split(":")
        if "docker.sock" in source or "docker.sock" in target:
            yield "sees the engine's socket"
        if not source.startswith("."):
            continue
        if not (file.path.parent / source).exists():
            yield f"mounts {source}, which does not exist"
        if options != ["ro"]:
            yield f"may write into {source}"


def _shows_no_secret(file: ComposeFile, name: str) -> Iterator[str]:
    for key, value in environment(file.services[name]).items():
        if _SECRET_NAME.search(key) and not _BY_FILE.search(key):
            yield f"{key} is a secret in an environment; name a file"
        if _BY_FILE.search(key) and not re.match(r"(cat )?(/run/secrets/|/tokens/)", value):
            yield f"{key} names {value}, which is not the file of a secret"
        if re.search(r"://[^/\s:]+:[^@\s]+@", value):
            yield f"{key} has a password in an address"


def _its_secrets_are_mounted(file: ComposeFile, name: str) -> Iterator[str]:
    service = file.services[name]
    named = re.findall(r"/run/secrets/([\w.-]+)", yaml.safe_dump(dict(service)))
    yield from (
        f"reads /run/secrets/{secret}, which is not mounted"
        for secret in sorted(set(named) - set(secret_sources(service)))
    )


def _named_volumes(service: Mapping[str, Any]) -> list[str]:
    sources = [str(mount).partition(":")[0] for mount in service.get("volumes", [])]
    return [source for source in sources if not source.startswith((".", "/"))]


_USES: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "secrets": secret_sources,
    "volumes": _named_volumes,
    "networks": lambda service: list(service.get("networks", [])),
}
_FILE_RULES: tuple[Callable[[ComposeFile], Iterator[str]], ...] = (
    _variables_are_made,
    _secrets_are_made,
    _everything_declared_is_used,
    _no_cycle,
    _inner_network_has_no_outside_access,
    _no_known_default,
)
_SERVICE_RULES: tuple[Callable[[ComposeFile, str], Iterator[str]], ...] = (
    _image_is_pinned,
    _is_not_root,
    _has_no_privilege,
    _ports_are_on_loopback,
    _is_bounded,
    _has_a_health_check,
    _waits_for_health_or_success,
    _mounts_exist,
    _shows_no_secret,
    _its_secrets_are_mounted,
)
