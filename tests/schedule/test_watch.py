"""The trigger starts the supervising DAG if and only if a step is due."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from truetape.host.errors import TransientError
from truetape.schedule import watch
from truetape.schedule.watch import SpeedStepTrigger, due_step
from truetape.speed.decision import Action, BackOff, GiveUp, Nothing, Restart, Start


class AssetState:
    """The values that Airflow stores for an asset between events."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    async def aget(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    async def aset(self, key: str, value: Any) -> None:
        self.values[key] = value


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_sleep(_: float) -> None:
        return None

    monkeypatch.setattr(watch.asyncio, "sleep", no_sleep)


def events_of(
    monkeypatch: pytest.MonkeyPatch, steps: list[dict[str, Any] | None], state: AssetState
) -> list[Any]:
    """Return the events that the trigger sends if its checks return these steps, one by one."""
    checks: Iterator[dict[str, Any] | None] = iter(steps)

    class NoMoreError(Exception):
        pass

    def next_check() -> dict[str, Any] | None:
        try:
            return next(checks)
        except StopIteration:
            raise NoMoreError from None

    async def collect() -> None:
        trigger = SpeedStepTrigger()
        trigger.asset_state_store = state  # type: ignore[assignment]  # only the methods it uses
        async for event in trigger.run():
            events.append(event.payload)

    events: list[Any] = []
    monkeypatch.setattr(watch, "due_step", next_check)
    with pytest.raises(NoMoreError):
        asyncio.run(collect())
    return events


START = {"action": "Start", "why": "gone", "order": 3}
GIVEN_UP = {"action": "GiveUp", "why": "12 failed", "order": 3}


def test_the_trigger_sends_an_event_for_each_due_step_and_none_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = [None, START, None, None, START]

    assert events_of(monkeypatch, steps, AssetState()) == [START, START]


def test_giving_up_is_one_event_for_each_order_even_after_a_restart_of_the_triggerer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state, later = AssetState(), GIVEN_UP | {"order": 4}

    assert events_of(monkeypatch, [GIVEN_UP, GIVEN_UP], state) == [GIVEN_UP]
    assert events_of(monkeypatch, [GIVEN_UP, later, later], state) == [later]


@pytest.mark.parametrize(
    ("action", "step"),
    [
        (Nothing("all is well"), None),
        (BackOff("2 failed", datetime(2026, 11, 20, tzinfo=UTC)), None),
        (Start("gone"), {"action": "Start", "why": "gone", "order": 7}),
        (Restart("hung", None), {"action": "Restart", "why": "hung", "order": 7}),
        (GiveUp("12 failed"), {"action": "GiveUp", "why": "12 failed", "order": 7}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_waiting_and_doing_nothing_are_no_steps(
    monkeypatch: pytest.MonkeyPatch, action: Action, step: dict[str, Any] | None
) -> None:
    monkeypatch.setattr("truetape.speed.supervision.next_step", lambda _: (7, action))

    assert due_step() == step


def test_no_step_is_due_while_kafka_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> None:
        raise TransientError("no broker")

    monkeypatch.setattr("truetape.speed.supervision.next_step", away)

    assert due_step() is None


def test_a_triggerer_can_rebuild_the_trigger_from_its_serialized_form() -> None:
    path, values = SpeedStepTrigger(poll_s=1.0).serialize()

    assert path == "truetape.schedule.watch.SpeedStepTrigger"
    assert SpeedStepTrigger(**values).poll_s == 1.0
