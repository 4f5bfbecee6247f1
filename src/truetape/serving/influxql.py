"""InfluxQL: the queries of serving as text, and their answers as Arrow tables. Builds no bars.

InfluxQL is 2 to 4 times faster than Flux on these reads, and later InfluxDB versions keep it. Rows
travel as CSV, which is twice as fast as JSON and exact. An error inside a 200 answer is an empty
text in CSV; so each page is compared with its row count, which travels as JSON.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from truetape.host.errors import ConfigError, TransientError, VerificationError
from truetape.serving import lines
from truetape.serving.buckets import Bucket
from truetape.serving.http import InfluxHttp
from truetape.serving.schema import BOOL, FLOAT, INT, TEXT, Measurement
from truetape.serving.store import RowFilter

MAX_SYMBOLS_PER_QUERY = 500
MAX_ALTERNATIVES = 50
"""With more values of a tag, a regular expression selects them."""
MAX_STATEMENTS = 100
MAX_PAGE_ROWS = 20_000
"""Most rows of one answer, about 3 MB of CSV; with 200,000 the read of a day takes 25 % longer."""
REREAD_PAUSE_S = 0.05
"""The pause before a page is read again; a row that is being written is complete by then."""

Tags = tuple[str, ...]
_TYPES: Mapping[str, pa.DataType] = {
    FLOAT: pa.float64(),
    INT: pa.int64(),
    BOOL: pa.bool_(),
    TEXT: pa.string(),
}

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$/]")
_BACKSLASHED = r"\\\g<0>"


@dataclass(frozen=True, slots=True)
class Select:
    """Which rows: of one measurement, in `[start_ns, end_ns)`, with any of these values of a tag.

    `required` are fields that every complete row has and that are never empty text; the first of
    them is counted.
    """

    bucket: str
    measurement: str
    tags: tuple[str, ...]
    fields: Mapping[str, str]
    """Each field with its kind."""
    required: tuple[str, ...]
    start_ns: int
    end_ns: int
    where: Mapping[str, Sequence[str]]


def select_rows(bucket: Bucket, measurement: Measurement, rows: RowFilter) -> Select:
    """Select all fields of some rows, within the times that InfluxDB can store."""
    where: dict[str, Sequence[str]] = {}
    if rows.venue is not None:
        where["venue"] = (rows.venue,)
    if rows.symbols is not None:
        where["symbol"] = rows.symbols
    return Select(
        bucket=bucket.name,
        measurement=measurement.name,
        tags=measurement.tags,
        fields={**measurement.fields, **measurement.optional},
        required=tuple(name for name, kind in measurement.fields.items() if kind != TEXT),
        start_ns=max(rows.start_ns, lines.TIMES.start),
        end_ns=min(rows.end_ns, lines.TIMES.stop),
        where=where,
    )


def select_by_symbols(
    bucket: Bucket, measurement: Measurement, rows: RowFilter
) -> Iterator[Select]:
    """Split a long list of symbols over several selects, in order; an empty list gives none."""
    if rows.symbols is None:
        yield select_rows(bucket, measurement, rows)
        return
    ordered = sorted(set(rows.symbols))
    for first in range(0, len(ordered), MAX_SYMBOLS_PER_QUERY):
        part = ordered[first : first + MAX_SYMBOLS_PER_QUERY]
        yield select_rows(bucket, measurement, replace(rows, symbols=part))


def select_around(
    bucket: Bucket, measurement: Measurement, symbols: Iterable[str], times: Iterable[int]
) -> Select:
    """Select the time range of some rows; also by their symbols, unless these are too many."""
    first, end = time_range(times)
    names = sorted(set(symbols))
    few = names if len(names) <= MAX_SYMBOLS_PER_QUERY else None
    return select_rows(bucket, measurement, RowFilter(first, end, symbols=few))


def time_range(times: Iterable[int]) -> tuple[int, int]:
    """Return the half-open range that contains these instants, in nanoseconds."""
    instants = list(times)
    return min(instants), max(instants) + 1


def query(server: InfluxHttp, bucket: str, statements: str) -> list[list[dict[str, Any]]]:
    """Run statements and return the series of each, as InfluxDB's JSON has them."""
    body = json.loads(_post(server, bucket, statements, "application/json"))
    results: list[dict[str, Any]] = body.get("results", [])  # none for DELETE
    problems = [str(result["error"]) for result in results if "error" in result]
    if problems:
        raise _failed(server, bucket, problems)
    return [result.get("series", []) for result in results]


def count(server: InfluxHttp, select: Select) -> dict[Tags, int]:
    """Return how many rows each series has, in order of its tags."""
    statement = f"SELECT count({_name(select.required[0])}) {_from(select)} {_group(select.tags)}"
    (series,) = query(server, select.bucket, statement)
    counts = {
        tuple(item["tags"][tag] for tag in select.tags): int(item["values"][0][1])
        for item in series
    }
    return dict(sorted(counts.items()))


def read(server: InfluxHttp, select: Select) -> Iterator[pa.Table]:
    """Yield the rows in tables, in order of tags, then time: the columns `time`, each field, and
    each tag. A field that a row lacks is null.

    Needs memory for one page. Reads a row again if it is half written. Raise VerificationError if
    it stays half written.
    """
    page: dict[Tags, int] = {}
    most = MAX_SYMBOLS_PER_QUERY if len(_varying(select)) == 1 else MAX_ALTERNATIVES
    for tags, rows in count(server, select).items():
        if page and (sum(page.values()) + rows > MAX_PAGE_ROWS or len(page) == most):
            yield _page(server, select, page)
            page = {}
        if rows > MAX_PAGE_ROWS:
            yield from _long_series(server, select, tags)
        else:
            page[tags] = rows
    if page:
        yield _page(server, select, page)


def split(server: InfluxHttp, select: Select, max_rows: int) -> Iterator[Select]:
    """Split a select by symbols, so that each has at most `max_rows` rows, or a single symbol, and
    at most `MAX_SYMBOLS_PER_QUERY` symbols. Symbols without rows are left out.
    """
    counts: Counter[str] = Counter()
    for tags, rows in count(server, select).items():
        counts[tags[select.tags.index("symbol")]] += rows
    part: list[str] = []
    rows_of_part = 0
    for symbol, rows in counts.items():
        is_full = rows_of_part + rows > max_rows or len(part) == MAX_SYMBOLS_PER_QUERY
        if part and is_full:
            yield replace(select, where={**select.where, "symbol": part})
            part, rows_of_part = [], 0
        part.append(symbol)
        rows_of_part += rows
    if part:
        yield replace(select, where={**select.where, "symbol": part})


def last_starts(server: InfluxHttp, select: Select, rows: int) -> dict[Tags, int]:
    """Return for each series the time of its `rows`-th last row, or of its first row."""
    statement = (
        f"SELECT {_name(select.required[0])} {_from(select)} {_group(select.tags)} "
        f"ORDER BY time DESC LIMIT {rows}"
    )
    (series,) = query(server, select.bucket, statement)
    starts = {
        tuple(item["tags"][tag] for tag in select.tags): int(item["values"][-1][0])
        for item in series
    }
    return dict(sorted(starts.items()))


def tag_values(server: InfluxHttp, bucket: str, measurement: str, tag: str) -> list[str]:
    """Return the values of a tag in a measurement, sorted."""
    statement = f"SHOW TAG VALUES FROM {_name(measurement)} WITH KEY = {_name(tag)}"
    (series,) = query(server, bucket, statement)
    return sorted({str(value) for item in series for _, value in item["values"]})


def delete(server: InfluxHttp, bucket: str, selects: Sequence[Select]) -> None:
    """Delete rows. InfluxDB ignores this silently if the token may only write."""
    for first in range(0, len(selects), MAX_STATEMENTS):
        batch = selects[first : first + MAX_STATEMENTS]
        query(server, bucket, "; ".join(f"DELETE {_from(select)}" for select in batch))


def conditions(select: Select) -> str:
    """Return the conditions of the WHERE clause: times and tag values."""
    parts = [f"time >= {select.start_ns}", f"time < {select.end_ns}"]
    parts += [_has_value(tag, values) for tag, values in select.where.items()]
    return " AND ".join(parts)


def quote(value: str) -> str:
    """Return a text literal. Raise ConfigError for a control character: no stored tag has one."""
    if _CONTROL.search(value):
        raise ConfigError(f"{value!r} contains a control character; no symbol or venue does")
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _has_value(tag: str, values: Iterable[str]) -> str:
    """Return the condition that a tag has one of these values.

    InfluxDB evaluates a list of alternatives once for each of its series, so its time grows with
    the square of the list: 500 symbols took 5 s, and 0.8 s as a regular expression.
    """
    texts = list(values)
    if len(texts) <= MAX_ALTERNATIVES:
        return _any_of(f"{_name(tag)} = {quote(value)}" for value in texts)
    for value in texts:
        quote(value)  # refuses what no stored tag contains
    return f"{_name(tag)} =~ /^({'|'.join(_SPECIAL.sub(_BACKSLASHED, text) for text in texts)})$/"


def _page(server: InfluxHttp, select: Select, counts: Mapping[Tags, int]) -> pa.Table:
    """Read several complete series in one answer."""
    varying = _varying(select)
    if len(varying) == 1:
        place = select.tags.index(varying[0])
        series = _has_value(varying[0], [tags[place] for tags in counts])
    else:
        series = _any_of(
            " AND ".join(
                f"{_name(tag)} = {quote(value)}"
                for tag, value in zip(select.tags, tags, strict=True)
                if tag in varying
            )
            for tags in (counts if varying else ())
        )
    rows = _complete_rows(server, select, series, sum(counts.values()), "")
    # InfluxQL would sort "BRK.B|XNYS" before "BRK|XNYS"
    return rows.sort_by([(name, "ascending") for name in (*select.tags, "time")])


def _varying(select: Select) -> list[str]:
    """Return the tags that the select does not fix to one value."""
    return [tag for tag in select.tags if len(select.where.get(tag, ())) != 1]


def _long_series(server: InfluxHttp, select: Select, tags: Tags) -> Iterator[pa.Table]:
    """Read one series page by page; each page starts after the last time before it."""
    where = {tag: (value,) for tag, value in zip(select.tags, tags, strict=True)}
    rest = replace(select, where=where)
    while expected := min(count(server, rest).get(tags, 0), MAX_PAGE_ROWS):
        rows = _complete_rows(server, rest, "", expected, f"LIMIT {MAX_PAGE_ROWS}")
        yield rows
        rest = replace(rest, start_ns=rows.column("time")[-1].as_py() + 1)


def _complete_rows(
    server: InfluxHttp, select: Select, series: str, expected: int, limit: str
) -> pa.Table:
    """Read a page until all its rows and fields are there, at most `attempts` times."""
    columns = ", ".join(_name(name) for name in (*select.fields, *select.tags))
    extra = f" AND ({series})" if series else ""
    statement = f"SELECT {columns} {_from(select)}{extra} {_group(select.tags)} {limit}"
    problem = ""
    for attempt in range(server.attempts):
        if attempt:
            server.sleep(REREAD_PAUSE_S)
        body = _post(server, select.bucket, statement, "application/csv")
        rows = _parsed(body, select)
        half = _half_written(rows, select.required)
        if len(rows) >= expected and not len(half):
            server.count(rows_read=len(rows))
            return rows
        problem = f"half: {half.to_pylist()[0]}" if len(half) else f"{len(rows)} of {expected} rows"
    if "half" in problem:
        raise VerificationError(
            f"bucket {select.bucket}: a row of {select.measurement} lacks fields ({problem}); "
            "another program writes there"
        )
    raise TransientError(
        f"bucket {select.bucket}: {problem} read; rows were deleted during the read, read again"
    )


def _parsed(body: bytes, select: Select) -> pa.Table:
    """Return the rows of an answer. Before them, each line has a name and all tags in one text."""
    types: dict[str, pa.DataType] = {
        "time": pa.int64(),
        **{name: _TYPES[kind] for name, kind in select.fields.items()},
        **dict.fromkeys(select.tags, pa.string()),
    }
    if not body.strip():  # without rows there is no header either
        return pa.schema(types).empty_table()
    convert = pyarrow.csv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        null_values=[""],
        strings_can_be_null=False,
        true_values=["true"],
        false_values=["false"],
    )
    try:
        table: pa.Table = pyarrow.csv.read_csv(io.BytesIO(body), convert_options=convert)
    except pa.ArrowInvalid as error:
        raise VerificationError(
            f"bucket {select.bucket}: a field of {select.measurement} is not of its type "
            f"({error}); another program writes there"
        ) from error
    return table


def _half_written(rows: pa.Table, required: Sequence[str]) -> pa.Table:
    """Return the first row that lacks a required field, or no row."""
    for name in required:
        column = rows.column(name)
        if column.null_count:
            return rows.filter(pc.is_null(column)).slice(0, 1)
    return rows.slice(0, 0)


def _post(server: InfluxHttp, bucket: str, statements: str, accept: str) -> bytes:
    form = urlencode({"db": bucket, "q": statements, "epoch": "ns"}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": accept}
    return server.send("POST", "/query", body=form, headers=headers).body


def _failed(server: InfluxHttp, bucket: str, problems: list[str]) -> ConfigError | TransientError:
    """Return the error of a query. Of several statements that fail for one reason, InfluxDB says
    that reason once and calls the others "not executed"; so the server is asked for the bucket.
    """
    problem = next((text for text in problems if "not executed" not in text), problems[0])
    if "not found" in problem or not has_bucket(server, bucket):
        return ConfigError(
            f"InfluxDB at {server.shown_url} has no bucket {bucket} that this token may read "
            f"({problem}): use a token that may, or run `truetape stack up`, which creates missing "
            'buckets, and publish each session again; see "A bucket is gone" in docs/RUNBOOK.md'
        )
    return TransientError(f"InfluxDB at {server.shown_url} aborted a read of {bucket}: {problem}")


def has_bucket(server: InfluxHttp, bucket: str) -> bool:
    """True if the server has a bucket, as far as the token may know."""
    query = urlencode({"org": server.org, "name": bucket})
    reply = server.send_json("GET", f"/api/v2/buckets?{query}", accepted={404})
    return bool(reply.get("buckets"))


def _from(select: Select) -> str:
    return f"FROM {_name(select.measurement)} WHERE {conditions(select)}"


def _group(tags: tuple[str, ...]) -> str:
    return "GROUP BY " + ", ".join(_name(tag) for tag in tags)


def _name(name: str) -> str:
    return f'"{name}"'


def _any_of(terms: "Iterator[str]") -> str:
    joined = " OR ".join(f"({term})" for term in terms)
    return f"({joined})" if joined else ""
