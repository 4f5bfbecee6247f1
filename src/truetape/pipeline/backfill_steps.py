"""The steps of a backfill: plan it, ingest the missing records, make the affected sessions final.

Each step takes the settings and one text, and returns counts. Does not know Airflow.
"""

import json
from datetime import UTC, datetime
from typing import Any

from truetape.batch.backfill_notes import BackfillNotes
from truetape.batch.backfill_request import request_of
from truetape.batch.backfill_run import ingest_once, plan_once
from truetape.host.errors import ConfigError, VerificationError
from truetape.host.settings import Settings
from truetape.lake.offset_text import format_offsets
from truetape.pipeline.sessions import finalize_backfilled
from truetape.quality.dag_runs import DagRun


def plan(settings: Settings, form: str) -> dict[str, Any]:
    """Make a plan, store it for `ingest`, and return what an operator must know about it."""
    planned = plan_once(settings, request_of(json.loads(form)))
    BackfillNotes.of(settings).propose(planned)
    names = ("asked", "in_kafka", "archived", "to_ingest", "lost", "awaited", "unwritten")
    return {
        "digest": planned.plan.digest,
        **{name: planned.plan.total(name) for name in names},
        "missing_offsets": format_offsets(planned.plan.to_ingest),
        "lost_offsets": format_offsets(planned.plan.lost),
        "events": planned.contents.events,
        "sessions": [f"{venue} {day}" for venue, day in planned.sessions_to_finalize()],
    }


def ingest(settings: Settings, digest: str) -> dict[str, Any]:
    """Ingest the records of a stored plan; return the counts in `raw` afterwards."""
    notes = BackfillNotes.of(settings)
    planned = notes.proposed(digest)
    notes.begin(planned)
    done = ingest_once(settings, planned)
    return {"digest": digest, "records": done.records, "dead_letters": done.dead_letters}


def requester(who: str, dag_run: DagRun) -> str:
    """Return who asks for a backfill, and in which DAG run, as the text that `finalize` takes."""
    return json.dumps({"who": who, "dag": dag_run.dag, "run": dag_run.run})


def finalize(settings: Settings, asked_by: str) -> dict[str, Any]:
    """Make the sessions final that ingested backfills affect. Raise VerificationError if served
    bars then differ from the recomputed ones.

    `asked_by`: the text that `requester` returned; the gate's reports name its DAG run.
    """
    request = json.loads(asked_by)
    dag_run = DagRun(request["dag"], request["run"])
    notes, done, left, differing = BackfillNotes.of(settings), [], [], 0
    for planned in notes.unfinished():
        outcomes, open_sessions = finalize_backfilled(
            settings, planned, request["who"], datetime.now(UTC), print, dag_run=dag_run
        )
        notes.finish(planned)
        differing += sum(len(outcome.mismatches) for outcome in outcomes)
        done += [
            {
                "venue": outcome.published.session.venue,
                "session": str(outcome.published.session.date),
                "rev": outcome.published.rev,
                "compared": outcome.compared,
            }
            for outcome in outcomes
        ]
        left += [f"{venue} {day}" for venue, day in open_sessions]
    if differing:
        raise VerificationError(f"{differing:,} served bars differ from the recomputed ones")
    return {"finalized": done, "not_over_yet": left}


STEPS = {"plan": plan, "ingest": ingest, "finalize": finalize}
"""The steps by the names that the Spark job and the DAG's tasks have."""


def run_step(settings: Settings, name: str, text: str) -> dict[str, Any]:
    """Run a step by its name. Raise ConfigError if there is no such step."""
    if name not in STEPS:
        raise ConfigError(f"no step {name!r}; there are {', '.join(STEPS)}")
    return STEPS[name](settings, text)
