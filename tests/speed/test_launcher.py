"""How a driver is started: its command line, and the environment that it inherits."""

import sys
from pathlib import Path

import pytest

from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Settings
from truetape.speed import launcher
from truetape.speed.driver import Driver
from truetape.speed.launcher import (
    KubernetesLauncher,
    LaunchArguments,
    LocalLauncher,
    YarnLauncher,
    command,
    environment,
    kubernetes_command,
    kubernetes_kill,
    launcher_for,
    yarn_command,
)

ARGUMENTS = LaunchArguments(command=3, after=7)
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
"""The name of this version of Python on a machine of a cluster."""


def made(tmp_path: Path, **variables: str) -> Settings:
    env = {f"TRUETAPE_{name.upper()}": value for name, value in variables.items()}
    return Settings.from_env({"TRUETAPE_HOME": str(tmp_path)} | env)


def pairs(words: tuple[str, ...], option: str) -> list[str]:
    return [words[place + 1] for place, word in enumerate(words) if word == option]


@pytest.mark.parametrize(
    ("name", "master", "kind"),
    [
        ("local", "local[2]", LocalLauncher),
        ("yarn", "yarn", YarnLauncher),
        ("kubernetes", "k8s://https://10.0.0.1:6443", KubernetesLauncher),
    ],
)
def test_the_setting_chooses_the_launcher(
    name: str, master: str, kind: type, tmp_path: Path
) -> None:
    settings = made(tmp_path, speed_launcher=name, spark_master=master)

    assert isinstance(launcher_for(settings), kind)


def test_a_local_driver_gets_its_command_and_the_newest_epoch_as_options() -> None:
    assert command(ARGUMENTS)[-6:] == ("speed", "run", "--order", "3", "--after", "7")
    assert command()[-2:] == ("speed", "run")


def test_a_driver_inherits_settings_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "s3cret")
    monkeypatch.setenv("JAVA_HOME", "/opt/java")

    env = environment(made(tmp_path, topic="prints"))

    assert (env["TRUETAPE_TOPIC"], env["JAVA_HOME"]) == ("prints", "/opt/java")
    assert not [name for name in env if name.startswith("AIRFLOW")]


@pytest.mark.parametrize(
    ("master", "executors"), [("local[2]", sys.executable), ("spark://10.0.0.1:7077", PYTHON)]
)
def test_executors_elsewhere_run_the_python_of_their_machine(
    master: str, executors: str, tmp_path: Path
) -> None:
    env = environment(made(tmp_path, spark_master=master))

    assert (env["PYSPARK_DRIVER_PYTHON"], env["PYSPARK_PYTHON"]) == (sys.executable, executors)


def test_yarn_starts_the_driver_once_and_the_submission_does_not_wait_for_its_end(
    tmp_path: Path,
) -> None:
    settings = made(
        tmp_path, spark_master="yarn", speed_submit_conf="spark.yarn.queue=market", topic="prints"
    )

    words = yarn_command(settings, [Path("kafka.jar")], [Path("truetape.zip")], ARGUMENTS)

    assert words[:3] == ("spark-submit", "--master", "yarn")
    assert pairs(words, "--name") == ["truetape-speed-prints"]
    conf = pairs(words, "--conf")
    assert {
        "spark.submit.deployMode=cluster",
        "spark.jars=kafka.jar",
        "spark.submit.pyFiles=truetape.zip",
        "spark.driver.memory=3g",
        "spark.sql.session.timeZone=UTC",
        "spark.yarn.maxAppAttempts=1",
        "spark.yarn.submit.waitAppCompletion=false",
        "spark.yarn.queue=market",
        "spark.yarn.appMasterEnv.TRUETAPE_TOPIC=prints",
        f"spark.yarn.appMasterEnv.PYSPARK_PYTHON={PYTHON}",
        f"spark.yarn.appMasterEnv.PYSPARK_DRIVER_PYTHON={PYTHON}",
    } <= set(conf)
    assert words[-5].endswith("spark/speed_layer.py")
    assert words[-4:] == ("--order", "3", "--after", "7")


def test_a_pod_has_a_fixed_name_so_that_there_is_only_one_driver(tmp_path: Path) -> None:
    settings = made(
        tmp_path,
        spark_master="k8s://https://10.0.0.1:6443",
        speed_submit_conf="spark.kubernetes.container.image=truetape:1 "
        "spark.kubernetes.namespace=market",
        topic="Prints_1",
    )

    words = kubernetes_command(settings, ARGUMENTS)

    conf = pairs(words, "--conf")
    assert "spark.kubernetes.driver.pod.name=truetape-speed-prints-1" in conf
    assert "spark.kubernetes.submission.waitAppCompletion=false" in conf
    assert "spark.kubernetes.container.image=truetape:1" in conf
    assert "spark.kubernetes.driverEnv.TRUETAPE_TOPIC=Prints_1" in conf
    assert words[-5:-4] == ("local:///opt/truetape/spark/speed_layer.py",)
    assert kubernetes_kill(settings)[-1] == "market:truetape-speed-prints-1"


def test_no_token_is_on_the_command_line(tmp_path: Path) -> None:
    token = tmp_path / "secrets" / "influx-token"
    token.parent.mkdir()
    token.write_text("s3cret")
    settings = made(tmp_path, spark_master="yarn")

    for words in (
        yarn_command(settings, [], [], ARGUMENTS),
        kubernetes_command(settings, ARGUMENTS),
    ):
        assert "s3cret" not in " ".join(words)


@pytest.mark.parametrize("conf", ["spark.yarn.queue", "queue=market", "spark.yarn.queue="])
def test_an_entry_of_the_submit_conf_that_is_no_pair_is_named(conf: str, tmp_path: Path) -> None:
    name = conf.partition("=")[0]
    with pytest.raises(ConfigError, match=f"TRUETAPE_SPEED_SUBMIT_CONF has '{name}'"):
        made(tmp_path, speed_submit_conf=conf)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH whose spark-submit and yarn record how they were called, and fail on request."""
    calls = tmp_path / "calls"
    for name in ("spark-submit", "yarn"):
        tool = tmp_path / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(
            f'#!/bin/sh\necho {name} "$@" >> {calls}\n'
            f"if [ -e {tmp_path}/broken ]; then echo no queue >&2; exit 3; fi\n"
        )
        tool.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/bin:/usr/bin")
    monkeypatch.setattr(launcher, "spark_jars", lambda _: [])
    monkeypatch.setattr(launcher, "packages_for", lambda *_: [])
    return calls


def test_a_driver_on_a_cluster_has_no_pid_at_first(cluster: Path, tmp_path: Path) -> None:
    yarn = launcher_for(made(tmp_path, speed_launcher="yarn", spark_master="yarn"))

    assert yarn.start(ARGUMENTS, None) is None
    yarn.stop(None, "application_1_0001")

    submitted, killed = cluster.read_text().splitlines()
    assert submitted.startswith("spark-submit --master yarn ")
    assert killed == "yarn application -kill application_1_0001"


def test_a_pod_is_removed_before_the_next_one_is_created(cluster: Path, tmp_path: Path) -> None:
    pods = launcher_for(made(tmp_path, speed_launcher="kubernetes", spark_master="k8s://here"))

    pods.start(ARGUMENTS, None)

    kill, submit = cluster.read_text().splitlines()
    assert kill == "spark-submit --master k8s://here --kill default:truetape-speed-trades"
    assert submit.startswith("spark-submit --master k8s://here --name truetape-speed-trades ")


def test_a_failed_submission_quotes_the_last_line_of_the_cluster(
    cluster: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken").touch()
    yarn = launcher_for(made(tmp_path, speed_launcher="yarn", spark_master="yarn"))

    with pytest.raises(TransientError, match="spark-submit ended with 3: no queue"):
        yarn.start(ARGUMENTS, None)


def test_missing_cluster_tools_are_a_configuration_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(launcher, "spark_jars", lambda _: [])
    monkeypatch.setattr(launcher, "packages_for", lambda *_: [])
    yarn = launcher_for(made(tmp_path, speed_launcher="yarn", spark_master="yarn"))

    with pytest.raises(ConfigError, match="no spark-submit on PATH"):
        yarn.start(ARGUMENTS, None)


class TestLocalLauncher:
    """Processes of this machine; a sleeping process stands for the driver."""

    @pytest.fixture(autouse=True)
    def _asleep(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(launcher, "command", lambda _: ("sleep", "60"))

    def test_two_starts_at_once_return_the_same_driver(self, tmp_path: Path) -> None:
        here = LocalLauncher(made(tmp_path))
        first = here.start(ARGUMENTS, None)

        assert here.start(ARGUMENTS, None) == first
        here.stop(first, "")

    def test_a_replaced_driver_that_hangs_is_not_killed(self, tmp_path: Path) -> None:
        here = LocalLauncher(made(tmp_path))
        hung = here.start(ARGUMENTS, None)
        successor = here.start(ARGUMENTS, hung)

        assert successor not in (hung, None)
        assert here.start(ARGUMENTS, hung) == successor
        for driver in (hung, successor):
            here.stop(driver, "")

    def test_a_driver_outlives_its_starter(self, tmp_path: Path) -> None:
        """It leads a session of its own: a signal to its starter's group does not reach it."""
        import os

        here = LocalLauncher(made(tmp_path))
        driver = here.start(ARGUMENTS, None)

        assert isinstance(driver, Driver)
        assert os.getsid(driver.pid) == driver.pid
        here.stop(driver, "")
        assert here.start(ARGUMENTS, None) != driver
        here.stop(here.start(ARGUMENTS, None), "")
