"""Wakes the supervisor of the speed layer: an event when there is a step to take. Takes none."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

POLL_S = 5.0
STEP_WITHIN_S = 20.0
"""Pause behind an event, in which the step that it woke is taken."""
_GIVEN_UP = "given_up"


class SpeedStepTrigger(BaseEventTrigger):
    """Asks every few seconds whether the supervisor would do anything, and says what.

    Safe to run twice: an event only wakes a DAG whose step is decided anew. Giving up is told once
    for each order, also across restarts of the triggerer.
    """

    def __init__(self, poll_s: float = POLL_S) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as Airflow has it
        self.poll_s = poll_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return how a triggerer makes this trigger again."""
        return (f"{type(self).__module__}.{type(self).__qualname__}", {"poll_s": self.poll_s})

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch for as long as the DAG is not paused."""
        while True:
            found = await asyncio.to_thread(step_to_take)
            if found is None or not await self._is_news(found):
                await asyncio.sleep(self.poll_s)
                continue
            yield TriggerEvent(found)  # type: ignore[no-untyped-call]  # as Airflow has it
            await asyncio.sleep(STEP_WITHIN_S)

    async def _is_news(self, found: dict[str, Any]) -> bool:
        store = self.asset_state_store
        if found["action"] != "GiveUp" or store is None:
            return True
        if await store.aget(_GIVEN_UP, default=None) == found["order"]:
            return False
        await store.aset(_GIVEN_UP, found["order"])
        return True


def step_to_take() -> dict[str, Any] | None:
    """Return the action that a supervisor would take now; None where it would wait or do nothing.

    Also None while Kafka is away: nothing can be decided then.
    """
    from truetape.host.errors import TransientError
    from truetape.host.settings import Settings
    from truetape.speed.decision import BackOff, Nothing
    from truetape.speed.supervision import next_step

    try:
        order, action = next_step(Settings.from_env())
    except TransientError:
        return None
    if isinstance(action, Nothing | BackOff):
        return None
    return {"action": type(action).__name__, "why": action.reason, "order": order}
