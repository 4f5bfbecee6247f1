"""The queries in `grafana/`, and how to run them as a reader of a board does."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from support.grafana_frames import QueryAnswer
from support.grafana_queries import BoardQuery, queries, run_query
from support.grafana_variables import ALL, PanelView, VariableValue, interpolate
from truetape.serving.http import InfluxHttp

GRAFANA = Path(__file__).resolve().parents[2] / "grafana"
QUERIES: list[BoardQuery] = list(queries(GRAFANA))
SECOND_NS = 1_000_000_000
HOUR_S, DAY_S, YEAR_S = 3_600, 86_400, 365 * 86_400
SELECTIONS: Mapping[str, tuple[str, ...]] = {
    "one": ("IBM",),
    "many": ("IBM", "BRK.B", "BTC/USD"),
    "all": (ALL,),
}
DEFAULTS: Mapping[str, VariableValue] = {
    "set": VariableValue(("live",)),
    "symbol": VariableValue(("IBM",)),
    "venue": VariableValue(("XNYS",)),
    "res": VariableValue(("1ms",)),
    "watch": VariableValue((ALL,), ".*"),
    "venues": VariableValue((ALL,), ".*"),
    "resolution": VariableValue(("1m",)),
}


def chosen(**values: str) -> dict[str, VariableValue]:
    """Return the values of all variables: the defaults, with these replaced."""
    return {**DEFAULTS, **{name: VariableValue((value,), ".*") for name, value in values.items()}}


def query_of(board: str, title: str, ref: str = "A") -> BoardQuery:
    """Return the query of a panel, by board, title and letter."""
    place = (board, title, ref)
    [query] = [query for query in QUERIES if (query.board, query.title, query.ref) == place]
    return query


def sent(query: BoardQuery, stop_ns: int, back_s: int, values: Mapping[str, VariableValue]) -> str:
    """Return the Flux that Grafana sends for a range of `back_s` that ends at `stop_ns`."""
    start_ns = stop_ns - (query.back_s or back_s) * SECOND_NS
    return interpolate(query.text, PanelView(start_ns, stop_ns, query.max_points), values)


def answer(
    server: InfluxHttp,
    query: BoardQuery,
    stop_ns: int,
    back_s: int,
    values: Mapping[str, VariableValue],
) -> QueryAnswer:
    """Run a query over a range of `back_s` that ends at `stop_ns`."""
    return run_query(server, sent(query, stop_ns, back_s, values))


def matrix(set_name: str, stop_ns: int, back_s: int) -> Iterator[tuple[BoardQuery, str]]:
    """Yield every query with each text that Grafana can send for it, without repeats.

    Texts differ by the symbols (one, many, all) and the points (a quarter, the default, twice).
    """
    for query in QUERIES:
        texts = {}
        for names in SELECTIONS.values():
            values = {**chosen(set=set_name), "watch": VariableValue(names, ".*")}
            for share in (0.25, 1, 2):
                sized = replace(query, max_points=int(query.max_points * share))
                texts[sent(sized, stop_ns, back_s, values)] = sized
        yield from ((sized, text) for text, sized in texts.items())
