"""From a payload to the texts of its records, in Spark: containers and paths.

Judges no field: `spark_values` does.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from truetape.batch.spark import json
from truetape.batch.spark.scope import Columns, LambdaScope, Scope, TableScope
from truetape.feeds.contract import Container, CsvPayload, JsonPayload, RecordRule, Records
from truetape.feeds.fields import Origin, Path
from truetape.market.rejection import Reason

Steps = tuple[str, ...]
Texts = dict[Path, Column]
"""The text at each path that a contract names."""
Make = Callable[[Scope, Texts, Column, Column], Column]
"""Makes a record's outcome from its scope, its texts, whether it is a record at all, its index."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a payload holds where it `is_held`: one outcome, or an array of them, perhaps empty.

    `reason` tells why there is none.
    """

    is_held: Column
    outcome: Column
    is_listed: bool
    reason: Column


def paths_of(rules: Iterable[RecordRule]) -> list[Path]:
    """Return every path that the rules read, each once."""
    return list(dict.fromkeys(path for rule in rules for path in rule.paths))


def with_alternatives(texts: Texts, paths: Iterable[Path]) -> Texts:
    """Add the texts of paths with alternatives: of each the first that is there."""
    return texts | {
        path: F.coalesce(*(texts[way] for way in path.ways)) for path in paths if path.otherwise
    }


def csv_records(
    scope: TableScope, text: Column, layout: CsvPayload, paths: Collection[Path], make: Make
) -> Found:
    """Split a line into its columns; an empty column is absent."""
    columns = scope.bind({"columns": F.split(text, f"[{layout.delimiter}]", -1)})["columns"]
    texts = {way: _column_text(columns, layout, way) for path in paths for way in path.ways}
    is_header = text == layout.delimiter.join(layout.columns)
    good = (F.size(columns) == len(layout.columns)) & ~text.rlike(r'[\x00-\x1f"\x7f]') & ~is_header
    outcome = make(scope, texts, F.lit(True), F.lit(0))
    reason = F.when(is_header, str(Reason.NOT_A_TRADE)).otherwise(str(Reason.NOT_CSV))
    return Found(F.coalesce(good, F.lit(False)), outcome, False, reason)


def json_records(
    scope: TableScope, text: Column, layout: JsonPayload, paths: Collection[Path], make: Make
) -> Found:
    """Open a payload down to its records, as `decoder` does."""
    ways = {way for path in paths for way in path.ways}
    around = {way.steps for way in ways if way.origin is Origin.PAYLOAD}
    inside = {way.steps for way in ways if way.origin is Origin.RECORD}
    whole = layout.records is Records.ONE and not layout.at
    wanted = around | ({layout.at} if layout.at else set()) | (inside if whole else set())
    is_array = layout.container is Container.ARRAY
    wrapper = json.array_in(text) if is_array else json.object_in(text, _names(wanted))
    parsed = scope.bind({"parsed": wrapper})["parsed"]
    is_held = json.is_whole(parsed, is_array)
    seen: dict[Steps, Column] = {}

    def take(found: dict[Steps, Column]) -> Column:
        seen.update(found)
        return parsed

    _texts_at(scope, _Opened(json.value_of(parsed), layout.container), wanted, take)
    outer = {Path(Origin.PAYLOAD, steps): seen[steps] for steps in around}
    outer[Path(Origin.KEY)] = F.col("key")
    reason = F.when(~is_held & ~json.is_json(text), str(Reason.NOT_JSON)).otherwise(
        str(Reason.NOT_A_TRADE)
    )
    if whole:
        texts = outer | {Path(Origin.RECORD, steps): seen[steps] for steps in inside}
        return Found(is_held, make(scope, texts, F.lit(True), F.lit(0)), False, reason)
    place = seen.get(layout.at, text)
    if layout.at_optional:
        place = F.coalesce(place, text)
    maker = _Records(layout, inside, outer, make)
    if layout.records is Records.ONE:
        outcome = maker.record(scope, F.lit(None).cast("string"), place, F.lit(0))
        return Found(is_held, outcome, False, reason)
    return Found(is_held, maker.listed(scope, F.when(is_held, place)), True, reason)


@dataclass(frozen=True, slots=True)
class _Records:
    """Makes the outcomes of records whose texts are known: one, or a list of them."""

    layout: JsonPayload
    inside: Collection[Steps]
    outer: Texts
    make: Make

    def record(self, scope: Scope, name: Column, text: Column, index: Column) -> Column:
        """Return the outcome of the record that a text is."""

        def opened(holder: _Opened) -> Column:
            def found(texts: dict[Steps, Column]) -> Column:
                own = {Path(Origin.RECORD, steps): texts[steps] for steps in self.inside}
                every = {**self.outer, Path(Origin.NAME): name, **own}
                return self.make(scope, every, holder.value.isNotNull(), index)

            return _texts_at(scope, holder, self.inside, found)

        return _opened(scope, text, self.layout.record, self.inside, opened)

    def listed(self, scope: TableScope, place: Column) -> Column:
        """Return the outcomes of the records that a place lists, by position or by name."""
        if self.layout.records is Records.EACH:
            items = _items(F.lit(None).cast("string"), json.array_at(place))
        else:
            entries = F.map_entries(json.map_at(place))
            kept = F.filter(entries, lambda entry: ~entry["key"].isin(list(self.layout.skip)))
            items = F.flatten(F.transform(kept, _named_items))
        bound = scope.bind({"items": items})["items"]
        return F.transform(
            bound,
            lambda item, index: self.record(LambdaScope(), item["name"], item["text"], index),
        )


def _named_items(entry: Column) -> Column:
    nothing = F.array(F.lit(None).cast("string"))
    return _items(entry["key"], F.coalesce(json.array_at(entry["value"]), nothing))


def _items(name: Column, texts: Column) -> Column:
    return F.transform(texts, lambda text: F.struct(name.alias("name"), text.alias("text")))


def _column_text(columns: Column, layout: CsvPayload, path: Path) -> Column:
    if path.origin is Origin.KEY:
        return F.col("key")
    text = F.get(columns, F.lit(layout.columns.index(path.steps[0])))
    return F.nullif(text, F.lit(""))


@dataclass(frozen=True, slots=True)
class _Opened:
    """A parsed container and which it is."""

    value: Column
    kind: Container

    def child(self, step: str) -> Column:
        """Return the text at one step; null where the step is for the other kind."""
        if _kind_of(step) is not self.kind:
            return F.lit(None).cast("string")
        if self.kind is Container.ARRAY:
            return F.get(self.value, F.lit(int(step)))
        return self.value[step]


Then = Callable[[dict[Steps, Column]], Column]


def _texts_at(scope: Scope, holder: _Opened, wanted: Collection[Steps], then: Then) -> Column:
    """Go on with the texts at the wanted steps inside an opened container."""
    found: dict[Steps, Column] = {
        steps: holder.child(steps[0]) for steps in wanted if len(steps) == 1
    }
    deeper: dict[tuple[str, Container], set[Steps]] = {}
    for steps in wanted:
        if len(steps) > 1:
            deeper.setdefault((steps[0], _kind_of(steps[1])), set()).add(steps[1:])

    def descend(todo: list[tuple[tuple[str, Container], set[Steps]]]) -> Column:
        if not todo:
            return then(found)
        ((first, kind), rests), *left = todo

        def merged(texts: dict[Steps, Column]) -> Column:
            found.update({(first, *steps): text for steps, text in texts.items()})
            return descend(left)

        return _opened(
            scope,
            holder.child(first),
            kind,
            rests,
            lambda inner: _texts_at(scope, inner, rests, merged),
        )

    return descend(sorted(deeper.items()))


def _kind_of(step: str) -> Container:
    return Container.ARRAY if step.isdigit() else Container.OBJECT


def _opened(
    scope: Scope,
    text: Column,
    kind: Container,
    wanted: Collection[Steps],
    then: Callable[[_Opened], Column],
) -> Column:
    """Parse a text as a container, of which only the wanted first steps are needed, and go on."""
    is_array = kind is Container.ARRAY
    parsed = json.array_in(text) if is_array else json.object_in(text, _names(wanted))

    def opened(bound: Columns) -> Column:
        whole = json.is_whole(bound["parsed"], is_array)
        return then(_Opened(F.when(whole, json.value_of(bound["parsed"])), kind))

    return scope.let({"parsed": parsed}, opened)


def _names(wanted: Collection[Steps]) -> list[str]:
    return sorted({steps[0] for steps in wanted})
