"""Annotated CSV of InfluxDB turned into frames, as Grafana's InfluxDB data source does.

Pure; draws nothing. Each table becomes a frame. The columns of its group key become labels, all
others become fields, times first.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

MAX_SERIES = 1_000
"""The limit in the provisioned data source."""
POINTS_ALLOWED = 1.5
"""Earlier Grafanas reject a series with more rows than this multiple of the panel's points."""
_TIME = "dateTime:RFC3339"
_NUMBERS = ("double", "long", "unsignedLong")


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a frame: its name, its InfluxDB type, and its values as text; "" is no value."""

    name: str
    kind: str
    values: list[str] = field(default_factory=list)

    @property
    def is_time(self) -> bool:
        """True if its values are timestamps."""
        return self.kind.startswith(_TIME)

    @property
    def is_number(self) -> bool:
        """True if its values are numbers."""
        return self.kind in _NUMBERS

    @property
    def numbers(self) -> list[float | None]:
        """Return its values as numbers; None is no value."""
        return [float(value) if value else None for value in self.values]


@dataclass(frozen=True, slots=True)
class GrafanaFrame:
    """One table in the form that a panel gets."""

    name: str
    labels: Mapping[str, str]
    columns: Sequence[Column]

    @property
    def rows(self) -> int:
        """Return the number of its rows."""
        return len(self.columns[0].values) if self.columns else 0

    def column(self, name: str) -> Column:
        """Return a field by its name. Raise KeyError with all names if there is no such field."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{name}: there are {[column.name for column in self.columns]}")


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """All frames of an answer. `error` may be set after rows, in a response with status 200."""

    frames: Sequence[GrafanaFrame]
    error: str
    size: int
    """Bytes of the body."""

    @property
    def rows(self) -> int:
        """Return the number of rows in the body."""
        return sum(frame.rows for frame in self.frames)


def frames_of(body: str) -> QueryAnswer:
    """Read annotated CSV with the annotations group, datatype and default."""
    frames: list[GrafanaFrame] = []
    for table in _tables(body):
        if "error" in table.names:
            return QueryAnswer(frames, table.rows[0][table.names.index("error")], len(body))
        frames.extend(_frames(table))
    if len(frames) > MAX_SERIES:
        return QueryAnswer(frames, f"max series reached ({MAX_SERIES})", len(body))
    return QueryAnswer(frames, "", len(body))


@dataclass(frozen=True, slots=True)
class _Table:
    """The rows under one header, which several tables of the answer can share."""

    names: list[str]
    kinds: list[str]
    in_key: list[bool]
    rows: list[list[str]]


def _tables(body: str) -> Iterator[_Table]:
    """Yield the rows under each header. The annotation lines above it describe its columns."""
    notes: dict[str, list[str]] = {}
    table: _Table | None = None
    for row in csv.reader(io.StringIO(body)):
        if not row:
            continue
        if row[0].startswith("#"):
            if table is not None:
                yield table
                notes, table = {}, None
            notes[row[0]] = row[1:]
        elif table is None:
            in_key = [value == "true" for value in notes["#group"]]
            table = _Table(row[1:], notes["#datatype"], in_key, [])
        else:
            defaults = notes["#default"]
            pairs = zip(row[1:], defaults, strict=True)
            table.rows.append([value or default for value, default in pairs])
    if table is not None:
        yield table


def _frames(table: _Table) -> Iterator[GrafanaFrame]:
    """Yield a frame for each run of rows with the same group key."""
    labels_at = [at for at, in_key in enumerate(table.in_key) if in_key]
    fields_at = [
        at
        for at, in_key in enumerate(table.in_key)
        if not in_key and table.names[at] not in ("result", "table")
    ]
    fields_at.sort(key=lambda at: not table.kinds[at].startswith(_TIME))
    key: list[str] | None = None
    frame: GrafanaFrame | None = None
    for row in table.rows:
        row_key = [row[at] for at in labels_at]
        if frame is None or row_key != key:
            if frame is not None:
                yield frame
            key, frame = row_key, _frame(table, labels_at, fields_at, row)
        for column, at in zip(frame.columns, fields_at, strict=True):
            column.values.append(row[at])
    if frame is not None:
        yield frame


def _frame(
    table: _Table, labels_at: list[int], fields_at: list[int], row: list[str]
) -> GrafanaFrame:
    labels = {table.names[at]: row[at] for at in labels_at if row[at]}
    name = labels.pop("_measurement", "")
    names = [table.names[at] for at in fields_at]
    if names == ["_time", "_value"]:
        labels.pop("_start", None)
        labels.pop("_stop", None)
        names = ["Time", labels.pop("_field", "Value")]
    columns = [Column(label, table.kinds[at]) for label, at in zip(names, fields_at, strict=True)]
    return GrafanaFrame(name, labels, columns)


def drawn_rows(kind: str, answer: QueryAnswer, max_points: int) -> int:
    """Return how many rows of an answer a panel of this kind can show.

    A stat shows one row of a frame. A chart shows at most as many rows as its points: it has no
    more pixels.
    """
    most = 1 if kind == "stat" else max_points
    return sum(min(frame.rows, most) for frame in answer.frames)


def is_too_long(answer: QueryAnswer, max_points: int) -> bool:
    """True if a frame has more rows than Grafana accepts for this number of points."""
    return any(frame.rows > POINTS_ALLOWED * max_points for frame in answer.frames)
