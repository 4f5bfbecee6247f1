"""The steps of the demo: a simulated session through the whole system, in its own empty home.

Prints nothing; the verb `demo` prints what the steps return.
"""

import dataclasses
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from truetape.broker.offsets import end_offsets
from truetape.broker.producer import send_all
from truetape.drift.ledger import BarDrift, DriftLedger
from truetape.feeds.simulator.session import SimulatedSession, SimulationPlan, simulate
from truetape.host import calendars
from truetape.host.errors import ConfigError, TransientError
from truetape.host.settings import Settings
from truetape.host.venues import venues
from truetape.lake.delta import delete_rows
from truetape.lake.publications import newest_publications
from truetape.lake.tables import Table
from truetape.market.resolution import SECOND_NS, STREAMED
from truetape.market.sessions import Session
from truetape.schedule import backfill_tasks, dag_names
from truetape.serving.backends import open_store
from truetape.serving.store import BarStore
from truetape.serving.table import utc
from truetape.stack import airflow_config, influxd, lifecycle
from truetape.stack.airflow_api import AirflowApi, AirflowRun
from truetape.stack.airflow_server import AirflowServer
from truetape.tour import live_market
from truetape.tour.replay import READ_WITHIN_S
from truetape.tour.speed_process import SpeedProcess

VENUE = "XNYS"
SYMBOLS = ("IBM", "MSFT", "AAPL", "SPY", "KO")
DAG = dag_names.batch_recompute(VENUE)
KAFKA, INFLUX_PORT, AIRFLOW_PORT = "127.0.0.1:19192", 18186, 18180
USER = "operator"
HOME = "demo"
"""The folder of the demo in the home; an environment may already name it as the home."""
_SHOWN_BEFORE_CLOSE_NS = 600 * SECOND_NS
_RUN_WITHIN_S = 900.0
_POLL_S = 0.5

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FinalSession:
    """The results of Airflow's tasks for the session that they finalized."""

    recomputed: Mapping[str, int]
    published: Mapping[str, int]
    compared: int
    page: str


@dataclass(frozen=True, slots=True)
class Backfilled:
    """The results of a backfill: its plan, the ingested records, the finalized sessions."""

    planned: Mapping[str, Any]
    ingested: int
    finalized: Sequence[Mapping[str, Any]]
    page: str


def demo_settings(base: Settings) -> Settings:
    """Return settings with the demo's own home and ports; store "embedded" without an influxd."""
    home = base.home if base.home.name == HOME else base.home / HOME
    has_influxd = influxd.find(base) is not None
    return dataclasses.replace(
        base,
        home=home,
        lake=str(home / "lake"),
        kafka=KAFKA,
        influx_external=False,
        influx_url=f"http://127.0.0.1:{INFLUX_PORT}",
        influx_token_file=home / "secrets" / "influx-token",
        airflow=True,
        airflow_port=AIRFLOW_PORT,
        dags_paused=True,
        venues=(VENUE, live_market.VENUE),
        batch_delay_min=0,
        # the simulated session may be some days old, which must not raise an alert
        final_within_min=10_080,
        store="influx" if has_influxd else "embedded",
        bucket_set="live",
        profile="sip",
        feeds=("truetape",),
    )


def environment(base: Settings) -> dict[str, str]:
    """Return the variables that lead other commands to the demo, and of its final session
    DEMO_DAY and DEMO_BAR, the start of a bar.

    Raise ConfigError if no demo ran in this home.
    """
    settings = demo_settings(base)
    if not settings.home.exists():
        raise ConfigError(f"no demo ran in {settings.home}; run `truetape demo` first")
    # the defaults as they are beside another address: it would name an InfluxDB of somebody else
    defaults = Settings.from_env({"TRUETAPE_INFLUX_URL": settings.influx_url}).to_env()
    defaults["TRUETAPE_INFLUX_URL"] = ""
    changed = {name: value for name, value in settings.to_env().items() if value != defaults[name]}
    final = newest_publications(settings.lake, VENUE)
    if not final:
        return changed
    session = calendars.session(venues()[VENUE], final[-1].session)
    bar_ns = (session.close_ns or session.end_ns) - _SHOWN_BEFORE_CLOSE_NS
    return changed | {"DEMO_DAY": str(session.date), "DEMO_BAR": utc(bar_ns)}


def start(settings: Settings, report: Report) -> BarStore:
    """Stop an earlier demo, delete its home and start the servers."""
    if settings.home.exists():
        stop(settings, report)
        shutil.rmtree(settings.home)
    lifecycle.up(settings, report=report)
    store = open_store(settings)
    store.ensure_buckets()
    store.ensure_rollups()
    return store


def simulated(seed: int, seconds: float, trades: int) -> tuple[Session, SimulatedSession]:
    """Simulate the last minutes of the newest session that is over, with its closing auction."""
    session = last_session(time.time_ns())
    opens, closes = session.open_ns or session.start_ns, session.close_ns or session.end_ns
    length = (closes - opens) / SECOND_NS
    plan = SimulationPlan(
        day=session.date,
        venue=VENUE,
        seed=seed,
        symbols=SYMBOLS,
        trades=trades,
        offset_s=length - seconds,
        duration_s=seconds,
    )
    return session, simulate(plan)


def last_session(now_ns: int) -> Session:
    """Return the newest session that is over, by the rule of Airflow's timetable."""
    venue = venues()[VENUE]
    session = calendars.last_regular(venue, now_ns - int(venue.after_hours.total_seconds() * 1e9))
    if session is None:
        raise ConfigError(f"{VENUE} has no session before today; check the clock of this machine")
    return session


def stream(
    settings: Settings, made: SimulatedSession, speed: float, watch: Callable[[], None]
) -> None:
    """Send the session at `speed` times real time while the speed layer serves it.

    Calls `watch` twice a second until the speed layer has read every record.
    """
    driver = SpeedProcess.start(settings)
    try:
        driver.wait_until_ready()
        sender = threading.Thread(
            target=send_all,
            args=(settings.kafka, settings.topic, made.records),
            kwargs={"speed": speed},
            daemon=True,
        )
        sender.start()
        while sender.is_alive():
            driver.check()
            watch()
            sender.join(0.5)
        driver.wait_until_read(end_offsets(settings.kafka, settings.topic), READ_WITHIN_S)
        watch()
    finally:
        driver.stop()


def served(store: BarStore, session: Session) -> int:
    """Count the bars that the speed layer serves for a session."""
    window = (session.venue, session.start_ns, session.end_ns)
    every = [store.digests(resolution, *window) for resolution in STREAMED]
    return sum(digest.bars for digests in every for digest in digests.values())


def airflow(settings: Settings) -> AirflowApi:
    """Sign in to the demo's Airflow and return it."""
    address = AirflowServer(settings).address
    return AirflowApi(address).signed_in(USER, airflow_config.passwords(settings)[USER])


def finish(api: AirflowApi, report: Report) -> FinalSession:
    """Let Airflow's schedule find the session that is over, and wait until it is final.

    Reports each change of a task's state. Raise TransientError if a task fails or takes too long.
    """
    api.unpause(DAG)
    return _final(api, _wait_until_over(api, report, DAG, lambda: next(iter(api.runs(DAG)), None)))


def let_last_night_s_backfill_run(api: AirflowApi, report: Report) -> None:
    """Unpause the DAG that fetches missing records, and wait for its scheduled run of last night,
    with which Airflow begins: it would fetch what the demo deletes.
    """
    dag = dag_names.BACKFILL_FROM_KAFKA
    api.unpause(dag)
    _wait_until_over(api, report, dag, lambda: next(iter(api.runs(dag)), None))


def delete_third(settings: Settings) -> int:
    """Delete archived records, the middle third of each partition, so that the backfill has work.

    Return how many records were deleted.
    """
    thirds = {part: end // 3 for part, end in end_offsets(settings.kafka, settings.topic).items()}
    middle = " or ".join(
        f"(partition = {part} and offset >= {third} and offset < {2 * third})"
        for part, third in thirds.items()
    )
    return delete_rows(settings.lake, Table.RAW, middle)


def backfill(api: AirflowApi, report: Report) -> Backfilled:
    """Run the DAG that fetches missing records and finalizes the affected sessions again."""
    dag = dag_names.BACKFILL_FROM_KAFKA
    triggered = api.trigger(dag, {"reason": "the demo deleted archived records", "dry_run": False})
    run = _wait_until_over(api, report, dag, lambda: api.run(dag, triggered.run))
    return Backfilled(
        planned=api.task_result(run, "plan"),
        ingested=api.task_result(run, backfill_tasks.INGEST)["records"],
        finalized=api.task_result(run, backfill_tasks.FINALIZE)["finalized"],
        page=api.run_page(run),
    )


def unpause_other_dags(api: AirflowApi) -> None:
    """Let the other DAGs run on their schedules too."""
    for dag in (dag_names.ARCHIVE_TRADES, dag_names.REPAIR_SESSIONS, dag_names.MAINTENANCE):
        api.unpause(dag)


def stop(settings: Settings, report: Report) -> None:
    """Stop the live market, its speed layer and the servers of a demo. Safe to repeat."""
    live_market.stop(settings, report)
    lifecycle.down(settings, report)


def _wait_until_over(
    api: AirflowApi, report: Report, dag: str, read_run: Callable[[], AirflowRun | None]
) -> AirflowRun:
    """Report each change of a task's state until the run is over, and return the run."""
    deadline = time.monotonic() + _RUN_WITHIN_S
    shown: dict[str, str] = {}
    while time.monotonic() < deadline:
        run = read_run()
        if run is not None:
            tasks = api.task_states(run)
            for task in [task for task in tasks if tasks[task] != shown.get(task)]:
                report(f"{dag}.{task}: {tasks[task]}")
            shown = tasks
            if run.state == "failed":
                raise TransientError(f"{dag} failed; see {api.run_page(run)}")
            if run.is_over:
                return run
        time.sleep(_POLL_S)
    raise TransientError(f"{dag} did not end in {_RUN_WITHIN_S:.0f} s; see {api.url}")


def drift(settings: Settings, session: Session) -> list[BarDrift]:
    """Return the bars whose value changed between provisional and final, from the ledger."""
    return DriftLedger(settings.lake).of_session(session)


def _final(api: AirflowApi, run: AirflowRun) -> FinalSession:
    return FinalSession(
        recomputed=api.task_result(run, "recompute"),
        published=api.task_result(run, "publish"),
        compared=api.task_result(run, "verify"),
        page=api.run_page(run),
    )
