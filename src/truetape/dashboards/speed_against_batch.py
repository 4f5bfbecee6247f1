"""The board of speed against batch: the changes of publications to served bars. Data only."""

from truetape.dashboards import drawing, flux
from truetape.dashboards.board import Board, Panel, PanelRow
from truetape.dashboards.common import (
    AIRFLOW,
    AT_RESOLUTION,
    AT_VENUES,
    DRIFT_PAGE,
    DRIFT_TITLE,
    LISTED,
    PUBLICATIONS,
    RESOLUTION,
    SET,
    VENUES,
    largest,
    over_time,
    pipeline_points,
    publications,
    total,
)
from truetape.dashboards.drawing import GREEN, ORANGE, RED

_CHOSEN = f"{AT_RESOLUTION} and {AT_VENUES}"
_SESSION_LINKS = {
    DRIFT_TITLE: DRIFT_PAGE,
    "runs of its DAG, in Airflow": "${airflow}/dags/${__data.fields.DAG}/runs",
}
_WITH_DAG = 'map(fn: (r) => ({r with dag: "batch_recompute_" + strings.toLower(v: r.venue)}))'
_HIDDEN = {"custom.hidden": True}
_LINKED = drawing.cell_links(_SESSION_LINKS)

COMPLETE = Panel(
    "Is what I see complete?",
    "Bars that publications of the range changed and that no cause explains, in the chosen "
    "resolution. Anything but 0 is a defect: docs/RUNBOOK.md, unexplained drift.",
    drawing.stat(),
    "short",
    [total("drift", "bars", 'r.cause == "unexplained"', _CHOSEN)],
    width=6,
    defaults=drawing.thresholds((None, GREEN), (1, RED))
    | drawing.value_texts({"0": ("every change is explained", GREEN)}, "every change is explained"),
)


def _counted(title: str, description: str, name: str) -> Panel:
    return Panel(
        title,
        description + " A bar with two causes counts for each of them.",
        drawing.stat(),
        "short",
        [total("drift", name, _CHOSEN)],
        width=4,
        defaults=drawing.thresholds((None, GREEN), (1, ORANGE)) | drawing.value_texts({}, "0"),
    )


CHANGED = _counted("Changed bars", "Bars that were served with other values.", "changed")
MISSING = _counted("Missing bars", "Bars that the speed layer had not served at all.", "missing")
EXTRA = _counted(
    "Extra bars", "Bars that were served and have no trades any more: they became void.", "extra"
)
LARGEST = Panel(
    "Largest change of a close",
    "The largest change of a close that one cause made in one bar, in basis points.",
    drawing.stat(),
    "none",
    [
        largest("drift", "max_abs_bps", _CHOSEN)
    ],
    width=6,
    defaults={"decimals": 2} | drawing.value_texts({}, "0"),
)  # fmt: skip
BY_CAUSE = Panel(
    "Drift by cause",
    "Bars that publications changed, by cause, at the time of the publication.",
    drawing.stacked("cause"),
    "short",
    [over_time("drift", "bars", "sum", "cause", where=_CHOSEN)],
    width=12,
    max_points=200,
)
SIZES = Panel(
    "Largest change of a close, by cause",
    "In basis points, at the time of the publication.",
    drawing.points("cause", "max"),
    "none",
    [over_time("drift", "max_abs_bps", "max", "cause", where=_CHOSEN)],
    width=12,
    defaults={"decimals": 2},
    max_points=200,
)
BY_SESSION = Panel(
    "Drift by session and cause",
    f"The newest {LISTED} entries: one for each cause that a publication found in a session. A "
    "click on the session leads to its bars in the console and to its runs in Airflow.",
    drawing.table("Published", descending=True, filterable=True),
    "short",
    [
        flux.lines('import "strings"', flux.pipe(
            pipeline_points(
                "drift",
                (
                    "session", "rev", "bars", "changed", "missing", "extra", "max_abs_bps",
                    "volume",
                ),
                _CHOSEN,
            ),
            'pivot(rowKey: ["_time", "venue", "cause"], columnKey: ["_field"], '
            'valueColumn: "_value")',
            "group()",
            'sort(columns: ["_time"])',
            f"tail(n: {LISTED})",
            _WITH_DAG,
            flux.table_columns(
                _time="Published", venue="Venue", session="Session", cause="Cause", rev="Rev",
                bars="Bars", changed="Changed", missing="Missing", extra="Extra",
                max_abs_bps="Largest (bp)", volume="Volume", dag="DAG",
            ),
        ))
    ],
    width=24,
    overrides={
        "Session": _LINKED,
        "DAG": _HIDDEN,
        "Rev": {"unit": "none"},
        "Largest (bp)": {"unit": "none", "decimals": 2},
        "Cause": drawing.cell_texts({"unexplained": ("unexplained", RED)}),
    },
    max_points=300,
)  # fmt: skip
BOUNDARY = Panel(
    "Boundary and fence",
    "Where each venue is final, whatever the range: from `final from` to `final to` every bar is "
    "final and none is missing; the speed layer writes nothing below `fence`.",
    drawing.table("Venue"),
    "dateTimeAsIso",
    [
        flux.pipe(
            flux.lines(flux.pipeline_bucket(), "from(bucket: bucket)"),
            "range(start: -30y)",
            flux.where(
                "boundary",
                flux.fields("final_ns", "final_from_ns", "fence_ns"),
                AT_RESOLUTION,
                AT_VENUES,
            ),
            "last()",
            "group()",
            'pivot(rowKey: ["venue"], columnKey: ["_field"], valueColumn: "_value")',
            "map(fn: (r) => ({venue: r.venue, final_from: time(v: r.final_from_ns), "
            "final_to: time(v: r.final_ns), fence: time(v: r.fence_ns)}))",
            flux.table_columns(
                venue="Venue", final_from="Final from", final_to="Final to", fence="Fence"
            ),
        )
    ],
    width=12,
)
REVISIONS = Panel(
    "Revisions",
    f"The newest {LISTED} publications of the range, also those that found nothing to change.",
    drawing.table("Published", descending=True, filterable=True),
    "short",
    [
        flux.lines(
            'import "strings"',
            flux.pipe(
                publications("session", "rev", "edits", "who"),
                _WITH_DAG,
                flux.table_columns(
                    _time="Published",
                    venue="Venue",
                    session="Session",
                    rev="Rev",
                    edits="Edits",
                    who="Who",
                    dag="DAG",
                ),
            ),
        )
    ],
    width=12,
    overrides={"Session": _LINKED, "DAG": _HIDDEN, "Rev": {"unit": "none"}},
    max_points=300,
)

BOARD = Board(
    uid="truetape-drift",
    folder="reconcile",
    title="Speed against batch",
    description="What became final otherwise than it was served before, and why. Everything stands "
    "at the time of the publication, not of the bar.",
    variables=(SET, VENUES, RESOLUTION, AIRFLOW),
    annotations=(PUBLICATIONS,),
    rows=(
        PanelRow(4, (COMPLETE, CHANGED, MISSING, EXTRA, LARGEST)),
        PanelRow(9, (BY_CAUSE, SIZES)),
        PanelRow(10, (BY_SESSION,)),
        PanelRow(9, (BOUNDARY, REVISIONS)),
    ),
    span="7d",
    refresh="1m",
)
