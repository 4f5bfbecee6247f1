"""Every query of the boards on a real InfluxDB, as Grafana sends it, compared with the fold."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from support.grafana import (
    DAY_S,
    DEFAULTS,
    HOUR_S,
    QUERIES,
    SECOND_NS,
    YEAR_S,
    answer,
    chosen,
    matrix,
    query_of,
    sent,
)
from support.grafana_frames import (
    POINTS_ALLOWED,
    GrafanaFrame,
    QueryAnswer,
    drawn_rows,
    is_too_long,
)
from support.grafana_queries import BoardQuery, operators, run_query
from support.grafana_variables import PanelView, interpolate
from support.served_market import INDICATED, MINUTE_NS, ODD, SYMBOLS, VENUE, Served
from support.serving import bar
from truetape.market.resolution import Resolution
from truetape.serving.buckets import load_buckets
from truetape.serving.http import InfluxHttp
from truetape.serving.influx import InfluxStore
from truetape.serving.store import ServedBar

pytestmark = pytest.mark.real

SETS = ("live", "history")
RANGES = {"hour": HOUR_S, "day": DAY_S, "year": YEAR_S}
PUSHED = ("aggregateWindow", "first()", "last()", "count()", "sum()", "min()", "max()")
SOURCES = re.compile(r"from\(bucket: [^\n]+\n  \|> range[^\n]+\n  \|> filter[^\n]+\n  \|> ([^\n]+)")
PRICES = ("open", "high", "low", "close", "volume")

Rows = list[tuple[float | str | None, ...]]


def only(result: QueryAnswer) -> GrafanaFrame:
    assert result.error == ""
    [frame] = result.frames
    return frame


def rows(frame: GrafanaFrame, *names: str) -> Rows:
    columns = [frame.column(name) for name in names]
    values = [column.numbers if column.is_number else column.values for column in columns]
    return list(zip(*values, strict=True))


def starts(frame: GrafanaFrame, name: str = "_time") -> list[str]:
    return frame.column(name).values


def iso(ns: int) -> str:
    return interpolate("v.timeRangeStart", PanelView(ns, ns, 1), {})


def single_number(result: QueryAnswer) -> float | None:
    [column] = [column for column in only(result).columns if column.is_number]
    [value] = column.numbers
    return value


def stat_problem(result: QueryAnswer) -> str:
    if not result.frames:
        return ""
    numbers = [column for column in result.frames[0].columns if column.is_number]
    is_valid = len(result.frames) == 1 and result.rows == 1 and numbers
    return "" if is_valid else "not one row with a number"


def candles_problem(result: QueryAnswer) -> str:
    names = {column.name for frame in result.frames for column in frame.columns}
    wide = len(result.frames) <= 1
    return "" if wide and (not names or "_time" in names) else f"no wide frame: {names}"


def series_problem(result: QueryAnswer) -> str:
    for frame in result.frames:
        time, *others = frame.columns
        if time.name != "Time" or len(others) != 1 or not others[0].is_number:
            return f"no time and number: {[column.name for column in frame.columns]}"
        if time.values != sorted(set(time.values)):
            return "times are not ascending"
    return ""


def trend_problem(result: QueryAnswer) -> str:
    for frame in result.frames:
        [along] = [column for column in frame.columns if column.name in ("bar", "seq")]
        numbers = [number or 0 for number in along.numbers]
        if len(result.frames) > 1 or numbers != sorted(set(numbers)):
            return "no single frame along an ascending number"
    return ""


def table_problem(result: QueryAnswer) -> str:
    return "" if len(result.frames) <= 1 else f"{len(result.frames)} tables, a panel shows one"


def annotation_problem(result: QueryAnswer) -> str:
    names = [{column.name for column in frame.columns} for frame in result.frames]
    return "" if names in ([], [{"_time", "text", "tags"}]) else f"{names}"


def variable_problem(result: QueryAnswer) -> str:
    kinds = [[column.kind for column in frame.columns] for frame in result.frames]
    return "" if kinds == [["string"]] else f"not one column of texts: {kinds}"


PROBLEM_OF: dict[str, Callable[[QueryAnswer], str]] = {
    "stat": stat_problem,
    "candlestick": candles_problem,
    "timeseries": series_problem,
    "alert": series_problem,
    "trend": trend_problem,
    "table": table_problem,
    "bargauge": table_problem,
    "annotation": annotation_problem,
    "variable": variable_problem,
}


@pytest.mark.parametrize("back_s", RANGES.values(), ids=RANGES.keys())
@pytest.mark.parametrize("set_name", SETS)
def test_every_query_returns_what_its_panel_draws_and_few_rows_more(
    server: InfluxHttp, market: Served, set_name: str, back_s: int
) -> None:
    """For one, many and all symbols, in narrow and wide panels."""
    problems, runs = [], 0
    for query, text in matrix(set_name, market.end_ns, back_s):
        runs += 1
        result = run_query(server, text)
        shown = drawn_rows(query.kind, result, query.max_points)
        problem = result.error or PROBLEM_OF[query.kind](result)
        if is_too_long(result, query.max_points) or result.rows > POINTS_ALLOWED * shown:
            problem = problem or f"{result.rows} rows to show {shown}"
        if problem:
            problems.append(f"{query.name}, {query.max_points} points: {problem}")

    assert problems == []
    assert runs >= len(QUERIES)


def source_of(step: str) -> str:
    """Return the operator that must read if the first step after the filter is `step`."""
    if step.startswith(PUSHED):
        return "readWindowAggregateSource"
    return "readGroupSource" if step.startswith("group(") else "readFilterSource"


@pytest.mark.parametrize("query", [pytest.param(query, id=query.name) for query in QUERIES])
def test_the_storage_computes_every_aggregate_that_it_can(
    server: InfluxHttp, market: Served, query: BoardQuery
) -> None:
    """The storage computes a first step that it knows; before any other, it reads all rows."""
    wanted = {source_of(step) for step in SOURCES.findall(query.text)}

    names = operators(server, sent(query, market.end_ns, DAY_S, DEFAULTS))

    sources = {name for name in names if name.startswith("read")}
    assert sources == (wanted or {"readTagValuesSource"})


@pytest.mark.parametrize(
    ("back_s", "resolution"),
    [(HOUR_S, Resolution.MINUTE), (DAY_S, Resolution.FIVE_MINUTES), (YEAR_S, Resolution.DAY)],
    ids=["hour", "day", "year"],
)
@pytest.mark.parametrize("set_name", SETS)
def test_candles_are_the_bars_of_the_fold_in_the_resolution_of_the_zoom(
    server: InfluxHttp, market: Served, set_name: str, back_s: int, resolution: Resolution
) -> None:
    wanted = market.of(resolution, "IBM", market.end_ns - back_s * SECOND_NS, market.end_ns)
    candles = query_of("Market", "Candles of $symbol")

    frame = only(answer(server, candles, market.end_ns, back_s, chosen(set=set_name)))

    assert starts(frame) == [iso(bar.start_ns) for bar in wanted]
    assert rows(frame, *PRICES) == [tuple(getattr(bar, name) for name in PRICES) for bar in wanted]
    provisional = [None if bar.final else bar.close for bar in wanted]
    assert frame.column("provisional").numbers == provisional
    assert len(wanted) > 1


def test_a_void_bar_is_counted_as_void_and_not_drawn(server: InfluxHttp, market: Served) -> None:
    """The hour around it has no other bar of IBM; the count shows that it is there."""
    stop = market.void_ns + MINUTE_NS
    texts = [
        "Candles of $symbol", "Close without gaps", "Sessions over each other",
        "Newest bars of $symbol", "Change over the range", "RSI of $symbol", "MACD of $symbol",
    ]  # fmt: skip

    results = [answer(server, query_of("Market", text), stop, HOUR_S, chosen()) for text in texts]
    states = only(answer(server, query_of("Market", "Bars by state"), stop, HOUR_S, chosen()))
    overlay = answer(server, query_of("Market", "Candles of $symbol", "B"), stop, HOUR_S, chosen())

    assert [(result.error, result.rows) for result in [*results, overlay]] == [("", 0)] * 8
    assert rows(states, "Final", "Provisional", "Void") == [(1, 0, 1)]


def test_the_numbers_of_a_symbol_are_computed_from_its_bars(
    server: InfluxHttp, market: Served
) -> None:
    shown = market.of(Resolution.MINUTE, "IBM", market.end_ns - HOUR_S * SECOND_NS, market.end_ns)
    last, first = shown[-1], shown[0]

    def stat(title: str) -> float | None:
        return single_number(
            answer(server, query_of("Market", title), market.end_ns, HOUR_S, chosen())
        )

    assert stat("Last price") == last.close
    assert stat("Age of the newest bar") == (market.end_ns - last.start_ns) / SECOND_NS
    assert stat("Volume") == pytest.approx(sum(bar.volume for bar in shown))
    assert stat("Change over the range") == pytest.approx((last.close - first.open) / first.open)
    share = sum(bar.final for bar in shown) / len(shown)
    assert stat("Is what I see complete?") == pytest.approx(share)


def test_a_range_without_bars_has_no_completeness(server: InfluxHttp, market: Served) -> None:
    night = market.session.start_ns
    complete = query_of("Market", "Is what I see complete?")

    result = answer(server, complete, night, 300, chosen())

    assert (result.error, result.frames) == ("", [])


def test_a_final_session_is_complete(server: InfluxHttp, market: Served) -> None:
    stop = (market.before.open_ns or 0) + 7_200 * SECOND_NS
    complete = query_of("Market", "Is what I see complete?")

    assert single_number(answer(server, complete, stop, HOUR_S, chosen())) == 1.0


def test_overlays_begin_when_there_are_enough_bars(server: InfluxHttp, market: Served) -> None:
    first = market.session.open_ns or 0
    shown = market.of(Resolution.MINUTE, "IBM", first, first + HOUR_S * SECOND_NS)
    stop = first + HOUR_S * SECOND_NS

    overlay = answer(server, query_of("Market", "Candles of $symbol", "B"), stop, HOUR_S, chosen())

    wanted = [(iso(bar.start_ns), bar.close + 1.0, bar.close + 2.0) for bar in shown[INDICATED:]]
    assert rows(only(overlay), "_time", "sma_20", "ema_12") == wanted


def test_rsi_and_macd_belong_to_the_bars_in_view(server: InfluxHttp, market: Served) -> None:
    first = market.session.open_ns or 0
    shown = market.of(Resolution.MINUTE, "IBM", first, first + HOUR_S * SECOND_NS)[INDICATED:]
    stop = first + HOUR_S * SECOND_NS

    actual = {
        frame.columns[1].name: list(rows(frame, "Time", frame.columns[1].name))
        for name in ("RSI", "MACD")
        for frame in answer(
            server, query_of("Market", f"{name} of $symbol"), stop, HOUR_S, chosen()
        ).frames
    }

    times, closes = [iso(bar.start_ns) for bar in shown], [bar.close for bar in shown]
    assert actual == {
        "rsi_14": [(time, close / 4.0) for time, close in zip(times, closes, strict=True)],
        "macd": [(time, close + 3.0) for time, close in zip(times, closes, strict=True)],
        "macd_signal": [(time, close + 4.0) for time, close in zip(times, closes, strict=True)],
        "macd_histogram": [(time, -1.0) for time in times],
    }
    assert shown


def test_the_line_without_gaps_numbers_bars_across_the_night(
    server: InfluxHttp, market: Served
) -> None:
    two_days = 2 * DAY_S + (market.session.start_ns - market.before.end_ns) // SECOND_NS
    shown = market.of(
        Resolution.FIVE_MINUTES, "IBM", market.end_ns - two_days * SECOND_NS, market.end_ns
    )
    gapless = replace(query_of("Market", "Close without gaps"), max_points=two_days // 300)

    frame = only(answer(server, gapless, market.end_ns, two_days, chosen()))

    wanted = [(number, bar.close) for number, bar in enumerate(shown, start=1)]
    assert rows(frame, "bar", "close") == wanted
    assert {bar.start_ns < market.session.start_ns for bar in shown} == {True, False}


def test_overlaid_sessions_are_aligned_by_the_number_of_a_bar_in_its_session(
    server: InfluxHttp, market: Served
) -> None:
    panel = query_of("Market", "Sessions over each other")

    frame = only(answer(server, panel, market.end_ns, 14 * DAY_S, chosen()))

    for session in (market.before, market.session):
        wanted = {
            bar.seq: bar.close
            for bar in market.of(Resolution.FIVE_MINUTES, "IBM", session.start_ns, session.end_ns)
        }
        name = iso(session.start_ns).replace("Z", ".000000000Z")
        actual = {seq: close for seq, close in rows(frame, "seq", name) if close is not None}
        assert actual == wanted
        assert wanted


def test_the_watchlist_has_the_last_price_and_rev_of_each_symbol(
    server: InfluxHttp, market: Served
) -> None:
    frame = only(answer(server, query_of("Market", "Watchlist"), market.end_ns, HOUR_S, chosen()))

    actual = {symbol: rest for symbol, *rest in rows(frame, "Symbol", "Venue", "Last", "Rev")}
    wanted = {symbol: [VENUE, last(market, symbol).close, 0.0] for symbol in SYMBOLS}
    wanted |= {symbol: [venue, 110.0, 1.0] for symbol, venue in ODD}
    assert actual == wanted


def last(market: Served, symbol: str) -> ServedBar:
    return market.of(Resolution.MINUTE, symbol, 0, market.end_ns)[-1]


def test_a_symbol_with_regular_expression_characters_matches_only_itself(
    server: InfluxHttp, market: Served
) -> None:
    watchlist = query_of("Market", "Watchlist")

    for symbol, _ in ODD:
        frame = only(answer(server, watchlist, market.end_ns, HOUR_S, chosen(watch=symbol)))
        assert frame.column("Symbol").values == [symbol]


def test_volume_and_breadth_are_added_up_by_venue(server: InfluxHttp, market: Served) -> None:
    volume = answer(server, query_of("Market", "Volume by venue"), market.end_ns, DAY_S, chosen())
    breadth = answer(server, query_of("Market", "Breadth by venue"), market.end_ns, DAY_S, chosen())
    moves = answer(server, query_of("Market", "Largest moves"), market.end_ns, DAY_S, chosen())

    totals = {
        frame.labels["venue"]: sum(number or 0 for number in frame.column("Value").numbers)
        for frame in volume.frames
    }
    begin = market.end_ns - DAY_S * SECOND_NS
    hours = {
        symbol: market.of(Resolution.HOUR, symbol, begin, market.end_ns)
        for symbol in (*SYMBOLS, *(symbol for symbol, _ in ODD))
    }
    here = [bar for symbol in (*SYMBOLS, "BRK.B") for bar in hours[symbol]]
    assert totals[VENUE] == pytest.approx(sum(bar.volume for bar in here))
    fives = {
        symbol: market.of(Resolution.FIVE_MINUTES, symbol, begin, market.end_ns)
        for symbol in SYMBOLS
    }
    changes = {
        symbol: (bars[-1].close - bars[0].open) / bars[0].open for symbol, bars in fives.items()
    }
    up = sum(change > 0 for change in changes.values()) + 1  # BRK.B: from 100 to 110
    down = sum(change < 0 for change in changes.values())
    assert rows(only(breadth), "Venue", "Up", "Down") == [("KRAKEN", 1, 0), (VENUE, up, down)]
    actual = dict(rows(only(moves), "Symbol", "Change"))
    assert actual == pytest.approx(changes | {symbol: 0.1 for symbol, _ in ODD})


def test_volume_over_a_year_is_by_week_from_monday(server: InfluxHttp, market: Served) -> None:
    volume = answer(server, query_of("Market", "Volume by venue"), market.end_ns, YEAR_S, chosen())

    weeks: dict[str, float] = {}
    for symbol in (*SYMBOLS, "BRK.B"):
        for one in market.of(Resolution.DAY, symbol, 0, market.end_ns):
            day = datetime.fromtimestamp(one.start_ns // SECOND_NS, tz=UTC).date()
            monday = day - timedelta(days=day.weekday())
            weeks[f"{monday}T00:00:00Z"] = weeks.get(f"{monday}T00:00:00Z", 0.0) + one.volume
    (mine,) = [frame for frame in volume.frames if frame.labels["venue"] == VENUE]
    assert starts(mine, "Time") == sorted(weeks)
    assert mine.column("Value").numbers == [pytest.approx(weeks[week]) for week in sorted(weeks)]


def test_each_listed_bar_has_the_values_of_its_lineage_link(
    server: InfluxHttp, market: Served
) -> None:
    """Its nanoseconds are text: a number of JavaScript would lose the last ones."""
    listed = query_of("Market", "Newest bars of $symbol")

    frame = only(answer(server, listed, market.end_ns, HOUR_S, chosen()))

    wanted = market.of(Resolution.MINUTE, "IBM", 0, market.end_ns)[-50:]
    assert frame.column("Nanoseconds").kind == "string"
    assert frame.column("Nanoseconds").values == [str(bar.start_ns) for bar in wanted]
    assert set(frame.column("Resolution").values) == {"1m"}


@pytest.mark.parametrize(("set_name", "shown"), [("live", ["1m"]), ("history", [])], ids=SETS)
def test_an_expired_resolution_is_skipped(
    server: InfluxHttp, market: Served, set_name: str, shown: list[str]
) -> None:
    """Live seconds are kept for a week; in "history" they would be there if there were any."""
    month_ago = market.end_ns - 30 * DAY_S * SECOND_NS
    start = month_ago - month_ago % MINUTE_NS
    store = InfluxStore(server, load_buckets(set_name))
    row = bar(symbol="OLD", start_ns=start)
    store.write(Resolution.MINUTE, [row]).require_stored("bars")
    listed = query_of("Market", "Newest bars of $symbol")
    values = chosen(set=set_name, symbol="OLD")

    result = answer(server, listed, start + MINUTE_NS, 300, values)

    assert [
        value for frame in result.frames for value in frame.column("Resolution").values
    ] == shown


@pytest.mark.parametrize("res", ["1s", "1m", "5m", "1h", "1d"])
def test_a_reader_can_choose_wider_bars_but_not_more_bars_than_the_panel_shows(
    server: InfluxHttp, market: Served, res: str
) -> None:
    listed = query_of("Market", "Newest bars of $symbol")

    frame = only(answer(server, listed, market.end_ns, DAY_S, chosen(res=res)))

    wanted = {"1s": "5m", "1m": "5m"}.get(res, res)
    assert set(frame.column("Resolution").values) == {wanted}


@pytest.mark.parametrize(
    ("board", "title", "wanted"),
    [
        ("Pipeline health", "Is what I see complete?", 7 + 2),
        ("Pipeline health", "Freshness", 3.4),
        ("Pipeline health", "Feed silence", 60.0),
        ("Pipeline health", "Last word of the speed layer", 60.0),
        ("Pipeline health", "Holes", 2),
        ("Pipeline health", "Dead letters in the range", 3),
        ("Speed against batch", "Changed bars", 2 + 1),
        ("Speed against batch", "Missing bars", 1 + 1),
        ("Speed against batch", "Largest change of a close", 4.5),
        ("Batch operations", "Is what I see complete?", 1),
        ("Batch operations", "Publications", 2),
        ("Batch operations", "Edits", 4 + 8),
        ("Batch operations", "Slowest publication", 7.0),
        ("Storage", "Is what I see complete?", 5),
    ],
    ids=str,
)
@pytest.mark.parametrize("set_name", SETS)
def test_a_number_for_operators_equals_the_written_metrics(  # noqa: PLR0917 - two fixtures, two tables
    server: InfluxHttp, market: Served, set_name: str, board: str, title: str, wanted: float
) -> None:
    """The points are made in tests/support/served_market.py."""
    result = answer(server, query_of(board, title), market.end_ns, DAY_S, chosen(set=set_name))

    assert single_number(result) == pytest.approx(wanted)


def test_unexplained_drift_is_counted_in_the_chosen_resolution(
    server: InfluxHttp, market: Served
) -> None:
    unexplained = query_of("Speed against batch", "Is what I see complete?")

    seconds = answer(server, unexplained, market.end_ns, DAY_S, chosen(resolution="1s"))
    minutes = answer(server, unexplained, market.end_ns, DAY_S, chosen(resolution="1m"))

    assert single_number(seconds) == 1
    assert minutes.frames == []


def test_tables_for_operators_list_venue_session_and_event(
    server: InfluxHttp, market: Served
) -> None:
    def table(board: str, title: str, *names: str) -> Rows:
        query = query_of(board, title)
        return rows(only(answer(server, query, market.end_ns, DAY_S, chosen())), *names)

    day = str(market.before.date)
    drift = ("Venue", "Session", "Cause", "Rev", "Bars", "Largest (bp)", "DAG")
    assert sorted(table("Speed against batch", "Drift by session and cause", *drift)) == [
        (VENUE, day, "late", 1, 3, 4.5, "batch_recompute_xnys"),
        (VENUE, day, "missing", 1, 2, 3.0, "batch_recompute_xnys"),
    ]
    boundary = ("Venue", "Final from", "Final to", "Fence")
    assert table("Speed against batch", "Boundary and fence", *boundary) == [
        (
            VENUE, iso(market.before.start_ns), iso(market.before.end_ns),
            iso(market.session.end_ns),
        )
    ]  # fmt: skip
    ledger = ("Session", "Rev", "Bars", "Edits", "Indicators", "Took", "Who")
    assert table("Batch operations", "Publications, one by one", *ledger) == [
        (day, 1, 500, 4, 30, 3.5, "ann"),
        (day, 2, 500, 8, 30, 7.0, "ann"),
    ]
    failing = ("Venue", "Suite", "Rule", "Severity", "Unexpected", "Share", "Run")
    assert sorted(table("Batch operations", "Rules that do not hold", *failing)) == [
        (VENUE, "bars", "B18", "flag", 2, 0.02, "r1"),
        (VENUE, "trades", "T8", "gate", 2, 0.02, "r1"),
        ("all", "feed", "F1", "gate", 2, 0.02, "r1"),
    ]


def test_storage_counts_the_bars_of_each_resolution_by_state(
    server: InfluxHttp, market: Served
) -> None:
    begin = market.end_ns - DAY_S * SECOND_NS
    states = query_of("Storage", "Bars by resolution and state")

    frame = only(answer(server, states, market.end_ns, YEAR_S, chosen()))

    actual = {
        width: rest for width, *rest in rows(frame, "Resolution", "Final", "Provisional", "Void")
    }
    wanted = {}
    for resolution, bars in market.bars.items():
        near = [each for each in bars if begin <= each.start_ns < market.end_ns]
        final = sum(each.final for each in near)
        wanted[resolution.value] = [final, len(near) - final, sum(each.void for each in near)]
    assert actual == wanted


def test_publications_and_boundaries_are_annotations(server: InfluxHttp, market: Served) -> None:
    published = answer(
        server, query_of("Market", "Publications", "N"), market.end_ns, DAY_S, chosen()
    )
    bounds = answer(server, query_of("Market", "Boundaries", "N"), market.end_ns, DAY_S, chosen())

    day = market.before.date
    texts = only(published).column("text").values
    assert [text.partition(", final")[0] for text in texts] == [
        f"{VENUE} {day} rev 1: 4 edits", f"{VENUE} {day} rev 2: 8 edits",
    ]  # fmt: skip
    end = market.before.end_ns
    assert rows(only(bounds), "_time", "text", "tags") == [
        (iso(end - end % MINUTE_NS), f"final up to here: {VENUE}", VENUE)
    ]


def test_variables_offer_the_symbols_and_venues_in_the_store(
    server: InfluxHttp, market: Served
) -> None:
    def offered(name: str, **values: str) -> set[str]:
        variable = query_of("Market", name, "V")
        frame = only(answer(server, variable, market.end_ns, HOUR_S, chosen(**values)))
        return set(frame.column("_value").values)

    every = {*SYMBOLS, *(symbol for symbol, _ in ODD)}
    assert offered("symbol") - {"OLD"} == every
    assert offered("venue", symbol="BTC/USD") == {"KRAKEN"}


@pytest.mark.parametrize(
    ("title", "wanted"),
    [
        ("Bars not fresh", {}),
        ("Lag does not go down", {}),
        ("Holes in the lake", {"": 2.0}),
        ("Many dead letters", {"": 3.0}),
        ("Quality gate closed", {VENUE: 1.0, "all": 1.0}),
        ("Unexplained change", {VENUE: 1.0}),
    ],
)
def test_an_alert_rule_gets_one_value_for_each_venue(
    server: InfluxHttp, market: Served, title: str, wanted: dict[str, float]
) -> None:
    """The first two look back minutes, and the range ends a day after the last point."""
    quiet = wanted == {}
    stop = market.end_ns + DAY_S * SECOND_NS if quiet else market.end_ns
    result = answer(server, query_of("Alerts", title), stop, HOUR_S, chosen())

    assert result.error == ""
    seen = {frame.labels.get("venue", ""): frame.column("Value").numbers for frame in result.frames}
    assert seen == {venue: [value] for venue, value in wanted.items()}
