"""Settings are checked as a whole when they are read, and a child process reads the same ones."""

from dataclasses import fields

import pytest

from truetape.host.errors import ConfigError
from truetape.host.setting_rules import BOUNDS, PROGRESS_WITHIN_S
from truetape.host.settings import Settings
from truetape.speed.observation import POLICY

NOT_IN_ENVIRONMENT_FIELDS = {"influx_port"}
"""A variable without a field: it is the port of `influx_url`."""
NOT_A_NUMBER = ("", "-1", "+5", "1e11", "99999999999999999999", "9" * 5_000, "nan", "inf", "0x10",
                "1_000", "many", "٣", "5 5", "5\n6")  # fmt: skip
BAD_ADDRESSES = ("http://me:hunter2@influx:8086", "http://hunter2@influx", "me:hunter2@influx:8086",
                 "http://me:hun/t@er2@influx", "https://me%3Ahunter2%40influx", "influx:8086",
                 "influx", "ftp://influx", "http://", "http://influx:0", "http://influx:65536",
                 "http://in flux",
                 "http://influx?token=hunter2", "http://influx#hunter2", "http://influx\t:8086",
                 "file:///etc/passwd", "http://" + "a" * 3_000)  # fmt: skip
BAD_TEXTS: dict[str, tuple[str, ...]] = {
    "schemas": ("/nowhere/at/all", ".:/nowhere/at/all"),
    "home": ("~nobody-by-this-name/x",),
    "cache": ("~nobody-by-this-name/x",),
    "influx_token_file": ("~nobody-by-this-name/x",),
    "lake": ("s3a://KEY:hunter2@bucket/lake", "s3a:/KEY:hunter2@bucket", "s3://bucket?sig=hunter2",
             "https://hunter2@store/lake", "abfss://lake:hunter2@account.dfs.core.windows.net/",
             "s3://buc ket/lake"),
    "kafka": ("kafka", "kafka:", ":9092", "kafka:0", "kafka:65536", "kafka:x",
              "me:hunter2@kafka:9092", "a:1,b", "a:1, b:2", "SASL_SSL://kafka:9092", "ka fka:9092"),
    "influx_url": BAD_ADDRESSES,
    "runbook_url": BAD_ADDRESSES,
    "influx_external": ("yes", "1", "true"),
    "influx_org": ("a\nb", "x" * 129),
    "airflow": ("yes", "0"),
    "dags_paused": ("no",),
    "store": ("sqlite", "influx,embedded"),
    "bucket_set": ("weekly",),
    "profile": ("nope", "sip lean", "../sip"),
    "feeds": ("nope", "truetape,nope", "truetape,truetape", "../feeds/truetape", ","),
    "venues": ("NOPE", "XNYS,NOPE", "xnys", "XNYS XNYS", ","),
    "speed_venues": ("NOPE", "XNYS,XNYS", ","),
    "topic": ("a b", "trades/1", "..", "x" * 250, "truetape.control", "trades.rejected", "ä"),
    "speed_engine": ("flink", "Spark", "spark,direct"),
    "speed_launcher": ("slurm",),
    "speed_submit_conf": ("queue=market", "spark.yarn.queue", "spark.authenticate.secret=hunter2",
                          "spark.hadoop.fs.s3a.secret.key=hunter2",
                          "spark.ssl.keyPassword=hunter2",
                          "spark.hadoop.fs.azure.account.key.x.net=hunter2"),
    "batch_engine": ("duckdb", "Spark", "local,spark"),
    "spark_master": ("nope", "spark://", "spark://host", "spark://me:hunter2@host:7077",
                     "k8s://https://me:hunter2@host", "local[", "local[0]", "yarn-cluster"),
    "spark_driver_memory": ("3", "3gb", "100m", "2000g", "-1g", "lots", "0g"),
}  # fmt: skip
CONTRADICTIONS: dict[str, dict[str, str]] = {
    "the slack is larger than the lateness": {
        "TRUETAPE_FUTURE_SLACK_MS": "5001", "TRUETAPE_SPEED_LATENESS_S": "5"},
    "our own InfluxDB on another machine": {
        "TRUETAPE_INFLUX_EXTERNAL": "False", "TRUETAPE_INFLUX_URL": "http://influx:8086"},
    "somebody else's InfluxDB without its address": {"TRUETAPE_INFLUX_EXTERNAL": "True"},
    "YARN launches on no YARN": {"TRUETAPE_SPEED_LAUNCHER": "yarn"},
    "pods without Kubernetes": {
        "TRUETAPE_SPEED_LAUNCHER": "kubernetes", "TRUETAPE_SPARK_MASTER": "yarn"},
    "a driver elsewhere and a file here": {
        "TRUETAPE_SPEED_LAUNCHER": "yarn", "TRUETAPE_SPARK_MASTER": "yarn",
        "TRUETAPE_STORE": "embedded"},
    "Kafka's port for Airflow": {
        "TRUETAPE_KAFKA": "localhost:19092", "TRUETAPE_AIRFLOW_PORT": "19092"},
    "one port for InfluxDB and Airflow": {
        "TRUETAPE_INFLUX_PORT": "28080", "TRUETAPE_AIRFLOW_PORT": "28080"},
    "writes that outlast the supervisor's patience": {
        "TRUETAPE_WRITE_TIMEOUT_S": "30", "TRUETAPE_WRITE_ATTEMPTS": "3"},
}  # fmt: skip


def variable(name: str) -> str:
    return f"TRUETAPE_{name.upper()}"


def bad_values() -> "list[object]":
    numbers = {
        name: (*NOT_A_NUMBER[1:], str(bounds.least - 1), str(bounds.most + 1))
        for name, bounds in BOUNDS.items()
    }
    return [
        pytest.param(name, value, id=f"{name}={value[:30]!r}")
        for name, values in (numbers | BAD_TEXTS).items()
        for value in values
    ]


@pytest.mark.parametrize(("name", "value"), bad_values())
def test_a_bad_value_is_refused_with_its_variable_and_without_a_password(
    name: str, value: str
) -> None:
    with pytest.raises(ConfigError, match=variable(name)) as error:
        Settings.from_env({variable(name): value})
    assert error.value.exit_code == 78
    assert "hunter2" not in str(error.value)
    assert len(str(error.value)) < 1_000


def test_every_setting_has_bad_values() -> None:
    names = {item.name for item in fields(Settings)} | NOT_IN_ENVIRONMENT_FIELDS

    assert BOUNDS.keys() | BAD_TEXTS.keys() == names
    assert not BOUNDS.keys() & BAD_TEXTS.keys()


@pytest.mark.parametrize("name", BOUNDS)
def test_the_bounds_themselves_are_accepted(name: str) -> None:
    bounds = BOUNDS[name]
    # settings that limit each other get room
    room = {"TRUETAPE_SPEED_LATENESS_S": "86400", "TRUETAPE_FUTURE_SLACK_MS": "0",
            "TRUETAPE_WRITE_TIMEOUT_S": "1", "TRUETAPE_WRITE_ATTEMPTS": "1"}  # fmt: skip
    for value in (bounds.least, bounds.most):
        settings = Settings.from_env(room | {variable(name): str(value)})

        shown = settings.influx_url if name == "influx_port" else getattr(settings, name)
        assert str(value) in str(shown)


@pytest.mark.parametrize("env", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_settings_that_contradict_each_other_are_refused_with_their_names(
    env: dict[str, str],
) -> None:
    with pytest.raises(ConfigError) as error:
        Settings.from_env(env)
    assert any(name in str(error.value) for name in env)


@pytest.mark.parametrize("name", ["future_slack_ms", "speed_lateness_s"])
def test_a_slack_as_large_as_the_lateness_is_accepted(name: str) -> None:
    env = {"TRUETAPE_FUTURE_SLACK_MS": "5000", "TRUETAPE_SPEED_LATENESS_S": "5"}

    assert getattr(Settings.from_env(env), name) == int(env[variable(name)])


def test_the_longest_write_and_batch_are_shorter_than_the_supervisor_s_patience() -> None:
    assert POLICY.progress_within_s == PROGRESS_WITHIN_S
    assert BOUNDS["speed_trigger_s"].most < POLICY.progress_within_s


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"TRUETAPE_INFLUX_PORT": "28086", "TRUETAPE_KAFKA": "127.0.0.1:29092"},
        {"TRUETAPE_INFLUX_URL": "https://influx.example:8086"},
        {"TRUETAPE_INFLUX_URL": "https://[::1]:8086/below/a/proxy"},
        {"TRUETAPE_KAFKA": "broker-1:9092,broker-2:9092", "TRUETAPE_SEAL_DELAY_S": "0.00001"},
        {"TRUETAPE_LAKE": "file:///shared/lake", "TRUETAPE_SPARK_MASTER": "spark://a:7077,b:7077"},
        {"TRUETAPE_LAKE": "abfss://lake@account.dfs.core.windows.net/truetape"},
        {"TRUETAPE_LAKE": "relative/lake", "TRUETAPE_INFLUX_TOKEN_FILE": "token"},
        {
            "TRUETAPE_SPEED_LAUNCHER": "kubernetes",
            "TRUETAPE_SPARK_MASTER": "k8s://https://10.0.0.1:6443",
            "TRUETAPE_SPEED_SUBMIT_CONF": "spark.kubernetes.container.image=registry:5000/t:1 "
            "spark.kubernetes.driver.secrets.truetape=/tokens",
        },
    ],
    ids=["defaults", "other ports", "an InfluxDB elsewhere", "below a proxy", "brokers",
         "a cluster", "a container of Azure", "relative paths", "Kubernetes"],
)  # fmt: skip
def test_a_child_process_reads_the_same_settings(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.from_env(env)
    monkeypatch.chdir("/")  # a child starts in another folder

    assert Settings.from_env(settings.to_env()) == settings
