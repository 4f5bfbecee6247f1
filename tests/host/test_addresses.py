"""No address is printed with user info, also none that nobody could parse."""

import pytest

from truetape.host.addresses import loopback_port, without_user_info
from truetape.host.errors import TransientError
from truetape.host.http import call
from truetape.host.settings import Secret
from truetape.serving.http import InfluxHttp
from truetape.stack.server import free_port


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://127.0.0.1:8086", "http://127.0.0.1:8086"),
        ("http://me:hunter2@host:1/path", "http://***@host:1/path"),
        ("http://hunter2@host", "http://***@host"),
        ("http://me:hun/ter2@hunter2@host", "http://***@host"),
        ("me:hunter2@kafka:9092", "***@kafka:9092"),
        ("me:hunter2@a:1,me:hunter2@b:2", "***@b:2"),
        ("k8s://https://me:hunter2@host", "k8s://https://***@host"),
        ("s3a:/KEY:hunter2@bucket", "s3a:/***@bucket"),
        ("http://me%3Ahunter2%40host", "http://***@host"),
        ("http://me:hun\nter2@host", "http://***@host"),
        ("postgresql+psycopg2://airflow:hunter2@postgres:5432/airflow",
         "postgresql+psycopg2://***@postgres:5432/airflow"),
        ("http://host?token=hunter2", "http://host?***"),
        ("http://host#hunter2", "http://host?***"),
        ("", ""),
    ],
)  # fmt: skip
def test_an_address_is_shown_without_user_password_and_query(address: str, shown: str) -> None:
    assert without_user_info(address) == shown


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    """Also where the address is no setting, as that of a health check."""
    with pytest.raises(TransientError, match=r"\*\*\*@127") as error:
        call(f"http://me:hunter2@127.0.0.1:{free_port()}", "GET", "/health")
    assert "hunter2" not in str(error.value)


def test_an_influxdb_that_does_not_answer_is_named_without_its_password() -> None:
    url = f"http://me:hunter2@127.0.0.1:{free_port()}"
    server = InfluxHttp(url, "truetape", Secret("token"), timeout_s=1.0, attempts=1)

    with pytest.raises(TransientError, match=r"\*\*\*@127") as error:
        server.send("GET", "/health")
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("address", "port"),
    [("127.0.0.1:9092", 9092), ("localhost:1", 1), ("http://127.0.0.1:8086", 8086),
     ("http://[::1]:8086", 8086), ("kafka:9092", None), ("http://influx:8086", None),
     ("127.0.0.1:1,127.0.0.1:2", None)],
)  # fmt: skip
def test_only_an_address_of_this_machine_has_a_port_of_ours(address: str, port: int | None) -> None:
    assert loopback_port(address) == port
