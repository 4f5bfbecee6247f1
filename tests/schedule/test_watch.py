"""The watcher wakes the supervisor when there is something to do, and only then."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from truetape.host.errors import TransientError
from truetape.schedule import watch
from truetape.schedule.watch import SpeedStepTrigger, step_to_take
from truetape.speed.decision import Action, BackOff, GiveUp, Nothing, Restart, Start


class Store:
    """What Airflow keeps for an asset between events."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    async def aget(self, key: str, default: Any = None) -> Any:
        return self.kept.get(key, default)

    async def aset(self, key: str, value: Any) -> None:
        self.kept[key] = value


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(_: float) -> None:
        return None

    monkeypatch.setattr(watch.asyncio, "sleep", at_once)


def events_of(
    monkeypatch: pytest.MonkeyPatch, found: list[dict[str, Any] | None], store: Store
) -> list[Any]:
    """What the trigger yields while the supervisor would say these things, one a look."""
    looks: Iterator[dict[str, Any] | None] = iter(found)

    class NoMoreError(Exception):
        pass

    def look() -> dict[str, Any] | None:
        try:
            return next(looks)
        except StopIteration:
            raise NoMoreError from None

    async def collect() -> None:
        trigger = SpeedStepTrigger()
        trigger.asset_state_store = store  # type: ignore[assignment]  # as much as is used
        async for event in trigger.run():
            got.append(event.payload)

    got: list[Any] = []
    monkeypatch.setattr(watch, "step_to_take", look)
    with pytest.raises(NoMoreError):
        asyncio.run(collect())
    return got


START = {"action": "Start", "why": "gone", "order": 3}
GIVEN_UP = {"action": "GiveUp", "why": "12 failed", "order": 3}


def test_each_step_that_is_due_wakes_and_quiet_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert events_of(monkeypatch, [None, START, None, None, START], Store()) == [START, START]


def test_giving_up_is_told_once_for_each_order_also_by_a_new_triggerer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, later = Store(), GIVEN_UP | {"order": 4}

    assert events_of(monkeypatch, [GIVEN_UP, GIVEN_UP], store) == [GIVEN_UP]
    assert events_of(monkeypatch, [GIVEN_UP, later, later], store) == [later]


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (Nothing("all is well"), None),
        (BackOff("2 failed", datetime(2026, 11, 20, tzinfo=UTC)), None),
        (Start("gone"), {"action": "Start", "why": "gone", "order": 7}),
        (Restart("hung", None), {"action": "Restart", "why": "hung", "order": 7}),
        (GiveUp("12 failed"), {"action": "GiveUp", "why": "12 failed", "order": 7}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_what_a_supervisor_would_do_is_a_step(
    monkeypatch: pytest.MonkeyPatch, action: Action, told: dict[str, Any] | None
) -> None:
    monkeypatch.setattr("truetape.speed.supervision.next_step", lambda _: (7, action))

    assert step_to_take() == told


def test_nothing_is_a_step_while_kafka_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> None:
        raise TransientError("no broker")

    monkeypatch.setattr("truetape.speed.supervision.next_step", away)

    assert step_to_take() is None


def test_a_triggerer_can_make_it_again() -> None:
    path, values = SpeedStepTrigger(poll_s=1.0).serialize()

    assert path == "truetape.schedule.watch.SpeedStepTrigger"
    assert SpeedStepTrigger(**values).poll_s == 1.0
