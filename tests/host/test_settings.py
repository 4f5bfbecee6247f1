"""Settings say the same to a child process as to its parent."""

import pytest

from truetape.host.settings import Settings


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"TRUETAPE_INFLUX_PORT": "28086", "TRUETAPE_KAFKA": "127.0.0.1:29092"},
        {"TRUETAPE_INFLUX_URL": "https://influx.example:8086"},
    ],
    ids=["defaults", "other ports", "an InfluxDB elsewhere"],
)
def test_a_child_process_reads_the_same_settings(env: dict[str, str]) -> None:
    settings = Settings.from_env(env)

    assert Settings.from_env(settings.to_env()) == settings
