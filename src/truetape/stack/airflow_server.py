"""The Airflow of the local stack: one server to the stack, four components below it."""

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
from truetape.schedule.dag_names import all_dags
from truetape.stack import airflow_config
from truetape.stack.airflow_api import AirflowApi
from truetape.stack.server import LOOPBACK

_DAGS_READ_WITHIN_S = 90.0
_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class AirflowServer:
    """The Airflow that runs the pipeline's DAGs with these settings."""

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
        """The setting that moves it."""
        return "TRUETAPE_AIRFLOW_PORT, for example TRUETAPE_AIRFLOW_PORT=28080"

    @property
    def port(self) -> int | None:
        """Its port."""
        return self.settings.airflow_port

    @property
    def data(self) -> Path:
        """Where its database and the logs of its tasks are."""
        return airflow_config.home(self.settings)

    @property
    def sign_in(self) -> str | None:
        """Who may sign in, and where the passwords are."""
        users = ", ".join(airflow_config.USERS)
        return f"sign in as {users}; passwords in {airflow_config.passwords_file(self.settings)}"

    @property
    def ready_within_s(self) -> float:
        """It needs 60 s here, more than half of it for imports; twice that for a new database."""
        return 300.0

    def program(self, report: Report) -> Program:
        """Write its configuration and secrets, and return how it is started."""
        self.data.mkdir(parents=True, exist_ok=True)
        for name in ("jwt", "session"):
            secret_files.ensure(airflow_config.secret_file(self.settings, name))
        secret_files.ensure(
            airflow_config.secret_file(self.settings, "fernet"), airflow_config.new_fernet_key
        )
        airflow_config.ensure_passwords(self.settings)
        (self.data / "airflow.cfg").write_text(airflow_config.airflow_cfg(self.settings))
        report("airflow: its start takes about a minute")
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
        """Ask for the health of its four parts: database, scheduler, triggerer, DAG processor."""
        try:
            ill = AirflowApi(self.address).unhealthy_components()
        except TransientError as error:
            return str(error)
        return f"not healthy: {', '.join(ill)}" if ill else None

    def set_up(self, report: Report) -> None:
        """Wait until it has read every DAG; TransientError with what it says when it cannot."""
        api = AirflowApi(self.address).signed_in("viewer", self._password("viewer"))
        deadline = time.monotonic() + _DAGS_READ_WITHIN_S
        while missing := [dag for dag in all_dags(self.settings.venues) if not api.has_dag(dag)]:
            if time.monotonic() > deadline:
                said = "; ".join(api.import_errors()) or "nothing"
                raise TransientError(
                    f"Airflow lacks {', '.join(missing)}; of its DAG files it says: {said}. Where "
                    'settings changed since it was started: "truetape stack down", then up'
                )
            time.sleep(_POLL_S)
        report(f"airflow: {len(all_dags(self.settings.venues))} DAGs are there")

    def _password(self, user: str) -> Secret:
        return airflow_config.passwords(self.settings)[user]
