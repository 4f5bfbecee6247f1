"""The forms that a person fills in to start a DAG by hand. Compares no fields.

A field that may stay empty has "null" among its types: Airflow's form would otherwise demand it,
an empty default included. A field without that is one that the run cannot do without.
The form of a backfill is `batch.backfill_request.FORM`: the console shows it, too.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from airflow.sdk import Param

from truetape.batch.backfill_request import FORM
from truetape.host.words import REPLACE_REVERT
from truetape.schedule.speed_tasks import ORDERS

_REASON: Mapping[str, Any] = {"minLength": 3, "maxLength": 200, "title": "Reason"}


def recompute_form() -> dict[str, Param]:
    """Return the form of `batch_recompute`. It can be sent as it is."""
    return {
        "session": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Session",
            description="Date of the session. Leave empty for the last closed session.",
        ),
        "replace_revert": Param(
            False,
            type="boolean",
            title=REPLACE_REVERT,
            description="Publish even if somebody reverted the session to an older rev. Needs a "
            "reason. Without the tick, a reverted session stays as it is and the run fails.",
        ),
        "reason": Param(
            None,
            type=["null", "string"],
            description="Optional. Stored with the publication.",
            **_REASON,
        ),
    }


def backfill_form() -> dict[str, Param]:
    """Return the form of `backfill_from_kafka`. Sent as it is, it plans and writes nothing."""
    return {name: Param(**field) for name, field in FORM.items()}


def revert_form(venues: Iterable[str]) -> dict[str, Param]:
    """Return the form of `revert_session`."""
    return {
        "venue": Param(
            None, type="string", enum=list(venues), title="Exchange", description="Its venue code."
        ),
        "session": Param(
            None,
            type="string",
            format="date",
            title="Session",
            description="Date of the session.",
        ),
        "rev": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Rev",
            description="Number of the rev to serve again. Leave empty to list the revs of the "
            "session: that run writes nothing.",
        ),
        "reason": Param(
            None,
            type=["null", "string"],
            description="Stored with the publication. A revert needs it, a list does not.",
            **_REASON,
        ),
    }


def speed_form() -> dict[str, Param]:
    """Return the form of `speed_layer_control`."""
    return {
        "action": Param(
            "start",
            type="string",
            enum=list(ORDERS),
            title="Order",
            description="Start also resets the supervisor after it has given up.",
        ),
        "reason": Param(None, type="string", description="Stored with the order.", **_REASON),
    }
