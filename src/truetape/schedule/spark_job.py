"""A Spark job that ends, as an Airflow task: submitted to the connection `spark_default`.

The cluster is the connection, not code: where that names one, the job ships truetape to it. The job
is one of `spark/*.py`; what it counts comes back as a small JSON file, so its driver runs on this
machine (deploy mode "client").
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from truetape.host.errors import TruetapeError, of_exit_code
from truetape.host.resources import folder
from truetape.host.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import Context

_CODE = re.compile(r"Error code is: (\d+)")


class SparkJob(SparkSubmitOperator):
    """Run `spark/<job>.py` and return what it counted.

    A job that ends with one of truetape's exit codes raises the error of that code, so that a
    setting to be changed is not tried again and a server that was away is.
    """

    template_fields = (*SparkSubmitOperator.template_fields, "arguments")

    def __init__(self, *, job: str, arguments: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(
            application=str(folder("spark") / f"{job}.py"), name=f"truetape {job}", **kwargs
        )
        self.arguments = arguments

    def execute(self, context: "Context") -> dict[str, Any]:  # type: ignore[override]
        """Submit the job, wait for its end, and read what it counted."""
        self.conf = self._configuration()
        with TemporaryDirectory(prefix="truetape-job-") as folder_of_outcome:
            outcome = Path(folder_of_outcome) / "outcome.json"
            self.application_args = [*self.arguments, "--outcome", str(outcome)]
            try:
                super().execute(context)
            except AirflowException as error:
                raise named(error) from error
            counted: dict[str, Any] = json.loads(outcome.read_text())
        return counted

    def _configuration(self) -> dict[str, str]:
        from truetape.batch.spark.conf import interpreters, placement, semantics
        from truetape.batch.spark.package import packages_for
        from truetape.host.jars import spark_jars

        settings = Settings.from_env()
        conn = BaseHook.get_connection(self._conn_id)
        master = master_of(conn.conn_type or "", conn.host or "", conn.port)
        jars, packages = spark_jars(settings.cache), packages_for(master, settings.cache)
        placed = placement(settings, jars, packages, master)
        return {**placed, **interpreters(master), **semantics(), **(self.conf or {})}


class ArchiveJob(SparkJob):
    """Archive what Kafka has; skipped where there is nothing new, which takes no Spark to tell."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(job="archive", **kwargs)

    def execute(self, context: "Context") -> dict[str, Any]:  # type: ignore[override]
        """Archive, or skip."""
        from truetape.batch.new_records import has_new_records

        if not has_new_records(Settings.from_env()):
            raise AirflowSkipException("the lake has every record that Kafka has")
        return super().execute(context)


def master_of(conn_type: str, host: str, port: int | None) -> str:
    """Return the master that a connection names, as the provider reads it: a form has all of it in
    the host, a URI has its scheme in the type.
    """
    master = host if "://" in host or not port else f"{conn_type}://{host}"
    return f"{master}:{port}" if port else master


def named(error: AirflowException) -> AirflowException | TruetapeError:
    """Return the error that a job's exit code stands for, the same one for any other code."""
    found = _CODE.search(str(error))
    kind = of_exit_code(int(found[1])) if found else None
    return error if kind is None else kind(str(error))
