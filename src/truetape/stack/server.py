"""What every part of the local stack has in common, and how addresses are read."""

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
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it; a server anywhere else is not ours to start."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class Server(Protocol):
    """One part of the stack. `stack` starts, adopts and stops it through these."""

    @property
    def name(self) -> str:
        """The part's name: "kafka"."""

    @property
    def address(self) -> str:
        """Where its clients reach it."""

    @property
    def port_setting(self) -> str:
        """The setting that moves it to another port, with an example."""

    @property
    def port(self) -> int | None:
        """The port of the loopback server, None when it is run elsewhere by somebody else."""

    @property
    def data(self) -> Path:
        """The folder that holds its data."""

    @property
    def sign_in(self) -> str | None:
        """How a person signs in, None where nobody can. Names files, never what is in them."""

    @property
    def ready_within_s(self) -> float:
        """How long it may take from its start until it answers."""

    def program(self, report: Report) -> Program:
        """Prepare its folders and files, and return how it is started; safe to repeat."""

    def problem(self) -> str | None:
        """Ask it a real question; None when it answered, else what went wrong."""

    def set_up(self, report: Report) -> None:
        """Make it usable once it answers (topics, users, tokens); safe to repeat."""


def parse_address(text: str, variable: str) -> Address:
    """Parse `host:port`; ConfigError names the variable it came from."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ConfigError(f"{variable} is {text!r}; set it to host:port, as in 127.0.0.1:19092")
    return Address(host, int(port))


def is_listening(port: int) -> bool:
    """Tell whether anything on this machine accepts connections on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(_CONNECT_WITHIN_S)
        return probe.connect_ex((LOOPBACK, port)) == 0


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
