"""InfluxQL: the queries of serving as text, and their answers as rows of text. Builds no bars.

InfluxQL is 2 to 4 times faster than Flux on these reads, and later InfluxDB versions keep it. Rows
travel as CSV, which is twice as fast as JSON and exact. An error inside a 200 answer is an empty
text in CSV; so each page is compared with its row count, which travels as JSON.
"""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any
from urllib.parse import urlencode

from truetape.host.errors import ConfigError, TransientError, VerificationError
from truetape.serving import lines
from truetape.serving.buckets import Bucket
from truetape.serving.http import InfluxHttp
from truetape.serving.schema import TEXT, Measurement
from truetape.serving.store import IndicatorRow, RowFilter, ServedBar

MAX_SYMBOLS_PER_QUERY = 500
MAX_STATEMENTS = 100
MAX_PAGE_ROWS = 20_000
"""Most rows of one answer, about 3 MB of CSV; with 200,000 the read of a day takes 25 % longer."""
REREAD_PAUSE_S = 0.05
"""The pause before a page is read again; a row that is being written is complete by then."""

Tags = tuple[str, ...]
CsvRow = list[str]
"""name, tags, time, then the fields of the select, then its tags; "" where a field is absent."""
FIRST_FIELD = 3

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Select:
    """Which rows: of one measurement, in `[start_ns, end_ns)`, with any of these values of a tag.

    `required` are fields that every complete row has and that are never empty text; the first of
    them is counted.
    """

    bucket: str
    measurement: str
    tags: tuple[str, ...]
    fields: tuple[str, ...]
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
        fields=(*measurement.fields, *measurement.optional),
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
    bucket: Bucket, measurement: Measurement, rows: Sequence[ServedBar] | Sequence[IndicatorRow]
) -> Select:
    """Select the time range of these rows; also by their symbols, unless these are too many."""
    first, end = time_range([row.start_ns for row in rows])
    symbols = sorted({row.symbol for row in rows})
    few = symbols if len(symbols) <= MAX_SYMBOLS_PER_QUERY else None
    return select_rows(bucket, measurement, RowFilter(first, end, symbols=few))


def time_range(times: Sequence[int]) -> tuple[int, int]:
    """Return the half-open range that contains these instants, in nanoseconds."""
    return min(times), max(times) + 1


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


def read(server: InfluxHttp, select: Select) -> Iterator[tuple[Tags, list[CsvRow]]]:
    """Yield rows by series in order of tags, then time; a long series comes in several parts.

    Needs memory for one page. Reads a row again if it is half written. Raise VerificationError if
    it stays half written.
    """
    page: dict[Tags, int] = {}
    for tags, rows in count(server, select).items():
        if page and sum(page.values()) + rows > MAX_PAGE_ROWS:
            yield from _page(server, select, page)
            page = {}
        if rows > MAX_PAGE_ROWS:
            yield from _long_series(server, select, tags)
        else:
            page[tags] = rows
    if page:
        yield from _page(server, select, page)


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
    for tag, values in select.where.items():
        parts.append(_any_of(f"{_name(tag)} = {quote(value)}" for value in values))
    return " AND ".join(parts)


def quote(value: str) -> str:
    """Return a text literal. Raise ConfigError for a control character: no stored tag has one."""
    if _CONTROL.search(value):
        raise ConfigError(f"{value!r} contains a control character; no symbol or venue does")
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _page(
    server: InfluxHttp, select: Select, counts: Mapping[Tags, int]
) -> Iterator[tuple[Tags, list[CsvRow]]]:
    """Read several complete series in one answer."""
    varying = [tag for tag in select.tags if len(select.where.get(tag, ())) != 1]
    series = _any_of(
        " AND ".join(
            f"{_name(tag)} = {quote(value)}"
            for tag, value in zip(select.tags, tags, strict=True)
            if tag in varying
        )
        for tags in (counts if varying else ())
    )
    rows = _complete_rows(server, select, series, sum(counts.values()), "")
    yield from sorted(rows.items())


def _long_series(
    server: InfluxHttp, select: Select, tags: Tags
) -> Iterator[tuple[Tags, list[CsvRow]]]:
    """Read one series page by page; each page starts after the last time before it."""
    where = {tag: (value,) for tag, value in zip(select.tags, tags, strict=True)}
    rest = replace(select, where=where)
    while expected := min(count(server, rest).get(tags, 0), MAX_PAGE_ROWS):
        rows = _complete_rows(server, rest, "", expected, f"LIMIT {MAX_PAGE_ROWS}")[tags]
        yield tags, rows
        rest = replace(rest, start_ns=int(rows[-1][2]) + 1)


def _complete_rows(
    server: InfluxHttp, select: Select, series: str, expected: int, limit: str
) -> dict[Tags, list[CsvRow]]:
    """Read a page until all its rows and fields are there, at most `attempts` times."""
    columns = ", ".join(_name(name) for name in (*select.fields, *select.tags))
    extra = f" AND ({series})" if series else ""
    statement = f"SELECT {columns} {_from(select)}{extra} {_group(select.tags)} {limit}"
    places = (FIRST_FIELD + select.fields.index(name) for name in select.required)
    needed = itemgetter(0, *places)  # with the name, because one item alone comes without a tuple
    problem = ""
    for attempt in range(server.attempts):
        if attempt:
            server.sleep(REREAD_PAUSE_S)
        rows = _csv_rows(_post(server, select.bucket, statement, "application/csv"))
        broken = next((row for row in rows if "" in needed(row)), None)
        if len(rows) >= expected and broken is None:
            server.count(rows_read=len(rows))
            return _by_series(rows, len(select.tags))
        problem = f"{len(rows)} of {expected} rows read" if broken is None else f"half: {broken}"
    if "half" in problem:
        raise VerificationError(
            f"bucket {select.bucket}: a row of {select.measurement} lacks fields ({problem}); "
            "another program writes there"
        )
    raise TransientError(
        f"bucket {select.bucket}: {problem}; rows were deleted during the read, read again"
    )


def _csv_rows(text: bytes) -> list[CsvRow]:
    rows = csv.reader(io.StringIO(text.decode(), newline=""))
    next(rows, None)
    return list(rows)


def _by_series(rows: list[CsvRow], tags: int) -> dict[Tags, list[CsvRow]]:
    series: dict[Tags, list[CsvRow]] = defaultdict(list)
    for row in rows:
        series[tuple(row[-tags:])].append(row)
    return series


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
