"""Launchers: start and end drivers, on this machine or on a cluster. Decides nothing.

A driver outlives whoever started it; the only handle on it is what was written down.
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
"""How long a driver may take to end; it had its time to stop by itself before."""
SUBMIT_WITHIN_S = 120.0
_OTHER_LAUNCH_WITHIN_S = 30.0
_INHERITED = ("HOME", "JAVA_TOOL_OPTIONS", "LANG", "PATH", "TZ", *READ_BY_SPARK)
"""Variables that a driver inherits; Airflow's environment holds secrets that it must not see."""


@dataclass(frozen=True, slots=True)
class LaunchArguments:
    """The command that a driver runs under, and the newest epoch known when it was started."""

    command: int
    after: int


class Launcher(Protocol):
    """Starts and ends drivers."""

    def start(self, arguments: LaunchArguments, replaces: Driver | None) -> Driver | None:
        """Start a driver and return it, None if its pid is not known here.

        If somebody else was faster, return the running one. The replaced driver goes on until it
        notices that it lost the lease.
        """

    def stop(self, driver: Driver | None, application: str) -> None:
        """End a driver, by its pid here or by its name on a cluster."""


def launcher_for(settings: Settings) -> Launcher:
    """Return the launcher that the settings name. Raise ConfigError for "elsewhere"."""
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


def command(arguments: LaunchArguments | None = None) -> tuple[str, ...]:
    """Return the command that runs a driver on this machine."""
    options = () if arguments is None else _options(arguments)
    return (sys.executable, "-m", "truetape.cli.main", "--verbose", "speed", "run", *options)


def environment(settings: Settings) -> dict[str, str]:
    """Return a driver's environment: the settings, and the few variables that it inherits."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    python = {
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYSPARK_PYTHON": executor_python(settings.spark_master),
    }
    return inherited | python | settings.to_env()


@dataclass(frozen=True, slots=True)
class LocalLauncher:
    """Drivers as processes of this machine, each in a session of its own."""

    settings: Settings

    def start(self, arguments: LaunchArguments, replaces: Driver | None) -> Driver | None:
        """Start a driver; see `Launcher.start`. Two processes may call it: it locks a file."""
        lock = self.settings.home / "run" / f"{NAME}.lock"
        with exclusive(lock, wait_s=_OTHER_LAUNCH_WITHIN_S, report=lambda _: None):
            running = process.find(self._pid_file)
            if running is not None and _driver(running) != replaces:
                return _driver(running)
            return _driver(process.start(self._program(arguments)))

    def stop(self, driver: Driver | None, application: str) -> None:  # noqa: ARG002 - a cluster's
        """Ask a driver to end, and kill it with its JVM if it does not; safe to repeat."""
        if driver is None:
            return
        running = Running(NAME, self.settings.kafka, driver.pid, driver.born, since_s=0.0)
        process.stop(running, within_s=TERM_WITHIN_S)

    def running(self) -> Driver | None:
        """Return the running driver of this home, None if there is none."""
        running = process.find(self._pid_file)
        return None if running is None else _driver(running)

    @property
    def _pid_file(self) -> Path:
        return pid_file(self.settings, NAME)

    def _program(self, arguments: LaunchArguments) -> Program:
        return Program(
            name=NAME,
            address=self.settings.kafka,
            command=command(arguments),
            env=environment(self.settings),
            cwd=self.settings.home,
            log=log_file(self.settings, NAME),
            pid_file=self._pid_file,
        )


@dataclass(frozen=True, slots=True)
class YarnLauncher:
    """Drivers in YARN application masters, one attempt each: truetape decides about restarts."""

    settings: Settings

    def start(self, arguments: LaunchArguments, replaces: Driver | None) -> Driver | None:  # noqa: ARG002 - it loses the lease
        """Submit a driver; its first heartbeat reports its pid."""
        jars = spark_jars(self.settings.cache)
        packages = packages_for(self.settings.spark_master, self.settings.cache)
        _submit(yarn_command(self.settings, jars, packages, arguments), self.settings)
        return None

    def stop(self, driver: Driver | None, application: str) -> None:  # noqa: ARG002 - not ours to signal
        """Kill the application; safe to repeat."""
        if application:
            _submit(("yarn", "application", "-kill", application), self.settings)


@dataclass(frozen=True, slots=True)
class KubernetesLauncher:
    """Drivers as pods of one fixed name: Kubernetes refuses a second one."""

    settings: Settings

    def start(self, arguments: LaunchArguments, replaces: Driver | None) -> Driver | None:
        """Submit a driver, after removing the pod of the last one."""
        self.stop(replaces, "")
        _submit(kubernetes_command(self.settings, arguments), self.settings)
        return None

    def stop(self, driver: Driver | None, application: str) -> None:  # noqa: ARG002 - the pod's name is fixed
        """Remove the pod; safe to repeat."""
        _submit(kubernetes_kill(self.settings), self.settings, may_fail=True)


def yarn_command(
    settings: Settings, jars: Sequence[Path], packages: Sequence[Path], arguments: LaunchArguments
) -> tuple[str, ...]:
    """Return the spark-submit that hands a driver to YARN and does not wait for its end.

    `jars` and `packages` are uploaded with it. The driver runs on the cluster, so it uses the
    Python of that machine; YARN would pass on the Python of the machine that submits.
    """
    python = executor_python(settings.spark_master)
    variables = settings.to_env() | {"PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python}
    conf = (
        placement(settings, jars, packages, settings.spark_master)
        | {
            "spark.yarn.maxAppAttempts": "1",
            "spark.yarn.submit.waitAppCompletion": "false",
        }
        | {f"spark.yarn.appMasterEnv.{name}": value for name, value in variables.items()}
    )
    program = str(folder("spark") / f"{NAME}.py")
    return _spark_submit(settings, conf, program, arguments)


def kubernetes_command(settings: Settings, arguments: LaunchArguments) -> tuple[str, ...]:
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
    return _spark_submit(settings, conf, f"local:///opt/truetape/spark/{NAME}.py", arguments)


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
    """Return the name of the driver's pod, a DNS label; each layer has its own."""
    return f"truetape-speed-{settings.topic}".lower().replace("_", "-").replace(".", "-")


def settings_conf(settings: Settings) -> dict[str, str]:
    """Return `settings.speed_submit_conf` as pairs."""
    pairs = [text.partition("=") for text in settings.speed_submit_conf]
    return {key: value for key, _, value in pairs}


def _spark_submit(
    settings: Settings, conf: dict[str, str], program: str, arguments: LaunchArguments
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
        *_options(arguments),
    )


def _options(arguments: LaunchArguments) -> tuple[str, ...]:
    return ("--order", str(arguments.command), "--after", str(arguments.after))


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
