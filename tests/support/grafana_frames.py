"""What Grafana makes of an answer: annotated CSV to frames, as its InfluxDB data source does.

Pure. A table is a frame; the columns of its group key are labels, all others fields, times first.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

MAX_SERIES = 1_000
"""As the provisioned data source says."""
POINTS_ALLOWED = 1.5
"""Earlier Grafanas give up on a series of more than this many times the panel's points."""
_TIME = "dateTime:RFC3339"
_NUMBERS = ("double", "long", "unsignedLong")


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a frame: its name, InfluxDB's type of it, and its values as text, "" for none."""

    name: str
    kind: str
    values: list[str] = field(default_factory=list)

    @property
    def is_time(self) -> bool:
        """Say whether it holds instants."""
        return self.kind.startswith(_TIME)

    @property
    def is_number(self) -> bool:
        """Say whether it holds numbers."""
        return self.kind in _NUMBERS

    @property
    def numbers(self) -> list[float | None]:
        """Return its values, None where there is none."""
        return [float(value) if value else None for value in self.values]


@dataclass(frozen=True, slots=True)
class Frame:
    """One table as a panel gets it."""

    name: str
    labels: Mapping[str, str]
    columns: Sequence[Column]

    @property
    def rows(self) -> int:
        """Return how many rows it has."""
        return len(self.columns[0].values) if self.columns else 0

    def column(self, name: str) -> Column:
        """Return a field by its name; KeyError names what there is."""
        for one in self.columns:
            if one.name == name:
                return one
        raise KeyError(f"{name}: there are {[one.name for one in self.columns]}")


@dataclass(frozen=True, slots=True)
class Answer:
    """All frames of an answer, or what went wrong: `error` may come behind rows, in a 200."""

    frames: Sequence[Frame]
    error: str
    size: int
    """Bytes of the body."""

    @property
    def rows(self) -> int:
        """Return how many rows the body held."""
        return sum(frame.rows for frame in self.frames)


def frames_of(body: str) -> Answer:
    """Read annotated CSV with the annotations group, datatype and default."""
    frames: list[Frame] = []
    for table in _tables(body):
        if "error" in table.names:
            return Answer(frames, table.rows[0][table.names.index("error")], len(body))
        frames.extend(_frames(table))
    if len(frames) > MAX_SERIES:
        return Answer(frames, f"max series reached ({MAX_SERIES})", len(body))
    return Answer(frames, "", len(body))


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows under one header; several tables of the answer may share it."""

    names: list[str]
    kinds: list[str]
    in_key: list[bool]
    rows: list[list[str]]


def _tables(body: str) -> Iterator[_Table]:
    """Yield the rows under each header; the lines above it say what its columns are."""
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
            in_key = [one == "true" for one in notes["#group"]]
            table = _Table(row[1:], notes["#datatype"], in_key, [])
        else:
            defaults = notes["#default"]
            pairs = zip(row[1:], defaults, strict=True)
            table.rows.append([value or default for value, default in pairs])
    if table is not None:
        yield table


def _frames(table: _Table) -> Iterator[Frame]:
    """Yield a frame for each stretch of rows with one group key."""
    labels_at = [at for at, in_key in enumerate(table.in_key) if in_key]
    fields_at = [
        at
        for at, in_key in enumerate(table.in_key)
        if not in_key and table.names[at] not in ("result", "table")
    ]
    fields_at.sort(key=lambda at: not table.kinds[at].startswith(_TIME))
    key: list[str] | None = None
    frame: Frame | None = None
    for row in table.rows:
        found = [row[at] for at in labels_at]
        if frame is None or found != key:
            if frame is not None:
                yield frame
            key, frame = found, _frame(table, labels_at, fields_at, row)
        for column, at in zip(frame.columns, fields_at, strict=True):
            column.values.append(row[at])
    if frame is not None:
        yield frame


def _frame(table: _Table, labels_at: list[int], fields_at: list[int], row: list[str]) -> Frame:
    labels = {table.names[at]: row[at] for at in labels_at if row[at]}
    name = labels.pop("_measurement", "")
    names = [table.names[at] for at in fields_at]
    if names == ["_time", "_value"]:
        labels.pop("_start", None)
        labels.pop("_stop", None)
        names = ["Time", labels.pop("_field", "Value")]
    columns = [Column(one, table.kinds[at]) for one, at in zip(names, fields_at, strict=True)]
    return Frame(name, labels, columns)


def drawn(kind: str, answer: Answer, max_points: int) -> int:
    """Return how many rows of an answer a panel of this kind can show.

    A stat shows one row of a frame; a chart no more than its points, since it has no more pixels.
    """
    most = 1 if kind == "stat" else max_points
    return sum(min(frame.rows, most) for frame in answer.frames)


def is_too_long(answer: Answer, max_points: int) -> bool:
    """Say whether a frame has more rows than Grafana takes for so many points."""
    return any(frame.rows > POINTS_ALLOWED * max_points for frame in answer.frames)
