"""What the tasks of the backfill's DAG run, and the steps that its Spark job has."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from truetape.host.errors import ConfigError, VerificationError
from truetape.host.settings import Settings
from truetape.quality.dag_runs import DagRun

NIGHTLY = {"by": "holes", "reason": "nightly, by schedule"}
"""The request of a scheduled run."""


def request(params: Mapping[str, Any], *, by_hand: bool) -> dict[str, Any]:
    """Return the request of a run as values of the form. Raise ConfigError if it is not valid."""
    from truetape.batch.backfill_request import request_of

    values = {name: value for name, value in params.items() if name != "dry_run"}
    return request_of(values if by_hand else NIGHTLY).to_dict()


def next_task(planned: Mapping[str, Any], *, dry_run: bool, approve_above: int) -> str | None:
    """Return the task that follows a plan; None if the run ends there."""
    if dry_run:
        return None
    if planned["to_ingest"] > approve_above:
        return "approve"
    return "ingest" if planned["to_ingest"] else "settle"


def plan(settings: Settings, form: str) -> dict[str, Any]:
    """Make a plan, keep it for `ingest`, and return what an operator must know of it."""
    from truetape.batch.backfill_notes import Notes
    from truetape.batch.backfill_request import request_of
    from truetape.batch.backfill_run import plan_once
    from truetape.lake.offset_text import format_offsets

    planned = plan_once(settings, request_of(json.loads(form)))
    Notes.of(settings).propose(planned)
    names = ("asked", "in_kafka", "archived", "to_ingest", "lost", "awaited", "unwritten")
    return {
        "digest": planned.plan.digest,
        **{name: planned.plan.total(name) for name in names},
        "missing_offsets": format_offsets(planned.plan.to_ingest),
        "lost_offsets": format_offsets(planned.plan.lost),
        "events": planned.contents.events,
        "sessions": [f"{venue} {day}" for venue, day in planned.to_settle()],
    }


def ingest(settings: Settings, digest: str) -> dict[str, Any]:
    """Carry a kept plan out; return what was counted in `raw` afterwards."""
    from truetape.batch.backfill_notes import Notes
    from truetape.batch.backfill_run import ingest_once

    notes = Notes.of(settings)
    planned = notes.proposed(digest)
    notes.begin(planned)
    done = ingest_once(settings, planned)
    return {"digest": digest, "records": done.records, "dead_letters": done.dead_letters}


def asker(who: str, of: DagRun) -> str:
    """Return who asks, and in which run of a DAG, as the text that `settle` takes."""
    return json.dumps({"who": who, "dag": of.dag, "run": of.run})


def settle(settings: Settings, by: str) -> dict[str, Any]:
    """Make final what begun backfills touched; VerificationError where served bars then differ.

    `by` is what `asker` returned; the gate's reports are noted as those of its run.
    """
    from truetape.batch.backfill_notes import Notes
    from truetape.pipeline.sessions import finalize_backfilled

    told = json.loads(by)
    of = DagRun(told["dag"], told["run"])
    notes, settled, left, differing = Notes.of(settings), [], [], 0
    for planned in notes.unfinished():
        outcomes, open_ones = finalize_backfilled(
            settings, planned, told["who"], datetime.now(UTC), print, dag_run=of
        )
        notes.finish(planned)
        differing += sum(len(outcome.mismatches) for outcome in outcomes)
        settled += [
            {
                "venue": one.published.session.venue,
                "session": str(one.published.session.date),
                "rev": one.published.rev,
                "compared": one.compared,
            }
            for one in outcomes
        ]
        left += [f"{venue} {day}" for venue, day in open_ones]
    if differing:
        raise VerificationError(f"{differing:,} served bars differ from the recomputed ones")
    return {"settled": settled, "not_over_yet": left}


STEPS = {"plan": plan, "ingest": ingest, "settle": settle}
"""The steps of `spark/backfill.py`; each takes settings and one text."""


def step(settings: Settings, name: str, text: str) -> dict[str, Any]:
    """Run a step by its name."""
    if name not in STEPS:
        raise ConfigError(f"no step {name!r}; there are {', '.join(STEPS)}")
    return STEPS[name](settings, text)
