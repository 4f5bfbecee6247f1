"""The board of batch operations: publications, the quality gate, what archive runs brought. Data
only.
"""

from truetape.dashboards import drawing, flux
from truetape.dashboards.board import Board, Panel, Row
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
    publications,
    told,
    total,
)
from truetape.dashboards.drawing import GREEN, ORANGE, RED

_GATE = 'r.suite != "feed"'
_REPORT = drawing.links(
    {
        "the report, in the console": "${airflow}/truetape/quality/report"
        "?run=${__data.fields.Run}&venue=${__data.fields.Venue:percentencode}"
        "&session=${__data.fields.Session}"
    }
)
_SESSION = drawing.links({DRIFT_TITLE: DRIFT_PAGE})

COMPLETE = Panel(
    "Is what I see complete?",
    "Gate rules that did not hold when a session was last looked at, of the chosen venues: a "
    "closed gate holds its session back, and readers keep what they had.",
    "stat",
    "short",
    [
        flux.pipe(
            told("quality", ("passed", "severity"), _GATE, AT_VENUES),
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
    defaults={
        **drawing.thresholds((None, GREEN), (1, RED)),
        **drawing.said({"0": ("every gate is open", GREEN)}, "nothing was checked"),
    },
    options=drawing.stat(),
)
DONE = Panel(
    "Publications",
    "How many there were in the range, also those that found nothing to change.",
    "stat",
    "short",
    [
        flux.pipe(
            told("publication", ("rev",), AT_VENUES), "count()", "group()", "sum()",
            flux.keep("_value"),
        )
    ],
    width=6,
    defaults=drawing.said({}, "0"),
    options=drawing.stat(),
)  # fmt: skip
WRITTEN = Panel(
    "Edits",
    "Rows that publications of the range wrote.",
    "stat",
    "short",
    [total("publication", "edits", AT_VENUES)],
    width=6,
    defaults=drawing.said({}, "0"),
    options=drawing.stat(),
)
SLOWEST = Panel(
    "Slowest publication",
    "From its lock to its boundary, the wait for the fence and for the seal included.",
    "stat",
    "s",
    [
        largest("publication", "seconds", AT_VENUES)
    ],
    width=6,
    defaults=drawing.said({}, "none"),
    options=drawing.stat(),
)  # fmt: skip
LEDGER = Panel(
    "Publications, one by one",
    f"The newest {LISTED} of the range. A click on the session leads to what it changed.",
    "table",
    "short",
    [
        flux.pipe(
            publications("session", "rev", "bars", "edits", "indicators", "seconds", "who"),
            flux.headed(
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
    defaults={"custom": {"align": "auto", "filterable": True}},
    options=drawing.table("Published", descending=True),
    overrides={"Session": _SESSION, "Rev": {"unit": "none"}, "Took": {"unit": "s"}},
    max_points=300,
)
DURATIONS = Panel(
    "Duration of publications",
    "The slowest of each interval, by venue.",
    "timeseries",
    "s",
    [over_time("publication", "seconds", "max", "venue", where=AT_VENUES)],
    width=10,
    defaults=drawing.points(drawing.label("venue")),
    options=drawing.series("max", "lastNotNull"),
    max_points=200,
)
FAILING = Panel(
    "Rules that do not hold",
    f"The newest {LISTED} results of the range that did not hold; severity gate stops a "
    "publication, flag stops nothing. A click on the run opens its report.",
    "table",
    "short",
    [
        flux.pipe(
            told(
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
            flux.headed(
                _time="Checked", venue="Venue", session="Session", suite="Suite", rule="Rule",
                severity="Severity", kind="Looked at", rows="Rows", unexpected="Unexpected",
                share="Share", run="Run",
            ),
        )
    ],
    width=24,
    defaults={"custom": {"align": "auto", "filterable": True}, "noValue": "every rule held"},
    options=drawing.table("Checked", descending=True),
    overrides={
        "Run": _REPORT,
        "Share": {"unit": "percentunit", "decimals": 2},
        "Severity": drawing.worded({"gate": ("gate", RED), "flag": ("flag", ORANGE)}),
    },
    max_points=300,
)  # fmt: skip
BY_SUITE = Panel(
    "Results by suite",
    "Rules that did not hold, by suite: a suite of a session closes the gate, those of feeds and "
    "of served bars only tell.",
    "timeseries",
    "short",
    [
        flux.pipe(
            told("quality", ("passed",), "r._value == false"),
            flux.joined_windows("count", "suite"),
        )
    ],
    width=12,
    defaults={**drawing.stacked(drawing.label("suite")), "noValue": "every rule held"},
    options=drawing.series("sum"),
    max_points=200,
)
ARCHIVED = Panel(
    "Records of archive runs and backfills",
    "What archive runs counted for the first time; what a backfill brought counts with "
    "the next one.",
    "timeseries",
    "short",
    [over_time("archive", "records", "sum", "topic")],
    width=12,
    defaults=drawing.stacked(drawing.label("topic")),
    options=drawing.series("sum"),
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
        Row(4, (COMPLETE, DONE, WRITTEN, SLOWEST)),
        Row(10, (LEDGER, DURATIONS)),
        Row(10, (FAILING,)),
        Row(8, (BY_SUITE, ARCHIVED)),
    ),
    span="7d",
    refresh="1m",
)
