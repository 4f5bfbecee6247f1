"""Metrics: the results of a run as points for the `pipeline` bucket, one point a rule."""

from collections.abc import Iterator

from truetape.quality.report import Report
from truetape.serving.store import Point

FEEDS = "all"
"""The venue tag of results about feeds, because a feed may carry several venues."""


def points(report: Report) -> Iterator[Point]:
    """Yield a point for each rule, at the time of the run."""
    for result in report.results:
        yield Point(
            "quality",
            {"venue": report.venue or FEEDS, "suite": result.suite, "rule": result.rule},
            report.checked_ns,
            {
                "session": str(report.session or ""),
                "run": report.run,
                "kind": str(report.kind),
                "severity": str(result.severity),
                "passed": result.passed,
                "rows": result.rows,
                "unexpected": result.unexpected,
                "share": result.share,
            },
        )
