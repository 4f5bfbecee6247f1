"""The addresses of a demo's parts, and the verdict of its quality gate. Starts nothing."""

from dataclasses import dataclass
from urllib.parse import quote

from truetape.host.errors import TransientError
from truetape.host.settings import Settings
from truetape.market.sessions import Session
from truetape.quality.report import ReportKind, newest
from truetape.schedule.ui_pages import PAGES, page_in_airflow
from truetape.stack.airflow_server import AirflowServer


@dataclass(frozen=True, slots=True)
class Place:
    """A page or a store to look at: its name, its address, what it shows."""

    what: str
    where: str
    shows: str


@dataclass(frozen=True, slots=True)
class Gate:
    """The verdict on a session: how many rules checked how many rows, and how many flagged."""

    is_open: bool
    rules: int
    flags: int
    rows: int
    page: str


def places(settings: Settings) -> list[Place]:
    """Return the address of each part of a demo, and what it shows."""
    airflow_at = AirflowServer(settings).address
    console = {
        "overview": "is what readers see complete? freshness, lag, holes, boundary, open gates",
        "market": "candles: provisional hollow, changed ones marked; a click leads to the trades",
        "drift": "what became final otherwise than it was served, by cause, down to the trades",
        "quality": "every report of the gate, rule by rule",
        "backfill": "which offsets are missing, and a form that fills them",
    }
    table = [Place("Airflow", airflow_at, "the DAGs: supervision, archive, batch, backfill")]
    table += [Place(f"console: {page}", _page(settings, page), console[page]) for page in PAGES]
    if settings.store == "influx":
        signs = f"buckets and tasks; truetape, password in {settings.home}/secrets/influx-password"
        table.append(Place("InfluxDB", settings.influx_url, signs))
    table.append(Place("Kafka", settings.kafka, f"topic {settings.topic}, payloads as received"))
    table.append(Place("lake", settings.lake, "Delta tables: raw, trades, bars, drift"))
    return table


def market_page(settings: Settings, symbol: str) -> str:
    """Return the address of a symbol's chart."""
    return f"{AirflowServer(settings).address}/{page_in_airflow(f'market?symbol={quote(symbol)}')}"


def gate(settings: Settings, session: Session) -> Gate:
    """Return the verdict of the quality gate on a published session."""
    found = newest(settings.home, ReportKind.GATE, session.venue, session.date)
    if found is None:
        raise TransientError(
            f"{session.venue} {session.date}: the gate wrote no report; see Airflow"
        )
    return Gate(
        is_open=found.is_open,
        rules=len(found.results),
        flags=sum(not result.passed for result in found.results),
        rows=sum(found.rows.values()),
        page=_page(settings, "quality"),
    )


def _page(settings: Settings, page: str) -> str:
    return f"{AirflowServer(settings).address}/{page_in_airflow(PAGES[page])}"
