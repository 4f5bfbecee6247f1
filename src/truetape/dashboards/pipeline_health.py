"""The board of pipeline health: freshness, lag, rejected records. Data only."""

from truetape.dashboards import drawing, flux
from truetape.dashboards.board import Board, Panel, PanelRow
from truetape.dashboards.common import (
    AIRFLOW,
    PUBLICATIONS,
    SET,
    newest_point,
    newest_value,
    over_time,
    pipeline_points,
    total,
)
from truetape.dashboards.drawing import GREEN, ORANGE, RED

RED_FRESHNESS_S = 30
SILENT_S = 300

_BACKFILL_PAGE = {"holes, and the form that fills them": "${airflow}/truetape/backfill"}


def _newest_of(measurement: str, *names: str) -> str:
    """Return a query for the newest values of fields in all series, as rows of one table."""
    return flux.pipe(
        "from(bucket: bucket)",
        flux.RANGE,
        flux.where(measurement, flux.fields(*names)),
        "last()",
        "group()",
        flux.keep("_value"),
    )


def _age(measurement: str, name: str, *conditions: str) -> str:
    """Return a query for the age, at the end of the range, of a field's newest matching point."""
    return flux.pipe(
        newest_point(measurement, name, *conditions),
        "map(fn: (r) => ({_value: "
        "float(v: int(v: v.timeRangeStop) - int(v: r._time)) / 1000000000.0}))",
    )


COMPLETE = Panel(
    "Is what I see complete?",
    "Records that are not where they belong: those that wait in Kafka for the speed layer, and one "
    "for each stretch of offsets that the lake lacks and Kafka still has.",
    drawing.stat(),
    "short",
    [
        flux.lines(
            flux.pipeline_bucket(),
            f"waiting = {_newest_of('speed_batch', 'lag')}",
            f"holes = {_newest_of('archive', 'holes')}",
            flux.pipe("union(tables: [waiting, holes])", "group()", "sum()"),
        )
    ],
    width=5,
    defaults=drawing.thresholds((None, GREEN), (1, ORANGE), (10_000, RED))
    | drawing.value_texts({"0": ("complete", GREEN)}, "nobody says"),
)
FRESH = Panel(
    "Freshness",
    "From the start of the newest bar of a second to its acknowledgement by InfluxDB, in the last "
    "batch that wrote bars.",
    drawing.stat(),
    "s",
    [newest_value("speed_freshness", "freshness_s")],
    width=4,
    defaults=drawing.thresholds((None, GREEN), (5, ORANGE), (RED_FRESHNESS_S, RED)),
)
LAG = Panel(
    "Lag",
    "Records in Kafka that are not in the bars yet.",
    drawing.stat(),
    "short",
    [newest_value("speed_batch", "lag")],
    width=4,
    defaults=drawing.thresholds((None, GREEN), (10_000, ORANGE), (100_000, RED)),
)
SILENCE = Panel(
    "Feed silence",
    "How long ago the speed layer last read a record. In a session that is open, minutes of it "
    "mean that the feed or its producer is away.",
    drawing.stat(),
    "s",
    [_age("speed_batch", "records", "r._value > 0")],
    width=4,
    defaults=drawing.thresholds((None, GREEN), (60, ORANGE), (SILENT_S, RED)),
)
HEARD = Panel(
    "Last word of the speed layer",
    "How long ago the driver last said anything; it does so every ten seconds, busy or not.",
    drawing.stat(),
    "s",
    [_age("speed_batch", "lag")],
    width=4,
    defaults=drawing.thresholds((None, GREEN), (30, ORANGE), (120, RED)),
)
HOLES = Panel(
    "Holes",
    "Stretches of offsets that the lake lacks and Kafka still has, at the newest archive run: a "
    "backfill brings them.",
    drawing.stat(),
    "short",
    [newest_value("archive", "holes")],
    width=3,
    defaults=drawing.thresholds((None, GREEN), (1, RED)),
    links=_BACKFILL_PAGE,
)


def _line(  # noqa: PLR0917 - a table of panels reads best without names
    title: str, description: str, unit: str, measurement: str, name: str, function: str
) -> Panel:
    return Panel(
        title,
        description,
        drawing.lines("query", "max", "lastNotNull"),
        unit,
        [over_time(measurement, name, function, "query")],
        width=12,
    )


FRESHNESS = _line(
    "Freshness over time",
    "The worst of each interval. Nothing is drawn where no bar was written.",
    "s", "speed_freshness", "freshness_s", "max",
)  # fmt: skip
LAGS = _line(
    "Lag over time", "The largest of each interval, all partitions together.",
    "short", "speed_batch", "lag", "max",
)  # fmt: skip
DURATION = _line(
    "Duration of a micro-batch",
    "The longest of each interval. Longer than the trigger, it means that batches follow each "
    "other without a pause.",
    "s", "speed_batch", "seconds", "max",
)  # fmt: skip
RATE = _line(
    "Rate of a micro-batch",
    "Records that the fastest batches of each interval worked through in a second of their time.",
    "rowsps", "speed_batch", "rows_per_s", "max",
)  # fmt: skip


def _sums(title: str, description: str, measurement: str, *names: str) -> Panel:
    return Panel(
        title,
        description,
        drawing.stacked(),
        "short",
        [
            flux.pipe(
                pipeline_points(measurement, names),
                flux.windows_by("sum", "_field"),
            )
        ],
        width=12,
        max_points=200,
    )


READ = _sums(
    "Records read and bars written",
    "By the speed layer, in each interval. A bar is written again with each batch that has a trade "
    "of it.",
    "speed_batch", "records", "bars",
)  # fmt: skip
LEFT_OUT = _sums(
    "Left out by the speed layer",
    "late: trades received later than the speed layer waits; fenced: bars below the fence, which "
    "the batch layer has made final; mended: bars written anew behind a late writer.",
    "speed_batch", "late", "fenced", "mended",
)  # fmt: skip
ARCHIVED = _sums(
    "Archived records and dead letters",
    "Records that archive runs brought into the lake, and rejections they sent to trades.rejected.",
    "archive", "records", "dead_letters",
)  # fmt: skip
FEED_RULES = Panel(
    "Rules that feeds broke",
    "Results of the suite `feed` that did not hold, by rule: lost or doubled offsets, rejections, "
    "lateness, repeat deliveries.",
    drawing.stacked("rule"),
    "short",
    [
        flux.pipe(
            pipeline_points("quality", ("passed",), 'r.suite == "feed"', "r._value == false"),
            flux.windows_by("count", "rule"),
        )
    ],
    width=12,
    defaults={"noValue": "every rule held"},
    max_points=200,
)
LETTERS = Panel(
    "Dead letters in the range",
    "Records that did not fit their contract; each waits on trades.rejected with its reason.",
    drawing.stat(),
    "short",
    [total("archive", "dead_letters")],
    width=6,
    defaults=drawing.thresholds((None, GREEN), (1, ORANGE)) | drawing.value_texts({}, "0"),
)
LOST = Panel(
    "Lost stretches of offsets",
    "Stretches that neither the lake nor Kafka has, at the newest archive run. Nothing brings them "
    "back; a replay of the source may bring their trades.",
    drawing.stat(),
    "short",
    [newest_value("archive", "lost")],
    width=6,
    defaults=drawing.thresholds((None, GREEN), (1, RED)) | drawing.value_texts({}, "0"),
    links=_BACKFILL_PAGE,
)
ARCHIVE_AGE = Panel(
    "Last archive run that brought something",
    "How long before the end of the range. The archive is skipped where nothing is new.",
    drawing.stat(),
    "s",
    [_age("archive", "records")],
    width=6,
)
CANARY = Panel(
    "Last canary",
    "How long ago InfluxDB last took a canary and gave it back: truetape stack status does that.",
    drawing.stat(),
    "s",
    [_age("canary", "nonce")],
    width=6,
)

BOARD = Board(
    uid="truetape-health",
    folder="pipeline",
    title="Pipeline health",
    description="Is what is served fresh, does the pipeline keep up, and what did it not take.",
    variables=(SET, AIRFLOW),
    annotations=(PUBLICATIONS,),
    rows=(
        PanelRow(4, (COMPLETE, FRESH, LAG, SILENCE, HEARD, HOLES)),
        PanelRow(8, (FRESHNESS, LAGS)),
        PanelRow(8, (DURATION, RATE)),
        PanelRow(8, (READ, LEFT_OUT)),
        PanelRow(8, (ARCHIVED, FEED_RULES)),
        PanelRow(4, (LETTERS, LOST, ARCHIVE_AGE, CANARY)),
    ),
    span="1h",
    refresh="10s",
)
