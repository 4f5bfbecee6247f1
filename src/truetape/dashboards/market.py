"""The market board: served bars of one symbol and of a watchlist. Data only."""

from truetape.dashboards import flux
from truetape.dashboards.board import Board, PanelRow, QueryVariable
from truetape.dashboards.common import AIRFLOW, BOUNDARIES, PUBLICATIONS, SET, ZOOM
from truetape.dashboards.market_charts import CANDLES, GAPLESS, MACD, RSI, SESSIONS
from truetape.dashboards.market_numbers import AGE, CHANGE, COMPLETE, LAST, STATES, VOLUME
from truetape.dashboards.market_tables import BREADTH, LARGEST, LISTED, VENUE_VOLUME, WATCHLIST


def _symbols(name: str, label: str, description: str, *, many: bool) -> QueryVariable:
    query = flux.lines(
        'import "influxdata/influxdb/schema"',
        flux.bucket_of("1m"),
        'schema.tagValues(bucket: bucket, tag: "symbol", start: -30y, '
        'predicate: (r) => r._measurement == "bar" and r._field == "close")',
    )
    return QueryVariable(name, label, description, query, many)


VARIABLES = (
    SET,
    _symbols("symbol", "Symbol", "The symbol of the charts.", many=False),
    QueryVariable(
        "venue",
        "Venue",
        "The market of the charts: the symbol's own one, unless it has several.",
        flux.lines(
            'import "influxdata/influxdb/schema"',
            flux.bucket_of("1m"),
            'schema.tagValues(bucket: bucket, tag: "venue", start: -30y, predicate: (r) => '
            'r._measurement == "bar" and r._field == "close" and '
            "r.symbol == ${symbol:doublequote})",
        ),
    ),
    ZOOM,
    _symbols("watch", "Watchlist", "The symbols of the tables and of the volume.", many=True),
    AIRFLOW,
)

BOARD = Board(
    uid="truetape-market",
    folder="market",
    title="Market",
    description="Bars as readers are served them, provisional ones marked.",
    variables=VARIABLES,
    annotations=(PUBLICATIONS, BOUNDARIES),
    rows=(
        PanelRow(4, (COMPLETE, LAST, AGE, CHANGE, VOLUME, STATES)),
        PanelRow(14, (CANDLES,)),
        PanelRow(7, (RSI, MACD)),
        PanelRow(9, (GAPLESS, SESSIONS)),
        PanelRow(10, (WATCHLIST, VENUE_VOLUME, BREADTH)),
        PanelRow(11, (LARGEST, LISTED)),
    ),
    span="6h",
    refresh="1m",
)
