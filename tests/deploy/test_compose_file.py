"""The compose file follows every rule, and each rule reports a file that breaks it."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from support import compose_file
from support.compose_file import ComposeFile, problems, read, start_order
from support.compose_tool import config, find_tool
from support.composed import FILE, ROOT, compose
from truetape.cli.main import truetape as command_line
from truetape.deploy.host_files import SECRETS
from truetape.host.errors import ConfigError
from truetape.host.settings import Settings
from truetape.stack import airflow_config
from truetape.stack.influx_server import influxd_config
from truetape.stack.kafka_server import server_properties

SERVICES = sorted(compose().services)
PROGRAMS = {
    "truetape:0.1.0": {"truetape", "airflow", "spark-class"},
    "apache/kafka": {"/opt/kafka/bin/kafka-broker-api-versions.sh"},
    "influxdb": {"influxd", "curl"},
    "postgres": {"psql"},
    "grafana/grafana": {"/bin/sh", "wget"},
}
"""The programs that each image contains, by image name."""


def test_the_compose_file_follows_every_rule() -> None:
    assert problems(compose()) == []


def changed(replaced: str, new: str) -> ComposeFile:
    """Return the compose file with one passage made worse."""
    text = FILE.read_text("utf-8")
    assert replaced in text
    text = text.replace(replaced, new, 1)
    return ComposeFile(FILE, text, yaml.load(text, yaml.CSafeLoader))


@pytest.mark.parametrize(
    ("replaced", "new", "problem"),
    [
        ('["127.0.0.1:${TRUETAPE_GRAFANA_PORT', '["${TRUETAPE_GRAFANA_PORT',
         "open to other machines"),
        ("influxdb:2.9.1@sha256:05d6", "influxdb:latest@sha256:05d6", "not pinned"),
        ("grafana/grafana:13.2.3@sha256:b28bae15e219c998fb0e0424ed724930cc61b1f61fb404d47c862f9a23f9e572",
         "grafana/grafana:13.2.3", "has no digest"),
        ('user: "472:472"', 'user: "0:0"', "grafana: user '0:0' may be root"),
        ("cap_drop: [ALL]", "cap_drop: [NET_RAW]", "keeps capabilities"),
        ("no-new-privileges:true", "no-new-privileges:false", "may gain privileges"),
        ("  init: true\n  read_only: true", "  init: true\n  read_only: false",
         "can write its root"),
        ("mem_limit: 8g", "mem_limit: 0", "airflow-scheduler: has no mem_limit"),
        ("max-size: 10m, ", "", "grows without a bound"),
        ("${TRUETAPE_VENUES:?run make env}", "${TRUETAPE_VENUES:-XNYS}", "is not required"),
        ("${TRUETAPE_VENUES:?run make env}", "${TRUETAPE_NOWHERE:?run make env}",
         "make env does not write"),
        ("GF_SECURITY_ADMIN_PASSWORD__FILE: /run/secrets/grafana-password",
         "GF_SECURITY_ADMIN_PASSWORD: admin", "is a secret in an environment"),
        ("POSTGRES_PASSWORD_FILE: /run/secrets/postgres-password",
         "POSTGRES_PASSWORD_FILE: /etc/passwd", "is not the file of a secret"),
        ("secrets: [postgres-password]", "secrets: []", "which is not mounted"),
        ("TRUETAPE_INFLUX_URL: http://influxdb:8086", "TRUETAPE_INFLUX_URL: http://a:b@influxdb:8086",
         "has a password in an address"),
        ("GF_SECURITY_ADMIN_USER: truetape", "GF_SECURITY_ADMIN_USER: changeme",
         "well-known default"),
        ("./grafana/dashboards:/etc", "./grafana/nowhere:/etc", "does not exist"),
        ("/etc/grafana/dashboards:ro", "/etc/grafana/dashboards",
         "may write into"),
        ("- airflow-logs:/var/log/airflow:ro", "- /var/run/docker.sock:/x", "the engine's socket"),
        ("inner: {internal: true}", "inner: {}", "reaches the outside"),
        ("postgres: {condition: service_healthy}", "postgres: {condition: service_started}",
         "not on service_healthy"),
        ("      spark-master: {condition: service_healthy}\n",
         "      spark-master: {condition: service_healthy}\n"
         "      speed-layer: {condition: service_healthy}\n",
         "wait for each other in a cycle"),
        ("  grafana-data:\n", "  grafana-data:\n  old-data:\n", "no service uses old-data"),
        ("{file: ./secrets/grafana-key}", "{file: ./grafana-key}",
         "make env does not write the secret"),
        ("test: [CMD, psql,", "test: [NONE, psql,", "postgres: has no health check"),
        ("mode=1777,size=64m", "mode=1777", "has no size"),
    ],
)  # fmt: skip
def test_each_broken_rule_is_reported(replaced: str, new: str, problem: str) -> None:
    lines = problems(changed(replaced, new))

    assert [line for line in lines if problem in line], lines


def test_a_file_without_services_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("version: '3'\n")

    with pytest.raises(ConfigError, match="no services"):
        read(tmp_path / "a.yml")


def test_each_service_starts_after_the_services_it_waits_for() -> None:
    order = start_order(compose())

    assert sorted(order) == SERVICES
    for before, after in [
        ("postgres", "airflow-init"), ("airflow-init", "airflow-api"),
        ("airflow-api", "airflow-scheduler"), ("kafka", "stores-init"),
        ("influxdb", "stores-init"), ("stores-init", "grafana"), ("stores-init", "speed-layer"),
        ("spark-master", "spark-worker"), ("spark-worker", "airflow-scheduler"),
    ]:  # fmt: skip
        assert order.index(before) < order.index(after), (before, after)


def words_of(service: Mapping[str, Any], key: str) -> list[str]:
    words = service.get(key, [])
    return shlex.split(words) if isinstance(words, str) else [str(word) for word in words]


def programs(service: Mapping[str, Any]) -> Iterator[str]:
    """Yield the programs that a service runs: its own, and its health check's."""
    for key in ("entrypoint", "command"):
        words = words_of(service, key)
        if words and (key == "entrypoint" or not service.get("entrypoint")):
            yield words[0]
    kind, *test = words_of(service.get("healthcheck", {}), "test") or ["NONE"]
    if kind == "CMD":
        yield test[0]
    if kind == "CMD-SHELL":
        yield test[0].split()[0]


@pytest.mark.parametrize("name", SERVICES)
def test_every_program_exists_in_its_image(name: str) -> None:
    service = compose().services[name]
    image = str(service["image"])
    contained = PROGRAMS.get(image) or PROGRAMS[image.partition(":")[0]]

    assert set(programs(service)) <= contained


def truetape_calls() -> Iterator[tuple[str, list[str]]]:
    for name, service in compose().services.items():
        test = words_of(service.get("healthcheck", {}), "test")
        for words in (words_of(service, "command"), test[1:]):
            if words[:1] == ["truetape"]:
                yield name, words[1:]


@pytest.mark.parametrize(
    "call", [pytest.param(call, id=f"{name}: {' '.join(call)}") for name, call in truetape_calls()]
)
def test_every_call_of_truetape_parses(call: list[str]) -> None:
    command: click.Command = command_line
    context = click.Context(command, info_name="truetape")
    rest = list(call)
    while isinstance(command, click.Group):
        _, rest, _ = command.make_parser(context).parse_args(rest)
        verb, *rest = rest
        subcommand = command.get_command(context, verb)
        assert subcommand is not None, f"no verb {verb}"
        command = subcommand
        context = click.Context(subcommand, parent=context, info_name=verb)
    command.parse_args(context, rest)  # raises for an argument that it does not take


def test_airflow_has_the_components_of_the_local_stack() -> None:
    from truetape.stack.airflow_main import COMPONENTS

    started = {
        tuple(words_of(service, "command")[1:])
        for service in compose().services.values()
        if words_of(service, "command")[:1] == ["airflow"]
    }

    assert started == set(COMPONENTS.values())


ONLY_LOCAL = {
    "core.simple_auth_manager_users": "FAB keeps users in its database; deploy init creates them",
    "core.simple_auth_manager_passwords_file": "as above",
    "database.sql_alchemy_conn": "Postgres; the address holds a password, so it comes by a command",
}
ONLY_COMPOSED = {
    "core.auth_manager": "FAB in place of the simple manager, which is for one machine",
    "database.sql_alchemy_conn_cmd": "see above",
    "logging.dag_processor_child_process_log_directory": "AIRFLOW_HOME is small and in memory here",
}
OTHER_VALUES = {
    "core.dags_folder": "where the image has it",
    "core.plugins_folder": "where the image has it",
    "core.fernet_key_cmd": "where the secret is mounted",
    "core.execution_api_server_url": "the API server is another container",
    "api.host": "in a container of its own; only loopback publishes the port",
    "api.port": "inside the container",
    "api.base_url": "the published port",
    "api.secret_key_cmd": "where the secret is mounted",
    "api_auth.jwt_secret_cmd": "where the secret is mounted",
    "logging.base_log_folder": "a volume that the components share",
}


def composed_options() -> dict[str, str]:
    """Return the options that the compose file gives Airflow, by section and name."""
    given = compose_file.environment(compose().services["airflow-api"])
    matches = {re.fullmatch(r"AIRFLOW__([A-Z_]+?)__(\w+)", name): given[name] for name in given}
    return {f"{match[1]}.{match[2]}".lower(): value for match, value in matches.items() if match}


def local_options(settings: Settings) -> dict[str, str]:
    from configparser import ConfigParser

    parser = ConfigParser()
    parser.read_string(airflow_config.airflow_cfg(settings))
    return {
        f"{part}.{key}": parser[part][key] for part in parser.sections() for key in parser[part]
    }


def test_airflow_s_options_differ_from_the_local_stack_only_where_there_is_a_reason(
    settings: Settings,
) -> None:
    local, composed = local_options(settings), composed_options()

    assert set(local) - set(composed) == set(ONLY_LOCAL)
    assert set(composed) - set(local) == set(ONLY_COMPOSED)
    assert {key for key in set(local) & set(composed) if local[key] != composed[key]} == set(
        OTHER_VALUES
    )


def test_kafka_s_properties_differ_from_the_local_stack_only_in_listeners_and_folders() -> None:
    lines = server_properties(19092, 19093, Path("/logs")).splitlines()
    local = dict(line.split("=", 1) for line in lines)
    given = compose_file.environment(compose().services["kafka"])

    # the names of variables are those of properties, written as the image reads them
    names = {f"KAFKA_{key.upper().replace('.', '_')}": value for key, value in local.items()}
    assert set(names) == set(given) - {"CLUSTER_ID", "KAFKA_HEAP_OPTS"}
    assert {name for name in names if names[name] != given[name]} == {
        "KAFKA_ADVERTISED_LISTENERS", "KAFKA_CONTROLLER_QUORUM_VOTERS", "KAFKA_LISTENERS",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "KAFKA_LOG_DIRS",
    }  # fmt: skip


def test_influxdb_s_options_differ_from_the_local_stack_only_in_address_and_folders() -> None:
    import json

    local = json.loads(influxd_config("127.0.0.1:18086", Path("/data")))
    given = compose_file.environment(compose().services["influxdb"])

    names = {f"INFLUXD_{key.upper().replace('-', '_')}": value for key, value in local.items()}
    assert set(names) == set(given)
    values = {name: str(value).lower() for name, value in names.items()}
    assert {name for name in values if values[name] != given[name].lower()} == {
        "INFLUXD_HTTP_BIND_ADDRESS", "INFLUXD_BOLT_PATH", "INFLUXD_SQLITE_PATH",
        "INFLUXD_ENGINE_PATH",
    }  # fmt: skip


def test_every_truetape_variable_is_a_setting() -> None:
    settings = set(Settings.from_env({}).to_env())
    ours = {
        name
        for service in compose().services.values()
        if str(service["image"]).startswith("truetape:")
        for name in compose_file.environment(service)
        if name.startswith("TRUETAPE_")
    }

    assert ours <= settings


def test_grafana_gets_every_variable_that_its_files_use() -> None:
    service = compose().services["grafana"]
    files = [file for file in (ROOT / "grafana").rglob("*") if file.suffix in (".yaml", ".yml")]
    # "$$" is a dollar sign of Grafana's own
    texts = [file.read_text("utf-8").replace("$$", "") for file in files]
    used = {name for text in texts for name in re.findall(r"\$\{?(TRUETAPE_\w+)", text)}
    exported = set(re.findall(r"export (TRUETAPE_\w+)", str(service["entrypoint"])))
    given = {name for name in compose_file.environment(service) if name.startswith("TRUETAPE_")}

    assert used == given | exported
    assert exported == {"TRUETAPE_GRAFANA_TOKEN"}
    mounts = [str(mount).split(":")[1] for mount in service["volumes"]]
    assert compose_file.environment(service)["TRUETAPE_GRAFANA_DASHBOARDS"] in mounts


def test_only_the_services_that_need_a_secret_see_it() -> None:
    readers = {
        secret.name: {
            name
            for name, service in compose().services.items()
            if secret.name in compose_file.secret_sources(service)
        }
        for secret in SECRETS
    }
    airflow = {name for name in SERVICES if name.startswith("airflow-")}

    assert readers == {
        "airflow-database": airflow,
        "airflow-fernet": airflow,
        "airflow-jwt": airflow,
        "airflow-session": airflow,
        "airflow-passwords": {"airflow-init"},
        "grafana-key": {"grafana"},
        "grafana-password": {"grafana"},
        "influx-operator-token": {"stores-init"},
        "influx-password": {"stores-init"},
        "postgres-password": {"postgres"},
        "spark-defaults": {"spark-master", "spark-worker", "speed-layer", "airflow-scheduler"},
    }


def test_only_the_services_that_write_bars_have_the_writer_s_token() -> None:
    def holders(role: str) -> set[str]:
        mounts = {
            name: [str(mount) for mount in service.get("volumes", [])]
            for name, service in compose().services.items()
        }
        return {
            name for name in mounts for mount in mounts[name] if mount.startswith(f"token-{role}:")
        }

    assert holders("writer") == {"stores-init", "speed-layer", "airflow-scheduler"}
    assert holders("reader") == {"stores-init", "airflow-api"}
    assert holders("grafana") == {"stores-init", "grafana"}


def test_the_console_cannot_change_the_lake_or_the_logs() -> None:
    mounts = compose().services["airflow-api"]["volumes"]

    assert all(mount.endswith(":ro") for mount in mounts)


def test_docker_compose_parses_the_file(tmp_path: Path) -> None:
    tool = find_tool(Settings.from_env({}).cache)
    if tool is None:
        pytest.skip("no compose tool on this machine; make compose-tool builds one")

    parsed = yaml.safe_load(config(tool, FILE))

    assert sorted(parsed["services"]) == SERVICES
    assert parsed["services"]["airflow-api"]["ports"][0]["host_ip"] == "127.0.0.1"
    assert parsed["services"]["spark-worker"]["deploy"]["replicas"] == 2
    assert str(ROOT) not in str(parsed["secrets"])
    worse = tmp_path / "worse.yml"
    worse.write_text(FILE.read_text().replace("    pids_limit: 512", "    pidz_limit: 512", 1))
    with pytest.raises(ConfigError, match="pidz_limit"):
        config(tool, worse)
