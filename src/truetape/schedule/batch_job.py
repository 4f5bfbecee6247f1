"""A batch job as an Airflow task, on the engine of the settings.

Does no work itself: the job is one of `spark/*.py`, and returns its counts in a small JSON file. On
the engine `local` it runs in a child process. On `spark` it is submitted to the connection
`spark_default`: the connection, not code, names the cluster, to which the job ships truetape; its
driver runs on this machine (deploy mode "client").
"""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from truetape.host.errors import ConfigError, TransientError, TruetapeError, of_exit_code
from truetape.host.private_home import current_settings
from truetape.host.resources import folder
from truetape.host.state_files import JsonFile, of_type

if TYPE_CHECKING:
    from airflow.sdk import Context

_COUNTS = JsonFile("outcome of a job", of_type(dict[str, Any]), "run the task again")
_CODE = re.compile(r"Error code is: (\d+)")


class BatchJob(SparkSubmitOperator):
    """Run `spark/<job>.py` and return its counts.

    An exit code of truetape raises the error of that code. So Airflow retries when a server was
    away, and fails at once when a setting must be changed.
    """

    template_fields = (*SparkSubmitOperator.template_fields, "arguments")

    def __init__(self, *, job: str, arguments: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(
            application=str(folder("spark") / f"{job}.py"), name=f"truetape {job}", **kwargs
        )
        self.job = job
        self.arguments = arguments
        self._child: subprocess.Popen[str] | None = None

    def execute(self, context: "Context") -> dict[str, Any]:  # type: ignore[override]
        """Run the job, wait for its end, and read its counts."""
        engine = current_settings().batch_engine
        with TemporaryDirectory(prefix="truetape-job-") as outcome_folder:
            outcome = Path(outcome_folder) / "outcome.json"
            arguments = [*self.arguments, "--outcome", str(outcome)]
            if engine == "local":
                self._run_here([str(self.application), *arguments])
            else:
                self._submit(arguments, context)
            return counts_of(outcome, self.task_id)

    def on_kill(self) -> None:
        """End the child process, or the Spark job."""
        if self._child is None:
            super().on_kill()
        else:
            self._child.terminate()

    def _run_here(self, arguments: Sequence[str]) -> None:
        """Run a script of truetape to its end; its output goes to the log of the task."""
        last = ""
        with subprocess.Popen(  # noqa: S603 - a script of ours, with arguments that argparse checks
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as child:
            self._child = child
            for line in child.stdout or ():
                last = line.rstrip() or last
                self.log.info("%s", line.rstrip())
        if child.returncode:
            kind = of_exit_code(child.returncode) or AirflowException
            raise kind(f"{self.job} ended with {child.returncode}: {last}")

    def _submit(self, arguments: Sequence[str], context: "Context") -> None:
        self.conf = self._configuration()
        self.application_args = list(arguments)
        try:
            super().execute(context)
        except AirflowException as error:
            raise error_of(error) from error

    def _configuration(self) -> dict[str, str]:
        from truetape.batch.spark.conf import interpreters, placement, semantics
        from truetape.batch.spark.package import packages_for
        from truetape.host.jars import spark_jars

        settings = current_settings()
        conn = BaseHook.get_connection(self._conn_id)
        master = master_of(conn.conn_type or "", conn.host or "", conn.port)
        jars, packages = spark_jars(settings.cache), packages_for(master, settings.cache)
        placing = placement(settings, jars, packages, master)
        return {**placing, **interpreters(master), **semantics(), **(self.conf or {})}


class ArchiveJob(BatchJob):
    """Archive new Kafka records. Skip if there are none, without starting a job."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(job="archive", **kwargs)

    def execute(self, context: "Context") -> dict[str, Any]:  # type: ignore[override]
        """Archive, or skip if there is nothing new. Raise ConfigError if Kafka has given offsets
        that the lake has to other records.
        """
        from truetape.lake.coverage import has_new_records
        from truetape.lake.record_identity import require_same_records

        settings = current_settings()
        require_same_records(settings)
        if not has_new_records(settings):
            raise AirflowSkipException("the lake has every record that Kafka has")
        return super().execute(context)


def counts_of(outcome: Path, task: str) -> dict[str, Any]:
    """Read the counts that a job wrote. Raise TransientError if there are none: they go with their
    folder, and the job is safe to repeat.
    """
    try:
        counts = _COUNTS.read(outcome)
    except ConfigError as error:
        raise TransientError(f"{task} ended without its counts: {error}") from None
    if counts is None:
        raise TransientError(f"{task} ended without its counts; run it again")
    return counts


def master_of(conn_type: str, host: str, port: int | None) -> str:
    """Return the Spark master of a connection, as the provider reads it.

    A connection from a form has the whole master in its host; one from a URI has the scheme in its
    type.
    """
    master = host if "://" in host or not port else f"{conn_type}://{host}"
    return f"{master}:{port}" if port else master


def error_of(error: AirflowException) -> AirflowException | TruetapeError:
    """Return the error of a job's exit code; any other error is returned unchanged."""
    match = _CODE.search(str(error))
    kind = of_exit_code(int(match[1])) if match else None
    return error if kind is None else kind(str(error))
