"""The files that Grafana loads, and asking their queries as a reader of a board does."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from support.grafana_frames import Answer
from support.grafana_queries import Query, ask, queries
from support.grafana_variables import ALL, Chosen, View, interpolate
from truetape.serving.http import InfluxHttp

GRAFANA = Path(__file__).resolve().parents[2] / "grafana"
QUERIES: list[Query] = list(queries(GRAFANA))
SECOND_NS = 1_000_000_000
HOUR_S, DAY_S, YEAR_S = 3_600, 86_400, 365 * 86_400
SELECTIONS: Mapping[str, tuple[str, ...]] = {
    "one": ("IBM",),
    "many": ("IBM", "BRK.B", "BTC/USD"),
    "all": (ALL,),
}
DEFAULTS: Mapping[str, Chosen] = {
    "set": Chosen(("live",)),
    "symbol": Chosen(("IBM",)),
    "venue": Chosen(("XNYS",)),
    "res": Chosen(("1ms",)),
    "watch": Chosen((ALL,), ".*"),
    "venues": Chosen((ALL,), ".*"),
    "resolution": Chosen(("1m",)),
}


def chosen(**values: str) -> dict[str, Chosen]:
    """Return what a reader has chosen: the defaults, but for these."""
    return {**DEFAULTS, **{name: Chosen((value,), ".*") for name, value in values.items()}}


def query(board: str, title: str, ref: str = "A") -> Query:
    """Return one query by its place."""
    [found] = [one for one in QUERIES if (one.board, one.title, one.ref) == (board, title, ref)]
    return found


def sent(one: Query, stop_ns: int, back_s: int, values: Mapping[str, Chosen]) -> str:
    """Return the Flux that Grafana sends for a range that ends at an instant."""
    back = one.back_s or back_s
    return interpolate(one.text, View(stop_ns - back * SECOND_NS, stop_ns, one.max_points), values)


def answer(
    server: InfluxHttp, one: Query, stop_ns: int, back_s: int, values: Mapping[str, Chosen]
) -> Answer:
    """Ask one query."""
    return ask(server, sent(one, stop_ns, back_s, values))


def matrix(set_name: str, stop_ns: int, back_s: int) -> Iterator[tuple[Query, str]]:
    """Yield every query with each text that Grafana may send for it, once: for one, many and all
    symbols, and for panels of a quarter, the whole, and twice the points.
    """
    for one in QUERIES:
        texts = {}
        for names in SELECTIONS.values():
            values = {**chosen(set=set_name), "watch": Chosen(names, ".*")}
            for share in (0.25, 1, 2):
                sized = replace(one, max_points=int(one.max_points * share))
                texts[sent(sized, stop_ns, back_s, values)] = sized
        yield from ((sized, text) for text, sized in texts.items())
