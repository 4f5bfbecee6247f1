"""The console: one FastAPI application that Airflow mounts at `/truetape`.

Pages are made on the server; scripts only draw charts and refresh them. Reads, changes nothing:
whatever changes something is a DAG run, started through Airflow's own API with the viewer's rights.
"""

import gzip
from collections.abc import Callable, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from pydantic import BeforeValidator
from starlette.exceptions import HTTPException as StarletteHTTPException

from truetape.batch.backfill_request import FORM
from truetape.console import airflow_side, drift, market, offsets, overview, pages, quality
from truetape.console.security import IMMUTABLE, PLOTLY, Guard, guard, with_headers
from truetape.drift.attribution import Cause
from truetape.drift.chart import figure_json as drift_figure
from truetape.history.explain_text import COLUMNS, cells, head
from truetape.host.errors import ConfigError, NotThereError, TransientError, TruetapeError
from truetape.host.settings import Settings
from truetape.market.resolution import Resolution
from truetape.quality.dag_runs import DagRun
from truetape.schedule import dag_names
from truetape.serving.chart import Oscillator

SCRIPTS = {
    "console.css": "text/css",
    **dict.fromkeys(
        ("backfill.js", "draw.js", "drift.js", "market.js", "page.js"), "text/javascript"
    ),
}
"""Files of ours that a page may ask for, and what they are."""
_STATUS = {NotThereError: 404, ConfigError: 400, TransientError: 503, TruetapeError: 500}
"""What a page answers to an error: the first kind that fits."""

Symbol = Annotated[str, Query(min_length=1, max_length=64)]
Venue = Annotated[str, Query(max_length=16)]
Day = Annotated[date | None, BeforeValidator(lambda value: value or None)]
"""A session's date; a form sends an empty text where none is chosen."""
AirflowId = Annotated[str, Query(min_length=1, max_length=250)]
"""An id of a DAG or of a run, as long as Airflow's own may be."""
Ask = Callable[[], Settings]


def create(ask: Ask = Settings.from_env, who: Guard | None = None) -> FastAPI:
    """Build the application. `who` decides who gets in: Airflow, unless a test does."""
    app = FastAPI(
        title="truetape",
        dependencies=[Depends(who or guard())],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.ask = ask
    app.middleware("http")(with_headers)
    app.add_exception_handler(TruetapeError, _told)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misread)
    app.include_router(router)
    return app


def _settings(request: Request) -> Settings:
    """The settings of this request: those of the environment, unless a test gives others."""
    ask: Ask = request.app.state.ask
    return ask()


router = APIRouter()
Here = Annotated[Settings, Depends(_settings)]


@router.get("/", response_class=HTMLResponse)
def overview_page(request: Request, here: Here) -> str:
    """Show whether what is served is complete."""
    found = overview.gather(here, airflow_side.is_supervised())
    wrong = list(overview.concerns(found))
    return _page(request, "overview.html", active="overview", found=found, concerns=wrong)


@router.get("/market", response_class=HTMLResponse)
def market_page(  # noqa: PLR0917 - one parameter a field of the query
    request: Request,
    here: Here,
    symbol: Annotated[str, Query(max_length=64)] = "",
    venue: Venue = "",
    resolution: Resolution = Resolution.MINUTE,
    session: Day = None,
    below: Oscillator = Oscillator.NONE,
) -> str:
    """Show a symbol's chart and what else may be chosen."""
    asked = market.Asked(symbol, venue, resolution, session, below)
    return _page(request, "market.html", active="market", view=market.view(here, asked))


@router.get("/market/chart")
def market_chart(  # noqa: PLR0917 - one parameter a field of the query
    here: Here,
    symbol: Symbol,
    venue: Venue = "",
    resolution: Resolution = Resolution.MINUTE,
    session: Day = None,
    below: Oscillator = Oscillator.NONE,
) -> Response:
    """Return the chart of a symbol as JSON for plotly."""
    asked = market.Asked(symbol, venue, resolution, session, below)
    return Response(market.chart(here, asked), media_type="application/json")


@router.get("/market/bar", response_class=HTMLResponse)
def bar_page(  # noqa: PLR0917 - one parameter a field of the query
    request: Request,
    here: Here,
    symbol: Symbol,
    start_ns: Annotated[int, Query(ge=0, lt=2**63)],
    venue: Venue = "",
    resolution: Resolution = Resolution.MINUTE,
) -> str:
    """Show the trades that made one bar, and its history."""
    found = market.lineage(here, market.Asked(symbol, venue, resolution, None), start_ns)
    return _page(
        request,
        "bar.html",
        active="market",
        found=found,
        head=list(head(found)),
        columns=(*COLUMNS, "why not"),
        cells=cells,
    )


@router.get("/drift", response_class=HTMLResponse)
def drift_page(request: Request, here: Here) -> str:
    """Show which sessions became final otherwise than they were told."""
    return _page(request, "drift.html", active="drift", totals=drift.sessions(here))


@router.get("/drift/session", response_class=HTMLResponse)
def session_page(  # noqa: PLR0917 - one parameter a field of the query
    request: Request,
    here: Here,
    venue: Venue,
    session: date,
    symbol: Annotated[str, Query(max_length=64)] = "",
    cause: Cause | None = None,
) -> str:
    """Show the drift of one session, down to the trades."""
    found = drift.of_session(here, drift.session(venue, session), symbol, cause)
    return _page(request, "drift_session.html", active="drift", found=found)


@router.get("/drift/chart")
def drift_chart(
    here: Here, venue: Venue, session: date, symbol: Annotated[str, Query(max_length=64)] = ""
) -> Response:
    """Return the drift of one session as JSON for plotly."""
    entries = drift.entries_of(here, drift.session(venue, session))
    chosen = [one for one in entries if symbol in ("", one.symbol)]
    return Response(drift_figure(chosen), media_type="application/json")


@router.get("/quality", response_class=HTMLResponse)
def quality_page(request: Request, here: Here) -> str:
    """Show the newest reports."""
    return _page(request, "quality.html", active="quality", checked=quality.newest(here))


@router.get("/quality/run", response_class=HTMLResponse)
def run_page(request: Request, here: Here, dag: AirflowId, run: AirflowId) -> str:
    """Show the reports of one run of a DAG."""
    found = quality.of_run(here, DagRun(dag, run))
    return _page(request, "run.html", active="quality", found=found)


@router.get("/quality/report", response_class=HTMLResponse)
def report_page(
    request: Request,
    here: Here,
    run: Annotated[str, Query(max_length=64)],
    venue: Venue = "",
    session: Day = None,
) -> str:
    """Show one report, rule by rule."""
    found = quality.page(here, venue, session, run)
    return _page(request, "report.html", active="quality", found=found)


@router.get("/backfill", response_class=HTMLResponse)
def backfill_page(request: Request, here: Here) -> str:
    """Show what the lake lacks, and the form that starts the DAG which fills it."""
    found: list[offsets.Partition] = []
    problem = ""
    try:
        found = offsets.partitions(here)
    except TransientError as error:
        problem = str(error)
    return _page(
        request,
        "backfill.html",
        active="backfill",
        partitions=found,
        problem=problem,
        fields=FORM,
        dag=dag_names.BACKFILL_FROM_KAFKA,
    )


@router.get("/files/plotly.js")
def plotly(request: Request) -> Response:
    """Return plotly's script, of the installed package; packed once, not for each reader."""
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return FileResponse(PLOTLY, media_type="text/javascript", headers=_kept())
    headers = {**_kept(), "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return Response(_packed(), media_type="text/javascript", headers=headers)


@router.get("/files/{name}")
def file(name: str) -> FileResponse:
    """Return one of our own files, no other."""
    if name not in SCRIPTS:
        raise HTTPException(404, f"no file {name}")
    path = Path(__file__).parent / "static" / name
    return FileResponse(path, media_type=SCRIPTS[name], headers={"Cache-Control": "no-cache"})


def _page(request: Request, template: str, **values: Any) -> str:
    """Render a page whose links lead back to the console's root from however deep it lies."""
    below = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return pages.render(template, root="../" * below.lstrip("/").count("/"), **values)


@cache
def _packed() -> bytes:
    return gzip.compress(PLOTLY.read_bytes(), mtime=0)


def _kept() -> Mapping[str, str]:
    return {"Cache-Control": IMMUTABLE}


async def _told(request: Request, error: Exception) -> Response:
    """Answer with what could not be done, as a page or for a script."""
    status = next(code for kind, code in _STATUS.items() if isinstance(error, kind))
    return _answer(request, status, str(error))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 - what it is registered for
    return _answer(request, error.status_code, str(error.detail))


async def _misread(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is registered for
    found = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
    return _answer(request, 422, found)


def _answer(request: Request, status: int, reason: str) -> Response:
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": reason}, status)
    page = _page(request, "error.html", active="", status=status, reason=reason)
    return HTMLResponse(page, status)
