"""The Airflow of the local stack: one server for the stack, with four components as children.

Does not run them; `airflow_main` does.
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from truetape.host import secret_files
from truetape.host.errors import TransientError
from truetape.host.locks import Report
from truetape.host.process import Program, log_file, pid_file
from truetape.host.settings import Secret, Settings
from truetape.host.state_files import write_text
from truetape.schedule.dag_names import all_dags
from truetape.stack import airflow_config
from truetape.stack.airflow_api import AirflowApi
from truetape.stack.server import LOOPBACK

_DAGS_READ_WITHIN_S = 90.0
_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class AirflowServer:
    """The Airflow that runs the DAGs of the pipeline with these settings."""

    settings: Settings

    @property
    def name(self) -> str:
        """The part's name."""
        return "airflow"

    @property
    def address(self) -> str:
        """The address of its user interface and its API."""
        return f"http://{LOOPBACK}:{self.settings.airflow_port}"

    @property
    def port_setting(self) -> str:
        """The setting of its port, with an example."""
        return "TRUETAPE_AIRFLOW_PORT, for example TRUETAPE_AIRFLOW_PORT=28080"

    @property
    def port(self) -> int | None:
        """Its port."""
        return self.settings.airflow_port

    @property
    def data(self) -> Path:
        """The folder of its database and of its tasks' logs."""
        return airflow_config.home(self.settings)

    @property
    def sign_in(self) -> str | None:
        """The users, and the file of their passwords."""
        users = ", ".join(airflow_config.USERS)
        return f"sign in as {users}; passwords in {airflow_config.passwords_file(self.settings)}"

    @property
    def ready_within_s(self) -> float:
        """A start takes 60 s here, more than half of it imports; with a new database twice that."""
        return 300.0

    def program(self, report: Report) -> Program:
        """Write its configuration and secrets, and return the program to start."""
        self.data.mkdir(parents=True, exist_ok=True)
        for name in ("jwt", "session"):
            secret_files.ensure(airflow_config.secret_file(self.settings, name))
        secret_files.ensure(
            airflow_config.secret_file(self.settings, "fernet"), airflow_config.new_fernet_key
        )
        airflow_config.ensure_passwords(self.settings)
        write_text(self.data / "airflow.cfg", airflow_config.airflow_cfg(self.settings))
        report("airflow: starting takes about a minute")
        return Program(
            name=self.name,
            address=self.address,
            command=(sys.executable, "-m", "truetape.stack.airflow_main"),
            env=airflow_config.environment(self.settings, os.environ),
            cwd=self.data,
            log=log_file(self.settings, self.name),
            pid_file=pid_file(self.settings, self.name),
        )

    def problem(self) -> str | None:
        """Check its database, scheduler, triggerer and DAG processor. None if all are healthy."""
        try:
            unhealthy = AirflowApi(self.address).unhealthy_components()
        except TransientError as error:
            return str(error)
        return f"not healthy: {', '.join(unhealthy)}" if unhealthy else None

    def missing(self) -> str | None:
        """None: an answer needs all of it."""
        return None

    def set_up(self, report: Report) -> None:
        """Wait until it has read every DAG. Raise TransientError with its import errors if not."""
        api = AirflowApi(self.address).signed_in("viewer", self._password("viewer"))
        deadline = time.monotonic() + _DAGS_READ_WITHIN_S
        while missing := [dag for dag in all_dags(self.settings.venues) if not api.has_dag(dag)]:
            if time.monotonic() > deadline:
                errors = "; ".join(api.import_errors()) or "none"
                raise TransientError(
                    f"Airflow lacks {', '.join(missing)}; its import errors: {errors}. If settings "
                    'changed since it started, run "truetape stack down", then "truetape stack up"'
                )
            time.sleep(_POLL_S)
        report(f"airflow: {len(all_dags(self.settings.venues))} DAGs are loaded")

    def _password(self, user: str) -> Secret:
        return airflow_config.passwords(self.settings)[user]
