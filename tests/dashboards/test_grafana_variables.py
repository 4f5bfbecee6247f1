"""Variables and macros in a query, compared with Grafana's sources and documentation."""

import pytest

from support.build import at
from support.grafana_variables import ALL, PanelView, VariableValue, interpolate, interval_text
from truetape.host.errors import ConfigError

NOON = at("2026-11-20T17:00:00")
HOUR_NS = 3_600_000_000_000
VIEW = PanelView(NOON - HOUR_NS, NOON, 500)


@pytest.mark.parametrize(
    ("hours", "points", "interval"),
    [(1, 500, "5s"), (24, 500, "2m"), (24, 100, "15m"), (24 * 365, 500, "12h"),
     (24 * 365, 300, "1d"), (1, 10_000, "1s")],
    ids=["hour", "day", "day of few points", "year", "year of fewer", "below the allowed minimum"],
)  # fmt: skip
def test_an_interval_is_rounded_as_grafana_rounds_it(
    hours: int, points: int, interval: str
) -> None:
    """The table is in grafana/packages/grafana-data/src/datetime/rangeutil.ts."""
    view = PanelView(NOON - hours * HOUR_NS, NOON, points)

    assert interpolate("$__interval", view, {}) == interval
    assert interval_text(view.interval_ms) == interval


@pytest.mark.parametrize(
    ("query", "values", "sent"),
    [
        ("${s:raw}", ["live"], "live"),
        ("${s:doublequote}", ['a"b'], '"a\\"b"'),
        ("${s:regex}", ["BRK.B"], "BRK\\.B"),
        ("${s:regex}", ["BRK.B", "BTC/USD"], "(BRK\\.B|BTC\\/USD)"),
        ("$s", ["IBM"], "IBM"),
        ("$s", ["IBM", "KO"], "{IBM,KO}"),
        ("/^(?:${s:regex})$/", [ALL], "/^(?:.*)$/"),
    ],
    ids=[
        "raw",
        "quoted",
        "one value",
        "several values",
        "no format",
        "no format, several values",
        "all",
    ],
)
def test_a_variable_is_written_in_its_format(query: str, values: list[str], sent: str) -> None:
    assert interpolate(query, VIEW, {"s": VariableValue(values, ".*")}) == sent


def test_an_undefined_variable_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"variable \$nobody has no value"):
        interpolate("${nobody:raw}", VIEW, {})


def test_any_word_before_a_macro_is_treated_as_v() -> None:
    """As in Grafana's server: see pkg/tsdb/influxdb/flux/macros.go."""
    sent = interpolate("v.timeRangeStart other.timeRangeStop r.symbol", VIEW, {})

    assert sent == "2026-11-20T16:00:00Z 2026-11-20T17:00:00Z r.symbol"
