"""The board of batch operations: publications, the quality gate, archived records. Data only."""

from truetape.dashboards import drawing, flux
from truetape.dashboards.board import Board, Panel, PanelRow
from truetape.dashboards.common import (
    AIRFLOW,
    AT_VENUES,
    DRIFT_PAGE,
    DRIFT_TITLE,
    LISTED,
    PUBLICATIONS,
    SET,
    VENUES,
    largest,
    over_time,
    pipeline_points,
    publications,
    total,
)
from truetape.dashboards.drawing import GREEN, ORANGE, RED

_GATE = 'r.suite != "feed"'
_REPORT = drawing.cell_links(
    {
        "the report, in the console": "${airflow}/truetape/quality/report"
        "?run=${__data.fields.Run}&venue=${__data.fields.Venue:percentencode}"
        "&session=${__data.fields.Session}"
    }
)
_SESSION = drawing.cell_links({DRIFT_TITLE: DRIFT_PAGE})

COMPLETE = Panel(
    "Is what I see complete?",
    "Gate rules that did not hold when a session was last looked at, of the chosen venues: a "
    "closed gate holds its session back, and readers keep what they had.",
    drawing.stat(),
    "short",
    [
        flux.pipe(
            pipeline_points("quality", ("passed", "severity"), _GATE, AT_VENUES),
            "last()",
            "toString()",
            "group()",
            'pivot(rowKey: ["venue", "suite", "rule", "_time"], columnKey: ["_field"], '
            'valueColumn: "_value")',
            'map(fn: (r) => ({_value: if r.severity == "gate" and r.passed == "false" '
            "then 1 else 0}))",
            "sum()",
        )
    ],
    width=6,
    defaults=drawing.thresholds((None, GREEN), (1, RED))
    | drawing.value_texts({"0": ("every gate is open", GREEN)}, "nothing was checked"),
)
DONE = Panel(
    "Publications",
    "How many there were in the range, also those that found nothing to change.",
    drawing.stat(),
    "short",
    [
        flux.pipe(
            pipeline_points("publication", ("rev",), AT_VENUES), "count()", "group()", "sum()",
            flux.keep("_value"),
        )
    ],
    width=6,
    defaults=drawing.value_texts({}, "0"),
)  # fmt: skip
WRITTEN = Panel(
    "Edits",
    "Rows that publications of the range wrote.",
    drawing.stat(),
    "short",
    [total("publication", "edits", AT_VENUES)],
    width=6,
    defaults=drawing.value_texts({}, "0"),
)
SLOWEST = Panel(
    "Slowest publication",
    "From its lock to its boundary, the wait for the fence and for the seal included.",
    drawing.stat(),
    "s",
    [
        largest("publication", "seconds", AT_VENUES)
    ],
    width=6,
    defaults=drawing.value_texts({}, "none"),
)  # fmt: skip
LEDGER = Panel(
    "Publications, one by one",
    f"The newest {LISTED} of the range. A click on the session leads to what it changed.",
    drawing.table("Published", descending=True, filterable=True),
    "short",
    [
        flux.pipe(
            publications("session", "rev", "bars", "edits", "indicators", "seconds", "who"),
            flux.table_columns(
                _time="Published",
                venue="Venue",
                session="Session",
                rev="Rev",
                bars="Bars",
                edits="Edits",
                indicators="Indicators",
                seconds="Took",
                who="Who",
            ),
        )
    ],
    width=14,
    overrides={"Session": _SESSION, "Rev": {"unit": "none"}, "Took": {"unit": "s"}},
    max_points=300,
)
DURATIONS = Panel(
    "Duration of publications",
    "The slowest of each interval, by venue.",
    drawing.points("venue", "max", "lastNotNull"),
    "s",
    [over_time("publication", "seconds", "max", "venue", where=AT_VENUES)],
    width=10,
    max_points=200,
)
FAILING = Panel(
    "Rules that do not hold",
    f"The newest {LISTED} results of the range that did not hold; severity gate stops a "
    "publication, flag stops nothing. A click on the run opens its report.",
    drawing.table("Checked", descending=True, filterable=True),
    "short",
    [
        flux.pipe(
            pipeline_points(
                "quality",
                (
                    "passed", "session", "run", "kind", "severity", "rows", "unexpected", "share",
                ),
                'r.venue =~ /^(?:${venues:regex}|all)$/',
            ),
            'pivot(rowKey: ["_time", "venue", "suite", "rule"], columnKey: ["_field"], '
            'valueColumn: "_value")',
            "filter(fn: (r) => not r.passed)",
            "group()",
            'sort(columns: ["_time"])',
            f"tail(n: {LISTED})",
            flux.table_columns(
                _time="Checked", venue="Venue", session="Session", suite="Suite", rule="Rule",
                severity="Severity", kind="Looked at", rows="Rows", unexpected="Unexpected",
                share="Share", run="Run",
            ),
        )
    ],
    width=24,
    defaults={"noValue": "every rule held"},
    overrides={
        "Run": _REPORT,
        "Share": {"unit": "percentunit", "decimals": 2},
        "Severity": drawing.cell_texts({"gate": ("gate", RED), "flag": ("flag", ORANGE)}),
    },
    max_points=300,
)  # fmt: skip
BY_SUITE = Panel(
    "Results by suite",
    "Rules that did not hold, by suite: a suite of a session closes the gate, those of feeds and "
    "of served bars only tell.",
    drawing.stacked("suite"),
    "short",
    [
        flux.pipe(
            pipeline_points("quality", ("passed",), "r._value == false"),
            flux.windows_by("count", "suite"),
        )
    ],
    width=12,
    defaults={"noValue": "every rule held"},
    max_points=200,
)
ARCHIVED = Panel(
    "Records of archive runs and backfills",
    "What archive runs counted for the first time; what a backfill brought counts with "
    "the next one.",
    drawing.stacked("topic"),
    "short",
    [over_time("archive", "records", "sum", "topic")],
    width=12,
    links={"backfills, in Airflow": "${airflow}/dags/backfill_from_kafka/runs"},
    max_points=200,
)

BOARD = Board(
    uid="truetape-batch",
    folder="pipeline",
    title="Batch operations",
    description="What the batch layer did and what held it up. Everything stands at the time of "
    "the run, not of the bar.",
    variables=(SET, VENUES, AIRFLOW),
    annotations=(PUBLICATIONS,),
    rows=(
        PanelRow(4, (COMPLETE, DONE, WRITTEN, SLOWEST)),
        PanelRow(10, (LEDGER, DURATIONS)),
        PanelRow(10, (FAILING,)),
        PanelRow(8, (BY_SUITE, ARCHIVED)),
    ),
    span="7d",
    refresh="1m",
)
