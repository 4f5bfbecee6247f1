"""Launchers: how a driver is started and ended, here or on a cluster. Decides nothing.

A driver outlives whoever started it; no handle on it is kept but what is written down.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from truetape.batch.spark.conf import READ_BY_SPARK, executor_python, placement, semantics
from truetape.batch.spark.package import packages_for
from truetape.host import process
from truetape.host.errors import ConfigError, TransientError
from truetape.host.jars import spark_jars
from truetape.host.locks import exclusive
from truetape.host.process import Program, Running, log_file, pid_file
from truetape.host.resources import folder
from truetape.host.settings import Settings
from truetape.speed.driver import Driver

NAME = "speed_layer"
TERM_WITHIN_S = 10.0
"""A driver that is made an end of has had its time to stop by itself."""
SUBMIT_WITHIN_S = 120.0
_OTHER_LAUNCH_WITHIN_S = 30.0
_KEPT = ("HOME", "JAVA_TOOL_OPTIONS", "LANG", "PATH", "TZ", *READ_BY_SPARK)
"""What a driver inherits; Airflow's environment holds secrets that are none of its business."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a driver is started with: its order, and the newest epoch that was known then."""

    order: int
    after: int


class Launcher(Protocol):
    """Starts and ends drivers."""

    def start(self, ticket: Ticket, replaces: Driver | None) -> Driver | None:
        """Start a driver and return it, None where its pid is not known here.

        Returns the one that is there when somebody else was faster. A driver that it replaces is
        left to find itself fenced.
        """

    def stop(self, driver: Driver | None, application: str) -> None:
        """Make an end of a driver, by its pid here or by the name that a cluster knows it by."""


def launcher_for(settings: Settings) -> Launcher:
    """Return the launcher that `settings.speed_launcher` names; ConfigError for "elsewhere"."""
    match settings.speed_launcher:
        case "yarn":
            return YarnLauncher(settings)
        case "kubernetes":
            return KubernetesLauncher(settings)
        case "elsewhere":
            raise ConfigError(
                "TRUETAPE_SPEED_LAUNCHER is elsewhere: drivers are started by another supervisor; "
                "set it to local to start them here"
            )
    return LocalLauncher(settings)


def command(ticket: Ticket | None = None) -> tuple[str, ...]:
    """Return the command that runs a driver on this machine."""
    told = () if ticket is None else _arguments(ticket)
    return (sys.executable, "-m", "truetape.cli.main", "--verbose", "speed", "run", *told)


def environment(settings: Settings) -> dict[str, str]:
    """Return a driver's environment: the settings, and nothing of its parent's but the usual."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    python = {
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYSPARK_PYTHON": executor_python(settings.spark_master),
    }
    return kept | python | settings.to_env()


@dataclass(frozen=True, slots=True)
class LocalLauncher:
    """Drivers as processes of this machine, each in a session of its own."""

    settings: Settings

    def start(self, ticket: Ticket, replaces: Driver | None) -> Driver | None:
        """Start a driver; see `Launcher.start`. Safe between processes: a lock file is held."""
        lock = self.settings.home / "run" / f"{NAME}.lock"
        with exclusive(lock, wait_s=_OTHER_LAUNCH_WITHIN_S, report=lambda _: None):
            there = process.find(self._pid_file)
            if there is not None and _driver(there) != replaces:
                return _driver(there)
            return _driver(process.start(self._program(ticket)))

    def stop(self, driver: Driver | None, application: str) -> None:  # noqa: ARG002 - a cluster's
        """Ask a driver to end, and kill it with its JVM when it does not; safe to repeat."""
        if driver is None:
            return
        running = Running(NAME, self.settings.kafka, driver.pid, driver.born, since_s=0.0)
        process.stop(running, within_s=TERM_WITHIN_S)

    def running(self) -> Driver | None:
        """Return the driver that this home has, None when it has none."""
        there = process.find(self._pid_file)
        return None if there is None else _driver(there)

    @property
    def _pid_file(self) -> Path:
        return pid_file(self.settings, NAME)

    def _program(self, ticket: Ticket) -> Program:
        return Program(
            name=NAME,
            address=self.settings.kafka,
            command=command(ticket),
            env=environment(self.settings),
            cwd=self.settings.home,
            log=log_file(self.settings, NAME),
            pid_file=self._pid_file,
        )


@dataclass(frozen=True, slots=True)
class YarnLauncher:
    """Drivers inside of YARN application masters, one attempt each: restarts are decided here."""

    settings: Settings

    def start(self, ticket: Ticket, replaces: Driver | None) -> Driver | None:  # noqa: ARG002 - it is fenced
        """Submit a driver; its pid is known by its first heartbeat."""
        jars = spark_jars(self.settings.cache)
        packages = packages_for(self.settings.spark_master, self.settings.cache)
        _submit(yarn_command(self.settings, jars, packages, ticket), self.settings)
        return None

    def stop(self, driver: Driver | None, application: str) -> None:  # noqa: ARG002 - not ours to signal
        """Kill the application; safe to repeat."""
        if application:
            _submit(("yarn", "application", "-kill", application), self.settings)


@dataclass(frozen=True, slots=True)
class KubernetesLauncher:
    """Drivers as pods of one fixed name: Kubernetes itself refuses a second one."""

    settings: Settings

    def start(self, ticket: Ticket, replaces: Driver | None) -> Driver | None:
        """Submit a driver, after the pod of the last one was removed."""
        self.stop(replaces, "")
        _submit(kubernetes_command(self.settings, ticket), self.settings)
        return None

    def stop(self, driver: Driver | None, application: str) -> None:  # noqa: ARG002 - the pod's name is fixed
        """Remove the pod; safe to repeat."""
        _submit(kubernetes_kill(self.settings), self.settings, may_fail=True)


def yarn_command(
    settings: Settings, jars: Sequence[Path], packages: Sequence[Path], ticket: Ticket
) -> tuple[str, ...]:
    """Return the spark-submit that hands a driver to YARN and does not wait for its end.

    `jars` and `packages` are uploaded with it. The driver runs there, so it takes the Python of
    that machine; YARN would hand on the one that submits.
    """
    python = executor_python(settings.spark_master)
    there = settings.to_env() | {"PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python}
    conf = (
        placement(settings, jars, packages, settings.spark_master)
        | {
            "spark.yarn.maxAppAttempts": "1",
            "spark.yarn.submit.waitAppCompletion": "false",
        }
        | {f"spark.yarn.appMasterEnv.{name}": value for name, value in there.items()}
    )
    program = str(folder("spark") / f"{NAME}.py")
    return _spark_submit(settings, conf, program, ticket)


def kubernetes_command(settings: Settings, ticket: Ticket) -> tuple[str, ...]:
    """Return the spark-submit that starts the driver's pod and does not wait for its end.

    The image, `spark.kubernetes.container.image` of `settings.speed_submit_conf`, holds truetape
    and the Kafka connector.
    """
    conf = (
        placement(settings, (), (), settings.spark_master)
        | {
            "spark.kubernetes.driver.pod.name": pod_name(settings),
            "spark.kubernetes.submission.waitAppCompletion": "false",
        }
        | {f"spark.kubernetes.driverEnv.{name}": value for name, value in settings.to_env().items()}
    )
    return _spark_submit(settings, conf, f"local:///opt/truetape/spark/{NAME}.py", ticket)


def kubernetes_kill(settings: Settings) -> tuple[str, ...]:
    """Return the spark-submit that removes the driver's pod."""
    namespace = settings_conf(settings).get("spark.kubernetes.namespace", "default")
    return (
        "spark-submit",
        "--master",
        settings.spark_master,
        "--kill",
        f"{namespace}:{pod_name(settings)}",
    )


def pod_name(settings: Settings) -> str:
    """Return the name of the driver's pod, one for each layer: a DNS label."""
    return f"truetape-speed-{settings.topic}".lower().replace("_", "-").replace(".", "-")


def settings_conf(settings: Settings) -> dict[str, str]:
    """Return `settings.speed_submit_conf` as pairs; ConfigError names the one that is none."""
    pairs = [text.partition("=") for text in settings.speed_submit_conf]
    for key, equals, value in pairs:
        if not key.startswith("spark.") or not equals or not value:
            raise ConfigError(
                f"TRUETAPE_SPEED_SUBMIT_CONF has {key + equals + value!r}; "
                "give spark.name=value, separated by blanks"
            )
    return {key: value for key, _, value in pairs}


def _spark_submit(
    settings: Settings, conf: dict[str, str], program: str, ticket: Ticket
) -> tuple[str, ...]:
    cluster = {"spark.submit.deployMode": "cluster"}
    pairs = {**cluster, **semantics(), **conf, **settings_conf(settings)}
    return (
        "spark-submit",
        "--master",
        settings.spark_master,
        "--name",
        pod_name(settings),
        *(word for key, value in pairs.items() for word in ("--conf", f"{key}={value}")),
        program,
        *_arguments(ticket),
    )


def _arguments(ticket: Ticket) -> tuple[str, ...]:
    return ("--order", str(ticket.order), "--after", str(ticket.after))


def _submit(words: Sequence[str], settings: Settings, *, may_fail: bool = False) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - argument list built here, no shell
            words,
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SUBMIT_WITHIN_S,
            check=False,
        )
    except FileNotFoundError:
        raise ConfigError(f"no {words[0]} on PATH; TRUETAPE_SPEED_LAUNCHER needs it") from None
    except subprocess.TimeoutExpired:
        raise TransientError(f"{words[0]} took over {SUBMIT_WITHIN_S:.0f} s") from None
    if done.returncode != 0 and not may_fail:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise TransientError(f"{words[0]} ended with {done.returncode}: {''.join(last)}")


def _driver(running: Running) -> Driver:
    return Driver.of(running.pid, running.born)
