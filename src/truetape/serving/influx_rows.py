"""What the store asks InfluxDB for, and rows of its answers as bars, indicators and fields.

Pure: text and objects in, text and objects out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from truetape.serving import influxql, lines
from truetape.serving.buckets import Bucket
from truetape.serving.digest import FINGERPRINT_SQL
from truetape.serving.influxql import FIRST_FIELD, MAX_SYMBOLS_PER_QUERY, Select
from truetape.serving.schema import INDICATOR, TEXT, Measurement
from truetape.serving.store import FieldValue, IndicatorRow, Rows, ServedBar


def digest_statements(select: Select) -> str:
    """Return the five statements of a digest: sums, three counts of flags, fingerprint."""
    source = f"FROM bar WHERE {influxql.conditions(select)}"
    flags = ("final = true", "void = true", "layer = 'batch'")
    fold = f"SELECT {FINGERPRINT_SQL} AS x {source} GROUP BY symbol"
    statements = [
        f"SELECT count(final), sum(trades), sum(seq), sum(rev), max(rev) {source}",
        *(f"SELECT count(final) {source} AND {flag}" for flag in flags),
        f"SELECT sum(x) FROM ({fold})",  # noqa: S608 - the quoted texts of `fold`
    ]
    return "; ".join(f"{statement} GROUP BY symbol" for statement in statements)


def bar_of(symbol: str, venue: str, row: influxql.Row) -> ServedBar:
    """Read a bar of a row of the measurement `bar`."""
    opened, high, low, close, volume, vwap, trades, rev, seq, layer, final, void = row[3:15]
    return ServedBar(
        symbol,
        venue,
        int(row[2]),
        float(opened),
        float(high),
        float(low),
        float(close),
        float(volume),
        float(vwap),
        int(trades),
        int(rev),
        int(seq),
        "batch" if layer == "batch" else "speed",
        final == "true",
        void == "true",
    )


def indicator_of(symbol: str, venue: str, row: influxql.Row) -> IndicatorRow:
    """Read an indicator row of a row of the measurement `indicator`."""
    named = zip(INDICATOR.optional, row[FIRST_FIELD + 2 :], strict=False)
    values = {name: float(value) for name, value in named if value}
    return IndicatorRow(symbol, venue, int(row[2]), values, int(row[3]), row[4] == "true")


def select_of(
    bucket: Bucket,
    measurement: Measurement,
    rows: Rows,
) -> Select:
    """Ask for all fields of some rows, within the times that InfluxDB has."""
    where: dict[str, Sequence[str]] = {}
    if rows.venue is not None:
        where["venue"] = (rows.venue,)
    if rows.symbols is not None:
        where["symbol"] = rows.symbols
    return Select(
        bucket=bucket.name,
        measurement=measurement.name,
        tags=measurement.tags,
        fields=(*measurement.fields, *measurement.optional),
        required=tuple(name for name, kind in measurement.fields.items() if kind != TEXT),
        start_ns=max(rows.start_ns, lines.TIMES.start),
        end_ns=min(rows.end_ns, lines.TIMES.stop),
        where=where,
    )


def selects_of(
    bucket: Bucket,
    measurement: Measurement,
    rows: Rows,
) -> Iterator[Select]:
    """Split a long list of symbols over selects, in order; an empty list asks for nothing."""
    if rows.symbols is None:
        yield select_of(bucket, measurement, rows)
        return
    ordered = sorted(set(rows.symbols))
    for first in range(0, len(ordered), MAX_SYMBOLS_PER_QUERY):
        some = ordered[first : first + MAX_SYMBOLS_PER_QUERY]
        yield select_of(bucket, measurement, replace(rows, symbols=some))


def window_of(
    bucket: Bucket, measurement: Measurement, rows: Sequence[ServedBar] | Sequence[IndicatorRow]
) -> Select:
    """Select the window that holds these rows, and their symbols where those are few."""
    first, end = span([row.start_ns for row in rows])
    symbols = sorted({row.symbol for row in rows})
    few = symbols if len(symbols) <= MAX_SYMBOLS_PER_QUERY else None
    return select_of(bucket, measurement, Rows(first, end, symbols=few))


def span(times: Sequence[int]) -> tuple[int, int]:
    """Return the half-open window that holds these instants, in nanoseconds."""
    return min(times), max(times) + 1


def fields_of(fields: Mapping[str, str], row: influxql.Row) -> dict[str, FieldValue]:
    """Read a row's fields, each of its declared kind."""
    return {
        name: _FROM_TEXT[kind](text)
        for (name, kind), text in zip(fields.items(), row[FIRST_FIELD:], strict=False)
    }


_FROM_TEXT: Mapping[str, Callable[[str], FieldValue]] = {
    "float": float,
    "int": int,
    "bool": "true".__eq__,
    "text": str,
}
