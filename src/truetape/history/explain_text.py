"""The lineage of a bar as text for eyes, or as one JSON object for programs. Reads nothing."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from truetape.drift.attribution_inputs import FIELDS
from truetape.drift.ledger import BarDrift
from truetape.drift.table import plain
from truetape.history.lineage import Line, Lineage, Revision
from truetape.market.bars import Bar
from truetape.market.resolution import SECOND_NS
from truetape.market.trades import Amendment, Correction
from truetape.serving.store import ServedBar
from truetape.serving.table import utc

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = (
    "event time", "id", "seq", "price", "size", "conditions", "counts for", "sets", "received",
    "where", "amended",
)  # fmt: skip
_RIGHT = ("seq", "price", "size", "received")
MAX_MINUTES = 5
"""How many changed minutes of a wider bar are spelt out."""


def head(found: Lineage) -> Iterator[str]:
    """Yield the bar, what its trades give, its history, and what it was made with."""
    bar, served, folded = found.bar, found.served, found.folded
    yield f"{bar.symbol} {bar.resolution.value} {utc(bar.start_ns)} on {bar.venue}"
    yield f"served:    {_served(served)}"
    yield f"by trades: {_by_trades(served, folded)}"
    made = found.versions
    contracts = ", ".join(
        f"{feed} {' and '.join(map(str, versions))}" for feed, versions in made.contracts.items()
    )
    yield f"made with: profile {' '.join(map(str, made.profile))}; contract {contracts or 'none'}"
    lake = ", ".join(f"{name} {version}" for name, version in made.lake.items())
    yield f"lake:      {lake or 'nothing'}"
    yield "history:" if found.history else "history:   never published"
    for revision in found.history:
        yield from _revision(revision)
    for amendment in found.pending:
        yield f"waits for its trade: {_amendment(amendment)}, received {utc(amendment.received_ns)}"


def table(lines: Sequence[Line], title: str) -> "Table":
    """Build the table of prints, those that count or those that were left out."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=Text(title), title_justify="left", header_style="bold")
    is_excluded = any(line.excluded for line in lines)
    names = [*COLUMNS, *(["why not"] if is_excluded else [])]
    for name in names:
        shown.add_column(name, justify="right" if name in _RIGHT else "left", overflow="fold")
    for line in lines:
        texts = cells(line)
        shown.add_row(*(Text(texts[name]) for name in names))
    return shown


def as_json(found: Lineage) -> str:
    """Return all of it as one JSON object; exact numbers are text, instants nanoseconds."""
    bar = found.bar
    fields = {
        "symbol": bar.symbol,
        "venue": bar.venue,
        "resolution": bar.resolution.value,
        "start": utc(bar.start_ns),
        "start_ns": bar.start_ns,
        "served": _served_fields(found.served),
        "by_trades": _exact_fields(found.folded),
        "profile": {"id": found.versions.profile[0], "version": found.versions.profile[1]},
        "contracts": {feed: list(have) for feed, have in found.versions.contracts.items()},
        "lake": dict(found.versions.lake),
        "history": [_revision_fields(one) for one in found.history],
        "trades": [_line_fields(line) for line in found.counted],
        "excluded": [_line_fields(line) for line in found.left_out],
        "pending": [_amendment_fields(one) for one in found.pending],
    }
    return json.dumps(fields, ensure_ascii=False)


def _served(bar: ServedBar | None) -> str:
    if bar is None:
        return "no such bar"
    state = "final" if bar.final else "provisional"
    words = f"{state}, rev {bar.rev}, by the {bar.layer} layer"
    if bar.void:
        return f"{words}: void, no trade is left"
    return f"{words}: " + " ".join(
        f"{name} {getattr(bar, name):g}" if name == "trades" else f"{name} {getattr(bar, name)!r}"
        for name in FIELDS
    )


def _by_trades(served: ServedBar | None, folded: Bar | None) -> str:
    values = _exact_fields(folded)
    if values is None:
        return "nothing to serve"
    told = " ".join(f"{name} {value}" for name, value in values.items())
    return f"the same, exactly: {told}" if is_same(served, folded) else f"OTHERWISE: {told}"


def is_same(served: ServedBar | None, folded: Bar | None) -> bool:
    """Say whether a served bar is what its trades give: the nearest doubles of exact values."""
    values = _exact_fields(folded)
    if served is None or served.void or values is None:
        return (served is None or served.void) and values is None
    return all(float(getattr(served, name)) == float(values[name]) for name in FIELDS)


def _exact_fields(bar: Bar | None) -> dict[str, str] | None:
    if bar is None or not bar.is_served:
        return None
    return {name: plain(_or_zero(bar, name)) for name in FIELDS}


def _or_zero(bar: Bar, name: str) -> Any:
    value = getattr(bar, name)
    return 0 if value is None else value


def _served_fields(bar: ServedBar | None) -> dict[str, Any] | None:
    names = (*FIELDS, "rev", "seq", "layer", "final", "void")
    return None if bar is None else {name: getattr(bar, name) for name in names}


def _revision(one: Revision) -> Iterator[str]:
    made = one.publication
    yield (
        f"  rev {made.rev}  {utc(made.published_ns)}, as of {utc(made.as_of_ns)}, by {made.who}: "
        f"{made.reason}"
    )
    for minute in one.minutes[:MAX_MINUTES]:
        causes = ", ".join(minute.causes)
        yield f"         its minute {utc(minute.start_ns)} changed: {causes}"
    if len(one.minutes) > MAX_MINUTES:
        yield f"         and {len(one.minutes) - MAX_MINUTES} more of its minutes"
    if one.drift is None:
        if not one.minutes:
            yield "         no value of this bar changed"
        return
    for drift in one.drift.fields:
        parts = ", ".join(
            f"{part.cause} {plain(part.delta, '+')}"
            + (f" (trades {' '.join(part.trades)})" if part.trades else "")
            for part in drift.parts
        )
        yield f"         {drift.field} {plain(drift.before)} -> {plain(drift.after)}: {parts}"


def _revision_fields(one: Revision) -> dict[str, Any]:
    made = one.publication
    return {
        "rev": made.rev,
        "published_ns": made.published_ns,
        "as_of_ns": made.as_of_ns,
        "who": made.who,
        "reason": made.reason,
        "profile": f"{made.profile} {made.profile_version}",
        "changes": _drift_fields(one.drift),
        "minutes": [
            {"start_ns": minute.start_ns, "changes": _drift_fields(minute)}
            for minute in one.minutes
        ],
    }


def _drift_fields(drift: BarDrift | None) -> list[dict[str, Any]]:
    if drift is None:
        return []
    return [
        {
            "field": field.field,
            "before": plain(field.before),
            "after": plain(field.after),
            "causes": [
                {
                    "cause": str(part.cause),
                    "delta": plain(part.delta),
                    "trades": list(part.trades),
                    "lateness_ns": part.lateness_ns,
                }
                for part in field.parts
            ],
        }
        for field in drift.fields
    ]


def cells(line: Line) -> Mapping[str, str]:
    """Return one print as text, by the names of `COLUMNS`, and why it does not count."""
    trade, grade = line.trade, line.eligibility
    grades = {"open/close": grade.open_close, "high/low": grade.high_low, "volume": grade.volume}
    lateness = (trade.received_ns - trade.event_ns) / SECOND_NS
    return {
        "event time": utc(trade.event_ns).replace("T", " ").removesuffix("Z"),
        "id": trade.id or "",
        "seq": "" if trade.sequence is None else str(trade.sequence),
        "price": plain(trade.price),
        "size": plain(trade.size),
        "conditions": " ".join(trade.conditions),
        "counts for": ", ".join(name for name, holds in grades.items() if holds),
        "sets": " ".join(line.sets),
        "received": f"+{lateness:.3f} s",
        "where": str(trade.position),
        "amended": "; ".join(map(_amendment, line.amendments)),
        "why not": line.excluded or "",
    }


def _line_fields(line: Line) -> dict[str, Any]:
    trade, grade, place = line.trade, line.eligibility, line.trade.position
    return {
        "id": trade.id,
        "sequence": trade.sequence,
        "feed": trade.feed,
        "event_ns": trade.event_ns,
        "received_ns": trade.received_ns,
        "price": plain(trade.price),
        "size": plain(trade.size),
        "conditions": list(trade.conditions),
        "exchange": trade.exchange,
        "tape": trade.tape,
        "open_close": grade.open_close,
        "high_low": grade.high_low,
        "volume": grade.volume,
        "sets": list(line.sets),
        "excluded": line.excluded,
        "received_as": {"price": plain(line.received.price), "size": plain(line.received.size)},
        "amendments": [_amendment_fields(one) for one in line.amendments],
        "kafka": {
            "topic": place.topic,
            "partition": place.partition,
            "offset": place.offset,
            "index": place.index,
        },
    }


def _amendment(one: Amendment) -> str:
    if isinstance(one, Correction):
        return f"corrected to {plain(one.price)} x {plain(one.size)} by {one.position}"
    return f"cancelled {one.id} by {one.position}"


def _amendment_fields(one: Amendment) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "kind": "correct" if isinstance(one, Correction) else "cancel",
        "id": one.id,
        "received_ns": one.received_ns,
        "where": str(one.position),
    }
    if isinstance(one, Correction):
        fields |= {"price": plain(one.price), "size": plain(one.size)}
    return fields
