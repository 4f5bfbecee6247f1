"""Metrics: the results of a run as points for the `pipeline` bucket, one a rule."""

from collections.abc import Iterator

from truetape.quality.report import Report
from truetape.serving.store import Point

FEEDS = "all"
"""The venue of results about feeds, which may carry several."""


def points(report: Report) -> Iterator[Point]:
    """Yield a point for each rule, at the time of the run."""
    for one in report.results:
        yield Point(
            "quality",
            {"venue": report.venue or FEEDS, "suite": one.suite, "rule": one.rule},
            report.checked_ns,
            {
                "session": str(report.session or ""),
                "run": report.run,
                "kind": str(report.kind),
                "severity": str(one.severity),
                "passed": one.passed,
                "rows": one.rows,
                "unexpected": one.unexpected,
                "share": one.share,
            },
        )
