"""The trigger that starts the speed layer's DAG when a step is due. Takes no step itself."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

POLL_S = 5.0
STEP_WITHIN_S = 20.0
"""Pause after an event, in which the DAG that it started takes the step."""
_GIVEN_UP = "given_up"


class SpeedStepTrigger(BaseEventTrigger):
    """Check every few seconds whether the supervisor would take a step, and send it as an event.

    Safe to run twice: an event only starts a DAG, which decides its step anew. The event of giving
    up is sent once for each order, also across restarts of the triggerer.
    """

    def __init__(self, poll_s: float = POLL_S) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in Airflow
        self.poll_s = poll_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and arguments from which a triggerer rebuilds this trigger."""
        return (f"{type(self).__module__}.{type(self).__qualname__}", {"poll_s": self.poll_s})

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Send events until the triggerer stops this trigger, as it does when the DAG is paused."""
        while True:
            step = await asyncio.to_thread(due_step)
            if step is None or not await self._is_new(step):
                await asyncio.sleep(self.poll_s)
                continue
            yield TriggerEvent(step)  # type: ignore[no-untyped-call]  # untyped in Airflow
            await asyncio.sleep(STEP_WITHIN_S)

    async def _is_new(self, step: dict[str, Any]) -> bool:
        store = self.asset_state_store
        if step["action"] != "GiveUp" or store is None:
            return True
        if await store.aget(_GIVEN_UP, default=None) == step["order"]:
            return False
        await store.aset(_GIVEN_UP, step["order"])
        return True


def due_step() -> dict[str, Any] | None:
    """Return the action that the supervisor would take now; None if it would wait or do nothing.

    Return None, too, while Kafka is away: then nothing can be decided.
    """
    from truetape.host.errors import TransientError
    from truetape.host.private_home import current_settings
    from truetape.speed.decision import BackOff, Nothing
    from truetape.speed.supervision import next_step

    try:
        order, action = next_step(current_settings())
    except TransientError:
        return None
    if isinstance(action, Nothing | BackOff):
        return None
    return {"action": type(action).__name__, "why": action.reason, "order": order}
