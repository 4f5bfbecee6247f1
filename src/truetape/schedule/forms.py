"""The forms that a person fills in to start a DAG by hand. Does not check what they hold together.

The form of a backfill is `batch.backfill_request.FORM`: the console shows it, too.
"""

from collections.abc import Iterable

from airflow.sdk import Param

from truetape.schedule.speed_tasks import ORDERS


def recompute_form() -> dict[str, Param]:
    """Return the form of `batch_recompute`."""
    return {
        "session": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Session",
            description="Its date. Empty: the session of the run, else the last that closed.",
        ),
        "reason": Param(
            "",
            type="string",
            maxLength=200,
            title="Reason",
            description="Kept with the publication. Ends a revert of the session.",
        ),
    }


def revert_form(venues: Iterable[str]) -> dict[str, Param]:
    """Return the form of `revert_session`."""
    return {
        "venue": Param(
            None,
            type="string",
            enum=list(venues),
            title="Venue",
            description="Whose session it is.",
        ),
        "session": Param(
            None, type="string", format="date", title="Session", description="Its date."
        ),
        "rev": Param(
            None,
            type="integer",
            minimum=1,
            title="Rev",
            description="Which one to serve again; `truetape status` lists the newest.",
        ),
        "reason": _reason("Kept with the publication, and shown to whoever asks why."),
    }


def speed_form() -> dict[str, Param]:
    """Return the form of `speed_layer_control`."""
    return {
        "action": Param(
            "start",
            type="string",
            enum=list(ORDERS),
            title="Order",
            description="start also gives a new beginning after the supervisor gave up.",
        ),
        "reason": _reason("Kept with the order, and shown to whoever asks why."),
    }


def _reason(description: str) -> Param:
    return Param(
        None, type="string", minLength=3, maxLength=200, title="Reason", description=description
    )
