"""The protocol of a part of the local stack, and its addresses. Starts nothing."""

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from truetape.host.errors import ConfigError
from truetape.host.locks import Report
from truetape.host.process import Program

LOOPBACK = "127.0.0.1"
_CONNECT_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Address:
    """The address on which a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can reach it. The stack never starts a server elsewhere."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class Server(Protocol):
    """One part of the stack, as `lifecycle` starts, adopts and stops it."""

    @property
    def name(self) -> str:
        """The part's name: "kafka"."""

    @property
    def address(self) -> str:
        """The address for its clients."""

    @property
    def port_setting(self) -> str:
        """The setting of its port, with an example."""

    @property
    def port(self) -> int | None:
        """Its loopback port. None for an external server."""

    @property
    def data(self) -> Path:
        """The folder of its data."""

    @property
    def sign_in(self) -> str | None:
        """How a person signs in; None if nobody can. Names password files, never passwords."""

    @property
    def ready_within_s(self) -> float:
        """The longest time from its start to its first answer."""

    def program(self, report: Report) -> Program:
        """Prepare its folders and files, and return the program to start. Safe to repeat."""

    def problem(self) -> str | None:
        """Send it a real request. None if it answered, else the problem."""

    def missing(self) -> str | None:
        """Return what it lacks although it answers, and what to do. None if it lacks nothing."""

    def set_up(self, report: Report) -> None:
        """Create its topics, users and tokens, once it answers. Safe to repeat."""


def parse_address(text: str, variable: str) -> Address:
    """Parse `host:port`. Raise ConfigError with the name of the variable if it is not one."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ConfigError(f"{variable} is {text!r}; set it to host:port, as in 127.0.0.1:19092")
    return Address(host, int(port))


def is_listening(port: int) -> bool:
    """True if a program on this machine accepts connections on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(_CONNECT_WITHIN_S)
        return probe.connect_ex((LOOPBACK, port)) == 0


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
