"""Addresses in settings: which shapes are accepted, and how one is printed without user info.

Connects to nothing. A password in an address would go into logs, child processes and error
messages, so an address with one is refused; the refusal does not print it either.
"""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from truetape.host.errors import ConfigError

PORTS = range(1, 65_536)
_USER_INFO = re.compile(r"(?is)^((?:[a-z][\w+.-]*:/{1,2}){0,2}).*(?:@|%40)")
_QUERY = re.compile(r"[?#].*", re.DOTALL)
_CONTAINER_URL = re.compile(r"(abfss?|wasbs?)://[a-z0-9$-]+@[^@:]+", re.IGNORECASE)
"""Azure's form: what stands before the @ is a container of the account, no user."""
_SCHEME = re.compile(r"[A-Za-z][\w+.-]*:/")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_LOCAL_MASTER = re.compile(r"local(\[(\*|[1-9]\d{0,3})(,\d{1,3})?\])?")
_MAX_CHARACTERS = 2_048
_MAX_HOST_CHARACTERS = 253
_MAX_SHOWN = 200


def without_user_info(address: str) -> str:
    """Return an address for a message: without user, password, query and fragment.

    Cuts up to the last `@`, since a password that was not escaped may hold any character.
    """
    return _QUERY.sub("?***", _USER_INFO.sub(r"\1***@", address))[:_MAX_SHOWN]


def influx_address(variable: str, text: str) -> str:
    """Return InfluxDB's http(s) address as given. Raise ConfigError if it is no plain one."""
    cure = "set it to a plain address such as http://127.0.0.1:8086"
    more = ", and put the token into the file that TRUETAPE_INFLUX_TOKEN_FILE names"
    return _http_address(variable, text, cure, more)


def runbook_address(variable: str, text: str) -> str:
    """Return the http(s) address of the runbook as given, or an empty text. Raise ConfigError if
    it is no plain one; a link adds the fragment.
    """
    cure = "set it to the page without a fragment, such as https://wiki.example/RUNBOOK.md"
    return _http_address(variable, text, cure) if text else text


def _http_address(variable: str, text: str, cure: str, secret_cure: str = "") -> str:
    if "@" in text:
        shown = without_user_info(text)
        raise ConfigError(f"{variable} is {shown!r}, with user and password; {cure}{secret_cure}")
    parts = _parts(text)
    if parts is None or parts.scheme not in ("http", "https") or not _is_host(parts.hostname):
        raise ConfigError(f"{variable} is {without_user_info(text)!r}; {cure}")
    if "?" in text or "#" in text:
        raise ConfigError(
            f"{variable} is {without_user_info(text)!r}, with a query or a fragment; {cure}"
        )
    return text


def kafka_address(variable: str, text: str) -> str:
    """Return bootstrap addresses as given. Raise ConfigError unless each is `host:port`."""
    if not all(map(_is_host_and_port, text.split(","))):
        raise ConfigError(
            f"{variable} is {without_user_info(text)!r}; set it to host:port without user and "
            "password, as in 127.0.0.1:19092; separate several by commas"
        )
    return text


def lake_address(variable: str, text: str) -> str:
    """Return the lake's root as given. Raise ConfigError if it is a URL with credentials."""
    if not is_url(text):
        return text
    cure = "give credentials of a storage by its own environment variables or configuration files"
    parts = _parts(text)
    has_user = "@" in text and not _CONTAINER_URL.match(text)
    if parts is None or not parts.scheme or has_user or "?" in text or "#" in text:
        raise ConfigError(
            f"{variable} is {without_user_info(text)!r}; set it to a folder, or to a URL without "
            f"user, password, query and fragment; {cure}"
        )
    return text


def spark_master(variable: str, text: str) -> str:
    """Return a Spark master as given. Raise ConfigError if Spark has no such kind of master."""
    kind, _, rest = text.partition("://")
    match kind:
        case "yarn":
            known = text == "yarn"
        case "spark":
            # several masters of one cluster are separated by commas
            known = all(map(_is_host_and_port, rest.split(",")))
        case "k8s":
            target = _parts(rest if "://" in rest else f"https://{rest}")
            known = "@" not in rest and target is not None and _is_host(target.hostname)
        case _:
            known = _LOCAL_MASTER.fullmatch(text) is not None
    if not known:
        raise ConfigError(
            f"{variable} is {without_user_info(text)!r}; set it to local[2], "
            "spark://host:port, yarn or k8s://https://host:port, without user and password"
        )
    return text


def is_url(text: str) -> bool:
    """True if a text names a place by a scheme, as `file:/lake` and `s3a://bucket` do."""
    return _SCHEME.match(text) is not None


def loopback_port(address: str) -> int | None:
    """Return the port of `host:port` or of a URL if only this machine can reach it, else None."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        return parts.port if _is_loopback(parts.hostname or "") else None
    except ValueError:  # several addresses, or a port that is no number
        return None


def _parts(text: str) -> SplitResult | None:
    """Split a URL; None if it has blanks or control characters, or a port that is no port."""
    if len(text) > _MAX_CHARACTERS or not text.isprintable() or " " in text:
        return None
    try:
        parts = urlsplit(text)
        return parts if parts.port is None or parts.port in PORTS else None
    except ValueError:
        return None


def _is_host(text: str | None) -> bool:
    if not text or len(text) > _MAX_HOST_CHARACTERS:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text) is not None
    return True


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) in PORTS


def _is_host_and_port(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return _is_host(host.removeprefix("[").removesuffix("]")) and _is_port(port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
