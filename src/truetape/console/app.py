"""The console: one FastAPI application that Airflow mounts at `/truetape`.

It changes nothing: every change is a DAG run, started through Airflow's own API with the viewer's
rights. The server renders the pages; scripts only draw charts and refresh them.
"""

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from pydantic import BeforeValidator
from starlette.exceptions import HTTPException as StarletteHTTPException

from truetape.batch.backfill_request import FORM
from truetape.console import (
    airflow_side,
    chart,
    chart_script,
    drift,
    market,
    overview,
    pages,
    quality,
    runbook,
)
from truetape.console.security import (
    IMMUTABLE,
    Guard,
    MayStart,
    guard,
    may_start_runs,
    with_headers,
)
from truetape.drift.attribution import Cause
from truetape.history.explain_text import COLUMNS, cells, head
from truetape.history.period import parse_instant
from truetape.host.dates import parse_day
from truetape.host.errors import ConfigError, NotThereError, TransientError, TruetapeError
from truetape.host.private_home import current_settings
from truetape.host.settings import Settings
from truetape.host.storage import storage_error
from truetape.host.timeframes import require_timeframe
from truetape.host.venues import venue_named
from truetape.host.words import require_symbol
from truetape.market.resolution import Resolution
from truetape.market.timeframe import Origin, timeframe_of
from truetape.pipeline import judgement_report, offsets
from truetape.pipeline.fact_reader import read_facts
from truetape.pipeline.judgement import judge
from truetape.quality.dag_runs import DagRun
from truetape.schedule import dag_names
from truetape.serving.table import utc

SCRIPTS = {
    "console.css": "text/css",
    **dict.fromkeys(("icon.svg", "icon-dark.svg"), "image/svg+xml"),
    **dict.fromkeys(
        ("airflow.js", "backfill.js", "chart.js", "market.js", "page.js", "theme.js"),
        "text/javascript",
    ),
}
"""Our own files that a page may load, and their media types."""
_STATUS = {NotThereError: 404, ConfigError: 400, TransientError: 503, TruetapeError: 500}
"""The HTTP status of each error: the first class that matches."""


def _checked(parse: Callable[[str], object]) -> BeforeValidator:
    """Return a validator whose error is answered with the parameter's name."""

    def check(text: str) -> object:
        try:
            return parse(text)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    return BeforeValidator(check)


def _instant(text: str) -> int:
    return parse_instant(text if text.endswith("Z") else f"{text}Z", "as_of")


Symbol = Annotated[str, _checked(require_symbol)]
MaybeSymbol = Annotated[str, _checked(lambda text: text and require_symbol(text))]
"""A symbol, or an empty text for all: a form sends every field."""
Venue = Annotated[str, _checked(lambda code: venue_named(code).code)]
MaybeVenue = Annotated[str, _checked(lambda code: code and venue_named(code).code)]
Day = Annotated[date, _checked(parse_day)]
MaybeDay = Annotated[date | None, _checked(lambda text: parse_day(text) if text else None)]
"""A session's date, or an empty text if no date is chosen."""
Width = Annotated[str, _checked(lambda text: require_timeframe(text).value)]
"""Any width of bars, in its usual form."""
Nanoseconds = Annotated[int, Query(ge=0, lt=2**63)]
MaybeInstant = Annotated[int, _checked(lambda text: _instant(text) if text else 0)]
"""An instant in UTC, with or without its Z, as a browser's form sends it; 0 for an empty text."""
FilterText = Annotated[str, Query(max_length=64)]
AirflowId = Annotated[str, Query(min_length=1, max_length=250)]
"""An id of a DAG or of a run, up to the length that Airflow allows."""
ReadSettings = Callable[[], Settings]


def create(
    read_settings: ReadSettings = current_settings,
    access: Guard | None = None,
    may_start: MayStart = may_start_runs,
) -> FastAPI:
    """Build the application. `access` admits or rejects a request, and `may_start` says whether its
    user may start runs of a DAG; by default Airflow decides both.
    """
    app = FastAPI(
        title="truetape",
        dependencies=[Depends(access or guard())],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.read_settings = read_settings
    app.state.may_start = may_start
    app.middleware("http")(with_headers)
    app.exception_handler(TruetapeError)(_answer_error)
    app.exception_handler(OSError)(_answer_storage_error)
    app.exception_handler(StarletteHTTPException)(_answer_refusal)
    app.exception_handler(RequestValidationError)(_answer_bad_query)
    app.include_router(router)
    return app


def _settings(request: Request) -> Settings:
    """Return the settings of this request: from the environment, unless a test replaces them."""
    read_settings: ReadSettings = request.app.state.read_settings
    return read_settings()


async def _may_backfill(request: Request) -> bool:
    may_start: MayStart = request.app.state.may_start
    return await may_start(request, dag_names.BACKFILL_FROM_KAFKA)


router = APIRouter()
RequestSettings = Annotated[Settings, Depends(_settings)]


def _rule_filter(
    suite: FilterText = "", severity: FilterText = "", state: FilterText = ""
) -> quality.RuleFilter:
    return quality.RuleFilter(suite, severity, state)


ChosenRules = Annotated[quality.RuleFilter, Depends(_rule_filter)]


@router.get("/", response_class=HTMLResponse)
@router.get("/overview", response_class=HTMLResponse)
def overview_page(request: Request, settings: RequestSettings) -> str:
    """Show whether what is served is complete."""
    facts = read_facts(settings, lambda: airflow_side.read_dags(settings))
    page = overview.page(settings, facts)
    return _page(request, "overview.html", active="overview", overview=page, facts=facts)


@router.get("/health")
def health(settings: RequestSettings) -> JSONResponse:
    """Return the judgement for monitoring: 200, or 503 while something is wrong."""
    facts = read_facts(settings, lambda: airflow_side.read_dags(settings))
    judgement = judge(facts)
    body = judgement_report.fields(settings, judgement, facts)
    return JSONResponse(body, 503 if judgement.grave else 200)


@router.get("/market", response_class=HTMLResponse)
def market_page(  # noqa: PLR0917 - one parameter a field of the query
    request: Request,
    settings: RequestSettings,
    symbol: MaybeSymbol = "",
    venue: MaybeVenue = "",
    resolution: Width = Resolution.MINUTE.value,
    origin: Origin = Origin.UTC,
    session: MaybeDay = None,
    as_of: MaybeInstant = 0,
) -> str:
    """Show a symbol's chart, and the symbols, venues and sessions to choose from."""
    asked = chart.ChartRequest(symbol, venue, require_timeframe(resolution, origin), session, as_of)
    known = utc(as_of).removesuffix("Z") if as_of else ""
    page = market.page(settings, asked)
    return _page(request, "market.html", active="market", market=page, known=known)


@router.get("/market/chart")
def market_chart(  # noqa: PLR0917 - one parameter a field of the query
    settings: RequestSettings,
    symbol: Symbol,
    venue: MaybeVenue = "",
    resolution: Width = Resolution.MINUTE.value,
    origin: Origin = Origin.UTC,
    session: MaybeDay = None,
    as_of: MaybeInstant = 0,
    from_ns: Nanoseconds | None = None,
    before_ns: Nanoseconds | None = None,
) -> Response:
    """Return the chart of a symbol as JSON: its bars from `from_ns` on, those before `before_ns`,
    or those that the page shows first.
    """
    timeframe = require_timeframe(resolution, origin)
    asked = chart.ChartRequest(symbol, venue, timeframe, session, as_of, from_ns, before_ns)
    content = chart.as_json(chart.read_chart(settings, asked))
    return Response(content, media_type="application/json")


@router.get("/market/bar", response_class=HTMLResponse)
def bar_page(  # noqa: PLR0917 - one parameter a field of the query
    request: Request,
    settings: RequestSettings,
    symbol: Symbol,
    start_ns: Nanoseconds,
    venue: MaybeVenue = "",
    resolution: Resolution = Resolution.MINUTE,
) -> str:
    """Show the trades that made one bar, and the bar's history."""
    asked = chart.ChartRequest(symbol, venue, timeframe_of(resolution), None)
    lineage = market.lineage(settings, asked, start_ns)
    return _page(
        request,
        "bar.html",
        active="market",
        lineage=lineage,
        head=list(head(lineage)),
        columns=(*COLUMNS, "why not"),
        cells=cells,
    )


@router.get("/drift", response_class=HTMLResponse)
def drift_page(request: Request, settings: RequestSettings) -> str:
    """Show the sessions whose served bars were changed by a publication."""
    return _page(request, "drift.html", active="drift", totals=drift.sessions(settings))


@router.get("/drift/session", response_class=HTMLResponse)
def session_page(  # noqa: PLR0917 - one parameter a field of the query
    request: Request,
    settings: RequestSettings,
    venue: Venue,
    session: Day,
    symbol: MaybeSymbol = "",
    cause: Cause | None = None,
) -> str:
    """Show the drift of one session, down to the trades."""
    changes = drift.of_session(settings, drift.session(venue, session), symbol, cause)
    return _page(request, "drift_session.html", active="drift", drift=changes)


@router.get("/quality", response_class=HTMLResponse)
def quality_page(request: Request, settings: RequestSettings) -> str:
    """Show the newest reports."""
    return _page(request, "quality.html", active="quality", summaries=quality.newest(settings))


@router.get("/quality/run", response_class=HTMLResponse)
def run_page(
    request: Request,
    settings: RequestSettings,
    dag: AirflowId,
    run: AirflowId,
    in_tab: bool = False,
) -> str:
    """Show the reports of one run of a DAG; in a tab of Airflow, without the console's menu."""
    reports = quality.of_run(settings, DagRun(dag, run))
    return _page(request, "run.html", active="quality", reports=reports, in_tab=in_tab)


@router.get("/quality/report", response_class=HTMLResponse)
def report_page(
    request: Request,
    settings: RequestSettings,
    run: FilterText,
    chosen: ChosenRules,
    *,
    venue: MaybeVenue = "",
    session: MaybeDay = None,
) -> str:
    """Show one report, rule by rule: all rules, or those of a suite, a severity or a state."""
    page = quality.page(settings, venue, session, run)
    shown = [rule for rule in page.rules if chosen.takes(rule)]
    return _page(request, "report.html", active="quality", page=page, chosen=chosen, shown=shown)


@router.get("/backfill", response_class=HTMLResponse)
def backfill_page(
    request: Request,
    settings: RequestSettings,
    may_start: Annotated[bool, Depends(_may_backfill)],
) -> str:
    """Show which offsets the lake lacks, and to whoever may start the backfill DAG its form."""
    partitions: list[offsets.Partition] = []
    problem = ""
    try:
        partitions = offsets.partitions(settings)
    except TransientError as error:
        problem = str(error)
    return _page(
        request,
        "backfill.html",
        active="backfill",
        partitions=partitions,
        problem=problem,
        fields=FORM,
        may_start=may_start,
        dag=dag_names.BACKFILL_FROM_KAFKA,
    )


@router.get("/runbook", response_class=HTMLResponse)
def runbook_page(request: Request) -> str:
    """Show the runbook of this version; links to its sections lead here."""
    return _page(request, "runbook.html", active="", body=runbook.page())


@router.get("/files/lightweight-charts.js")
def lightweight_charts(request: Request) -> Response:
    """Return the script that draws candles, from the installed package."""
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(chart_script.script(), media_type="text/javascript", headers=_cached())
    headers = {**_cached(), "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    content = chart_script.compressed_script()
    return Response(content, media_type="text/javascript", headers=headers)


@router.get("/files/{name}")
def file(name: str) -> FileResponse:
    """Return one of the files in `SCRIPTS`, and no other."""
    if name not in SCRIPTS:
        raise HTTPException(404, f"no file {name}")
    path = Path(__file__).parent / "static" / name
    return FileResponse(path, media_type=SCRIPTS[name], headers={"Cache-Control": "no-cache"})


def _page(request: Request, template: str, **values: Any) -> str:
    """Render a page. Its links are relative, so they start with one `../` per path segment."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return pages.render(template, root="../" * path.lstrip("/").count("/"), **values)


def _cached() -> Mapping[str, str]:
    return {"Cache-Control": IMMUTABLE}


async def _answer_error(request: Request, error: TruetapeError) -> Response:
    status = next(code for kind, code in _STATUS.items() if isinstance(error, kind))
    return _answer(request, status, str(error))


async def _answer_storage_error(request: Request, error: OSError) -> Response:
    refused = storage_error(error, "TRUETAPE_HOME or the lake")
    if refused is None:
        raise error
    return await _answer_error(request, refused)


async def _answer_refusal(request: Request, error: StarletteHTTPException) -> Response:
    return _answer(request, error.status_code, str(error.detail))


async def _answer_bad_query(request: Request, error: RequestValidationError) -> Response:
    problems = "; ".join(f"{problem['loc'][-1]}: {problem['msg']}" for problem in error.errors())
    return _answer(request, 400, problems)


def _answer(request: Request, status: int, reason: str) -> Response:
    """Answer with an error page, or with JSON if the request does not accept HTML."""
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": reason}, status)
    page = _page(request, "error.html", active="", status=status, reason=reason)
    return HTMLResponse(page, status)
