"""The Kafka broker of the local stack: one KRaft node on loopback.

Declares no topics; `broker.topics` does.
"""

import os
import subprocess
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

from truetape.broker import topics
from truetape.host.errors import ConfigError, TransientError
from truetape.host.jars import kafka_jars
from truetape.host.java import find_java
from truetape.host.locks import Report
from truetape.host.process import Program, log_file, pid_file
from truetape.host.settings import Settings
from truetape.host.state_files import damaged, read_text, write_text
from truetape.host.storage import storage_error
from truetape.stack.server import LOOPBACK, Address, free_port, is_listening, parse_address

_HEAP = "512m"
_FORMAT_WITHIN_S = 60.0
_INT64_MAX = 2**63 - 1

_META_CURE = "restore it, or move the folder of Kafka away and start over with an empty broker"


@dataclass(frozen=True, slots=True)
class KafkaServer:
    """The broker at `settings.kafka`. An external broker (not on loopback) is only checked."""

    settings: Settings

    @property
    def name(self) -> str:
        """The part's name."""
        return "kafka"

    @property
    def address(self) -> str:
        """Its bootstrap address."""
        return self.settings.kafka

    @property
    def port_setting(self) -> str:
        """The setting of its port, with an example."""
        return "TRUETAPE_KAFKA, for example TRUETAPE_KAFKA=127.0.0.1:29092"

    @property
    def port(self) -> int | None:
        """Its port. None for an external broker."""
        address = self._at()
        return address.port if address.is_loopback else None

    @property
    def data(self) -> Path:
        """The folder of its logs and metadata."""
        return self.settings.home / "kafka"

    @property
    def sign_in(self) -> str | None:
        """Nobody signs in."""
        return None

    @property
    def ready_within_s(self) -> float:
        """A start takes 3 s here, and far longer if it recovers large logs after a crash."""
        return 120.0

    def program(self, report: Report) -> Program:
        """Write the configuration, format the storage once, and return the program to start."""
        java = str(find_java())
        jars = kafka_jars(self.settings.cache, report)
        self.data.mkdir(parents=True, exist_ok=True)
        properties, log4j = self.data / "server.properties", self.data / "log4j2.properties"
        write_text(properties, server_properties(self._at().port, free_port(), self.data / "logs"))
        write_text(log4j, LOG4J2)
        class_path = f"{jars[0].parent}/*"
        self._format(java, class_path, properties, report)
        return Program(
            name=self.name,
            address=self.address,
            command=(
                java,
                f"-Xmx{_HEAP}",
                "-XX:+ExitOnOutOfMemoryError",
                "-Djava.awt.headless=true",
                "-Djava.net.preferIPv4Stack=true",
                f"-Dlog4j2.configurationFile={log4j}",
                "-cp",
                class_path,
                "kafka.Kafka",
                str(properties),
            ),
            env=_environment(),
            cwd=self.data,
            log=log_file(self.settings, self.name),
            pid_file=pid_file(self.settings, self.name),
        )

    def problem(self) -> str | None:
        """Read the cluster's metadata, as any client does. None if that succeeds."""
        port = self.port
        if port is not None and not is_listening(port):
            return f"nothing listens on {self.address}"
        return topics.metadata_problem(self.address)

    def missing(self) -> str | None:
        """None: an answer needs all of it."""
        return None

    def set_up(self, report: Report) -> None:
        """Create the topics of the pipeline."""
        topics.ensure_topics(self.address, self.settings, report)

    def _at(self) -> Address:
        address = parse_address(self.settings.kafka, "TRUETAPE_KAFKA")
        if address.is_loopback and address.host not in (LOOPBACK, "localhost"):
            raise ConfigError(f"TRUETAPE_KAFKA is {self.settings.kafka}; use 127.0.0.1:PORT")
        return address

    def _format(self, java: str, class_path: str, properties: Path, report: Report) -> None:
        if _is_formatted(self.data / "logs" / "meta.properties"):
            return
        report("formatting the storage of a new Kafka broker")
        command = [java, "-cp", class_path, "kafka.tools.StorageTool", "format"]
        command += ["--cluster-id", new_cluster_id(), "--config", str(properties)]
        command += ["--ignore-formatted"]  # completes a format that was killed half-way
        try:
            done = subprocess.run(  # noqa: S603 - argument list, no shell, nothing from outside
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_FORMAT_WITHIN_S,
                check=False,
                env=_environment(),
                umask=0o077,
            )
        except subprocess.TimeoutExpired:
            raise TransientError(
                f"formatting {self.data} took over {_FORMAT_WITHIN_S:.0f} s"
            ) from None
        if done.returncode != 0:
            output = f"{done.stdout}{done.stderr}"
            raise storage_error(output, str(self.data)) or ConfigError(
                f"Kafka could not format {self.data}; its output:\n{output}"
            )


def server_properties(port: int, controller_port: int, logs: Path) -> str:
    """Render the broker's configuration: listeners on loopback, no automatic topics.

    Timestamps of producers have no bound: the broker replaces them, see `topics`.
    """
    values = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "listeners": f"CLIENT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"CLIENT://{LOOPBACK}:{port}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(logs),
        "auto.create.topics.enable": "false",
        "num.partitions": "1",
        "default.replication.factor": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
        # a killed broker cannot register again before its old session has timed out
        "broker.session.timeout.ms": "5000",
        "broker.heartbeat.interval.ms": "1000",
        "log.message.timestamp.after.max.ms": str(_INT64_MAX),
        "log.segment.bytes": "268435456",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "log.cleaner.dedupe.buffer.size": "16777216",
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())


LOG4J2 = """\
appenders = stdout
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %p %c{1} %m%n
rootLogger.level = INFO
rootLogger.appenderRefs = stdout
rootLogger.appenderRef.stdout.ref = stdout
"""


def new_cluster_id() -> str:
    """Return a random Kafka cluster id: 16 bytes in url-safe base64, 22 characters."""
    while True:
        text = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):  # Kafka would read it as an option
            return text


def _environment() -> dict[str, str]:
    inherited = ("PATH", "HOME", "LANG", "TZ")
    return {name: os.environ[name] for name in inherited if name in os.environ}


def _is_formatted(meta: Path) -> bool:
    """True if the storage has an identity. Raise ConfigError if the file of it is damaged: a broker
    without it does not start, and a new one would not own the records.
    """
    text = read_text(meta, _META_CURE)
    if text is None:
        return False
    if not all(f"\n{key}=" in f"\n{text}" for key in ("cluster.id", "node.id", "directory.id")):
        raise damaged(meta, "it lacks an id of the broker", _META_CURE)
    return True
