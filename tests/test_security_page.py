"""Each rule of docs/SECURITY.md has tests, and rules about the code itself are tried here.

Which entry points a rule is tried on: `tests/test_entry_points.py`.
"""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import truetape
from truetape.batch.spark.conf import placement
from truetape.host import jars
from truetape.host.settings import Secret, Settings
from truetape.stack.influx_server import influxd_config

SOURCE = Path(truetape.__file__).parent
ROOT = SOURCE.parents[1]
PAGE = (ROOT / "docs/SECURITY.md").read_text("utf-8")

RULES: dict[str, tuple[str, ...]] = {
    "plain YAML without objects": ("host/test_declared_yaml::test_a_text_is_what_was_written",),
    "unknown fields are refused": (
        "host/test_declared_yaml::test_an_error_names_file_line_and_field",
    ),
    "**Size.**": (
        "feeds/test_decoder::test_a_bad_payload_is_rejected_with_its_reason",
        "kernel/test_decode_agrees::test_whole_and_damaged_payloads_are_read_alike",
        "batch/test_archive::test_each_malformed_record_becomes_one_dead_letter_with_its_coordinates",
    ),
    "**Symbols.**": (
        "feeds/test_decoder::test_a_bad_payload_is_rejected_with_its_reason",
        "serving/test_store_contract::test_an_invalid_symbol_is_a_dead_line",
    ),
    "**Line protocol.**": (
        "serving/test_lines::test_a_value_that_line_protocol_cannot_express_is_refused_and_named",
        "serving/test_lines::test_text_with_control_characters_or_too_many_bytes_is_refused",
        "serving/test_store_contract::test_nan_and_infinity_are_dead_lines",
    ),
    "**Queries.**": (
        "serving/test_store_contract::test_every_valid_symbol_is_stored_separately",
        "dashboards/test_queries::test_a_symbol_with_regular_expression_characters_matches_only_itself",
        "host/test_venues::test_an_error_names_file_line_and_field",
    ),
    "**Reports.**": ("quality/test_expectations::test_terminal_control_characters_are_escaped",),
    "**Charts.**": ("cli/test_show::test_a_symbol_cannot_inject_script_into_the_page",),
    "**The console.**": (
        "console/test_pages::test_every_route_checks_access",
        "console/test_pages::test_without_airflow_s_security_every_request_is_rejected",
        "console/test_pages::test_every_response_has_a_security_policy",
        "console/test_pages::test_a_symbol_that_is_markup_is_shown_as_text_on_every_page",
        "console/test_pages::test_a_page_has_no_inline_script_and_no_inline_style",
        "console/test_pages::test_a_page_loads_nothing_from_another_host",
    ),
    "**Numbers** are": (
        "feeds/test_decoder::test_prices_are_exact_and_keep_their_decimals",
        "test_security_page::test_nothing_is_evaluated_and_no_shell_is_started",
    ),
    "**Arguments.**": (
        "cli/test_every_option::test_no_value_of_an_option_gives_a_traceback",
        "console/test_every_parameter::test_no_value_of_a_parameter_is_an_internal_error",
        "schedule/test_bad_params::test_a_bad_param_is_an_error_of_truetape",
        "history/test_bad_arguments::test_an_argument_is_accepted_or_a_config_error",
    ),
    "**Clocks.**": (
        "feeds/test_decoder::test_a_bad_payload_is_rejected_with_its_reason",
        "faults/test_speed_layer::test_a_record_of_the_future_moves_no_watermark_and_becomes_no_trade",
    ),
    "files of mode 600 in `secrets/`": (
        "host/test_secret_files::test_a_secret_is_private_whatever_the_umask",
        "stack/test_stack_real::test_secrets_are_private_and_appear_in_no_other_file",
        "stack/test_airflow_config::test_secrets_are_generated_once_and_appear_in_no_other_file",
    ),
    "No secret is on a command line, in an environment variable or in a log": (
        "dags/test_airflow_real::test_no_environment_command_line_or_log_contains_a_secret",
        "speed/test_launcher::test_no_token_is_on_the_command_line",
        "deploy/test_airflow_under_fab::test_the_log_shows_no_secret",
    ),
    "inherits only the usual variables": (
        "speed/test_launcher::test_a_driver_inherits_settings_and_no_secret",
    ),
    "the repr of a secret is `***`": ("test_security_page::test_a_secret_is_never_printed",),
    "**Secret files.**": (
        "host/test_secret_files::test_a_secret_that_other_users_can_read_is_refused",
        "test_entry_points::test_every_verb_refuses_a_token_that_others_can_read",
        "test_entry_points::test_every_spark_job_refuses_a_token_that_others_can_read",
        "test_entry_points::test_every_task_refuses_a_token_that_others_can_read",
    ),
    "**Addresses.**": (
        "test_entry_points::test_every_verb_refuses_a_bad_setting_before_it_does_anything",
        "test_entry_points::test_every_spark_job_refuses_a_bad_setting_with_78",
        "test_entry_points::test_every_task_refuses_a_bad_setting",
        "test_entry_points::test_a_dag_file_that_reads_settings_does_not_load_with_a_bad_one",
        "test_entry_points::test_every_page_of_the_console_refuses_a_bad_setting",
        "host/test_settings::test_a_bad_value_is_refused_with_its_variable_and_without_a_password",
        "host/test_addresses::test_an_address_is_shown_without_user_password_and_query",
    ),
    "each role has its own token": (
        "deploy/test_tokens::test_each_role_gets_its_own_token",
        "deploy/test_compose_file::test_only_the_services_that_need_a_secret_see_it",
    ),
    "**Settings.**": (
        "host/test_settings::test_every_setting_has_bad_values",
        "host/test_settings::test_settings_that_contradict_each_other_are_refused_with_their_names",
        "test_entry_points::test_nothing_reads_a_setting_past_the_checks",
    ),
    "**The home.**": (
        "host/test_private_home::test_an_open_home_is_closed_and_that_is_logged_once",
        "host/test_private_home::test_a_home_of_another_user_is_refused",
        "host/test_private_home::test_a_folder_that_holds_other_things_is_refused_and_left_open",
        "test_entry_points::test_every_verb_refuses_a_home_that_is_not_private",
        "test_entry_points::test_every_spark_job_refuses_a_home_that_is_not_private",
        "test_entry_points::test_every_task_refuses_a_home_that_is_not_private",
        "test_entry_points::test_every_page_of_the_console_refuses_a_home_that_is_not_private",
    ),
    "**Files in it** are private": (
        "stack/test_private_files::"
        "test_everything_in_a_home_is_private_after_a_session_was_made_final",
        "host/test_private_home::test_files_made_after_reading_settings_are_private",
    ),
    "follow your umask": (
        "host/test_private_home::"
        "test_what_a_user_asks_for_has_the_rights_that_the_user_s_umask_gives",
    ),
    "Every listener of the stack is on 127.0.0.1": (
        "stack/test_stack_real::test_every_listener_is_on_loopback",
        "dags/test_airflow_real::test_airflow_listens_only_on_loopback",
        "batch/spark/test_conf::test_a_driver_on_this_machine_listens_on_loopback_only",
    ),
    "Spark's UI is off": ("test_security_page::test_spark_s_ui_and_influxdb_s_extras_are_off",),
    "profiling and telemetry off": (
        "test_security_page::test_spark_s_ui_and_influxdb_s_extras_are_off",
    ),
    "never through a shell": (
        "test_security_page::test_nothing_is_evaluated_and_no_shell_is_started",
    ),
    "a reused pid is never hit": (
        "host/test_process::test_a_reused_pid_is_neither_adopted_nor_killed",
    ),
    "one publication at a time": (
        "faults/test_two_homes::test_two_homes_that_publish_one_session_at_once_take_turns",
    ),
    "No clock of a host decides who may write": (
        "faults/test_moved_clocks::test_a_publisher_with_a_wrong_clock_publishes_and_takes_turns",
    ),
    "`uv.lock` with their hashes": (
        "test_security_page::test_what_is_downloaded_is_pinned",
        "deploy/test_image::test_uv_itself_is_the_same_and_has_hashes",
    ),
    "in pinned versions of the named modules": (
        "test_security_page::test_what_is_downloaded_is_pinned",
    ),
}  # fmt: skip
"""Each rule, by words of the page, and the tests that hold it."""


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("rule", RULES)
def test_the_page_has_the_rule(rule: str) -> None:
    assert rule in words(PAGE)


@pytest.mark.parametrize("rule", RULES)
def test_the_tests_of_a_rule_exist(rule: str) -> None:
    for test in RULES[rule]:
        file, _, name = test.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / "tests" / f"{file}.py").read_text(), re.M), test


def test_every_rule_with_a_name_of_its_own_has_tests() -> None:
    named = re.findall(r"^- \*\*.+?\*\*", PAGE, re.MULTILINE)

    assert named
    assert [rule for rule in named if not any(known.startswith(rule[2:]) for known in RULES)] == []


def calls() -> "list[tuple[str, ast.Call]]":
    """Return every call of the product, with its file."""
    return [
        (str(file.relative_to(ROOT)), node)
        for top in ("src", "spark", "dags", "plugins")
        for file in sorted((ROOT / top).rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
    ]


def test_nothing_is_evaluated_and_no_shell_is_started() -> None:
    forbidden = {"eval", "exec", "os.system", "os.popen", "pickle.loads", "pickle.load",
                 "yaml.load", "yaml.unsafe_load", "subprocess.getoutput"}  # fmt: skip
    made = calls()
    named = [(file, ast.unparse(call.func)) for file, call in made]
    with_shell = [file for file, call in made if any(word.arg == "shell" for word in call.keywords)]

    assert [(file, name) for file, name in named if name in forbidden] == []
    assert with_shell == []


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r}".format, "%s".__mod__])
def test_a_secret_is_never_printed(show: "type[str]") -> None:
    assert show(Secret("hunter2")) == "***"
    assert "hunter2" not in show([Secret("hunter2")])


def test_spark_s_ui_and_influxdb_s_extras_are_off(settings: Settings) -> None:
    assert placement(settings, (), (), settings.spark_master)["spark.ui.enabled"] == "false"
    config = influxd_config("127.0.0.1:8086", Path("/data"))
    for option in ("hardening-enabled", "pprof-disabled", "reporting-disabled"):
        assert f'"{option}": true' in config


def test_what_is_downloaded_is_pinned() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))
    files = [
        file
        for package in lock["package"]
        if "registry" in package["source"]
        for file in (*package.get("wheels", ()), *filter(None, [package.get("sdist")]))
    ]
    assert files
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"]) for file in files)
    sums = (ROOT / "deploy/influxd/go.sum").read_text().splitlines()
    assert sums
    assert all(re.fullmatch(r"\S+ v\S+ h1:\S+=", line) for line in sums)
    for jar in (*jars.SPARK, *jars.KAFKA):
        assert re.fullmatch(r"\d+(\.\d+)+", jar.version), jar
