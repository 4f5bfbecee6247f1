"""What several boards share: variables, annotations, and queries on the pipeline's metrics."""

from truetape.dashboards import flux
from truetape.dashboards.board import Annotation, ChoiceVariable, QueryVariable, TextVariable

SET = ChoiceVariable(
    "set",
    "Buckets",
    "Which set of influx/buckets.yaml: live expires, history keeps everything.",
    {"live": "live", "history": "history"},
)
AIRFLOW = TextVariable(
    "airflow",
    "Airflow",
    "The address of Airflow, for links to its runs and to truetape's console.",
    "http://127.0.0.1:18080",
)
RESOLUTION = ChoiceVariable(
    "resolution",
    "Resolution",
    "Bars of which width are counted: one trade is in a bar of each.",
    {width: width for width in ("1m", "1s", "5m", "1h", "1d")},
)
ZOOM = ChoiceVariable(
    "res",
    "Resolution",
    "auto follows the zoom; others ask for bars of at least that width. Bars narrower than what a "
    "panel can show are never fetched.",
    {"auto": "1ms", **{width: width for width in ("1s", "1m", "5m", "1h", "1d")}},
)
VENUES = QueryVariable(
    "venues",
    "Venues",
    "Markets whose sessions are shown.",
    flux.lines(
        'import "influxdata/influxdb/schema"',
        flux.pipeline_bucket(),
        'schema.tagValues(bucket: bucket, tag: "venue", start: -30y, '
        'predicate: (r) => r._measurement == "boundary")',
    ),
    many=True,
)
DRIFT_TITLE = "drift of this session, in the console"
DRIFT_PAGE = (
    "${airflow}/truetape/drift/session?venue=${__data.fields.Venue:percentencode}"
    "&session=${__data.fields.Session}"
)
AT_VENUES = "r.venue =~ /^(?:${venues:regex})$/"
LISTED = 200
"""The most rows of a table."""
AT_RESOLUTION = "r.resolution == ${resolution:doublequote}"


def pipeline_points(measurement: str, names: tuple[str, ...], *conditions: str) -> str:
    """Return the start of a query on fields of the pipeline's metrics, within the range."""
    return flux.pipe(
        flux.lines(flux.pipeline_bucket(), "from(bucket: bucket)"),
        flux.RANGE,
        flux.where(measurement, flux.fields(*names), *conditions),
    )


def total(measurement: str, name: str, *conditions: str) -> str:
    """Return a query for one number: the sum of a field over the range."""
    return flux.pipe(
        pipeline_points(measurement, (name,), *conditions),
        "sum()",
        "group()",
        "sum()",
        flux.keep("_value"),
    )


def largest(measurement: str, name: str, *conditions: str) -> str:
    """Return a query for one number: the largest value of a field in the range."""
    return flux.pipe(
        pipeline_points(measurement, (name,), *conditions),
        "max()",
        "group()",
        "max()",
        flux.keep("_value"),
    )


def newest_point(measurement: str, name: str, *conditions: str) -> str:
    """Return the start of a query for the newest point of a field in the range."""
    return flux.pipe(
        pipeline_points(measurement, (name,), *conditions),
        "last()",
        "group()",
        'sort(columns: ["_time"])',
        "last()",
    )


def newest_value(measurement: str, name: str, *conditions: str) -> str:
    """Return a query for the newest value of a field in the range."""
    return flux.pipe(newest_point(measurement, name, *conditions), flux.keep("_time", "_value"))


def over_time(measurement: str, name: str, function: str, *labels: str, where: str = "") -> str:
    """Return a query for a field over time: a series for each combination of the labels."""
    return flux.pipe(
        pipeline_points(measurement, (name,), *([where] if where else [])),
        flux.windows_by(function, *labels),
        flux.keep(*labels, "_time", "_value"),
    )


def publications(*names: str) -> str:
    """Return the start of a query for the newest publications of the range, a row for each."""
    return flux.pipe(
        pipeline_points("publication", names, AT_VENUES),
        'pivot(rowKey: ["_time", "venue"], columnKey: ["_field"], valueColumn: "_value")',
        "group()",
        'sort(columns: ["_time"])',
        f"tail(n: {LISTED})",
    )


PUBLICATIONS = Annotation(
    "Publications",
    "blue",
    flux.pipe(
        pipeline_points("annotation", ("text",), 'r.kind == "publication"'),
        "group()",
        'rename(columns: {_value: "text", venue: "tags"})',
        flux.keep("_time", "text", "tags"),
    ),
)
BOUNDARIES = Annotation(
    "Boundaries",
    "green",
    flux.pipe(
        flux.lines(flux.pipeline_bucket(), "from(bucket: bucket)"),
        "range(start: -30y)",
        flux.where("boundary", flux.fields("final_ns"), 'r.resolution == "1m"'),
        "last()",
        "group()",
        "map(fn: (r) => ({_time: time(v: r._value), "
        'text: "final up to here: " + r.venue, tags: r.venue}))',
    ),
)
"""The present boundary of each venue, not the time when it was set."""
