"""The Spark master of a connection, as the provider's hook reads it."""

import pytest

from truetape.schedule.batch_job import master_of


@pytest.mark.parametrize(
    ("conn_type", "host", "port", "master"),
    [
        ("spark", "local[2]", None, "local[2]"),
        ("spark", "yarn", None, "yarn"),
        ("spark", "spark://one:7077", None, "spark://one:7077"),
        ("spark", "spark://one", 7077, "spark://one:7077"),
        ("spark", "one", 7077, "spark://one:7077"),
        ("k8s", "10.0.0.1", 6443, "k8s://10.0.0.1:6443"),
    ],
    ids=["local", "yarn", "with port", "port in its own field", "a URI", "a Kubernetes URI"],
)
def test_the_master_is_put_together_from_host_port_and_type(
    conn_type: str, host: str, port: int | None, master: str
) -> None:
    assert master_of(conn_type, host, port) == master
