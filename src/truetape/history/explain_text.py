"""The lineage of a bar as text for people, or as one JSON object for programs. Reads nothing."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from truetape.drift.attribution_inputs import FIELDS
from truetape.drift.ledger import BarDrift
from truetape.drift.table import plain
from truetape.history.lineage import BarRevision, Lineage, TracedDelivery
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
"""Most changed minutes of a rolled-up bar to list."""


def head(lineage: Lineage) -> Iterator[str]:
    """Yield the served bar, the fold of its trades, the versions behind it, and its revisions."""
    bar, served, folded = lineage.bar, lineage.served, lineage.folded
    yield f"{bar.symbol} {bar.resolution.value} {utc(bar.start_ns)} on {bar.venue}"
    yield f"served:    {_served(served)}"
    yield f"by trades: {_by_trades(served, folded)}"
    behind = lineage.versions
    contracts = ", ".join(
        f"{feed} {' and '.join(map(str, versions))}" for feed, versions in behind.contracts.items()
    )
    yield f"made with: profile {' '.join(map(str, behind.profile))}; contract {contracts or 'none'}"
    lake = ", ".join(f"{name} {version}" for name, version in behind.lake.items())
    yield f"lake:      {lake or 'nothing'}"
    yield "history:" if lineage.revisions else "history:   never published"
    for revision in lineage.revisions:
        yield from _revision(revision)
    for amendment in lineage.pending:
        yield f"waits for its trade: {_amendment(amendment)}, received {utc(amendment.received_ns)}"


def table(deliveries: Sequence[TracedDelivery], title: str) -> "Table":
    """Build a table of prints: of those that count, or of the excluded ones."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=Text(title), title_justify="left", header_style="bold")
    is_excluded = any(each.excluded for each in deliveries)
    names = [*COLUMNS, *(["why not"] if is_excluded else [])]
    for name in names:
        shown.add_column(name, justify="right" if name in _RIGHT else "left", overflow="fold")
    for delivery in deliveries:
        texts = cells(delivery)
        shown.add_row(*(Text(texts[name]) for name in names))
    return shown


def as_json(lineage: Lineage) -> str:
    """Return the lineage as one JSON object; exact numbers are text, instants are nanoseconds."""
    bar = lineage.bar
    fields = {
        "symbol": bar.symbol,
        "venue": bar.venue,
        "resolution": bar.resolution.value,
        "start": utc(bar.start_ns),
        "start_ns": bar.start_ns,
        "served": _served_fields(lineage.served),
        "by_trades": _exact_fields(lineage.folded),
        "profile": {"id": lineage.versions.profile[0], "version": lineage.versions.profile[1]},
        "contracts": {feed: list(have) for feed, have in lineage.versions.contracts.items()},
        "lake": dict(lineage.versions.lake),
        "history": [_revision_fields(revision) for revision in lineage.revisions],
        "trades": [_delivery_fields(delivery) for delivery in lineage.counted],
        "excluded": [_delivery_fields(delivery) for delivery in lineage.left_out],
        "pending": [_amendment_fields(amendment) for amendment in lineage.pending],
    }
    return json.dumps(fields, ensure_ascii=False)


def _served(bar: ServedBar | None) -> str:
    if bar is None:
        return "no such bar"
    state = "final" if bar.final else "provisional"
    label = f"{state}, rev {bar.rev}, by the {bar.layer} layer"
    if bar.void:
        return f"{label}: void, no trade is left"
    return f"{label}: " + " ".join(
        f"{name} {getattr(bar, name):g}" if name == "trades" else f"{name} {getattr(bar, name)!r}"
        for name in FIELDS
    )


def _by_trades(served: ServedBar | None, folded: Bar | None) -> str:
    values = _exact_fields(folded)
    if values is None:
        return "nothing to serve"
    text = " ".join(f"{name} {value}" for name, value in values.items())
    return f"equal, exactly: {text}" if is_same(served, folded) else f"DIFFERENT: {text}"


def is_same(served: ServedBar | None, folded: Bar | None) -> bool:
    """True if the served values are the nearest doubles of the exact values of its trades."""
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


def _revision(revision: BarRevision) -> Iterator[str]:
    publication = revision.publication
    yield (
        f"  rev {publication.rev}  {utc(publication.published_ns)}, "
        f"as of {utc(publication.as_of_ns)}, by {publication.who}: {publication.reason}"
    )
    for minute in revision.minutes[:MAX_MINUTES]:
        causes = ", ".join(minute.causes)
        yield f"         its minute {utc(minute.start_ns)} changed: {causes}"
    if len(revision.minutes) > MAX_MINUTES:
        yield f"         and {len(revision.minutes) - MAX_MINUTES} more of its minutes"
    if revision.drift is None:
        if not revision.minutes:
            yield "         no value of this bar changed"
        return
    for drift in revision.drift.fields:
        parts = ", ".join(
            f"{part.cause} {plain(part.delta, '+')}"
            + (f" (trades {' '.join(part.trades)})" if part.trades else "")
            for part in drift.parts
        )
        yield f"         {drift.field} {plain(drift.before)} -> {plain(drift.after)}: {parts}"


def _revision_fields(revision: BarRevision) -> dict[str, Any]:
    publication = revision.publication
    return {
        "rev": publication.rev,
        "published_ns": publication.published_ns,
        "as_of_ns": publication.as_of_ns,
        "who": publication.who,
        "reason": publication.reason,
        "profile": f"{publication.profile} {publication.profile_version}",
        "changes": _drift_fields(revision.drift),
        "minutes": [
            {"start_ns": minute.start_ns, "changes": _drift_fields(minute)}
            for minute in revision.minutes
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


def cells(delivery: TracedDelivery) -> Mapping[str, str]:
    """Return one print as text by column name, with the reason why it does not count."""
    trade, grade = delivery.trade, delivery.eligibility
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
        "sets": " ".join(delivery.sets),
        "received": f"+{lateness:.3f} s",
        "where": str(trade.position),
        "amended": "; ".join(map(_amendment, delivery.amendments)),
        "why not": delivery.excluded or "",
    }


def _delivery_fields(delivery: TracedDelivery) -> dict[str, Any]:
    trade, grade, place = delivery.trade, delivery.eligibility, delivery.trade.position
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
        "sets": list(delivery.sets),
        "excluded": delivery.excluded,
        "received_as": {
            "price": plain(delivery.received.price),
            "size": plain(delivery.received.size),
        },
        "amendments": [_amendment_fields(amendment) for amendment in delivery.amendments],
        "kafka": {
            "topic": place.topic,
            "partition": place.partition,
            "offset": place.offset,
            "index": place.index,
        },
    }


def _amendment(amendment: Amendment) -> str:
    source = f"by {amendment.position}"
    if isinstance(amendment, Correction):
        return f"corrected to {plain(amendment.price)} x {plain(amendment.size)} {source}"
    return f"cancelled {amendment.id} {source}"


def _amendment_fields(amendment: Amendment) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "kind": "correct" if isinstance(amendment, Correction) else "cancel",
        "id": amendment.id,
        "received_ns": amendment.received_ns,
        "where": str(amendment.position),
    }
    if isinstance(amendment, Correction):
        fields |= {"price": plain(amendment.price), "size": plain(amendment.size)}
    return fields
