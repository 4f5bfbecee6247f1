"""What the tasks of the speed layer's DAGs run: one call each, small dictionaries in and out."""

from typing import Any

from truetape.host.errors import ConfigError
from truetape.host.settings import Settings

ORDERS = {"start": "started", "stop": "stopped", "restart": "started"}
"""The form's words for an order; starting what runs is how it is restarted."""


def supervise() -> dict[str, Any]:
    """Take one step, or look at what the supervisor elsewhere does.

    ConfigError when it has given up, so that a person looks.
    """
    from truetape.speed.decision import GiveUp
    from truetape.speed.supervision import supervise_once
    from truetape.speed.supervisor_loop import look

    settings = Settings.from_env()
    action = (look if settings.speed_launcher == "elsewhere" else supervise_once)(settings)
    if isinstance(action, GiveUp):
        raise ConfigError(f"given up: {action.reason}")
    return {"action": type(action).__name__, "why": action.reason}


def order(word: str, reason: str, who: str) -> dict[str, Any]:
    """Write an order for the speed layer; return it."""
    from truetape.speed.order import State
    from truetape.speed.supervision import order as give

    given = give(Settings.from_env(), State(ORDERS[word]), reason, who)
    return {"order": given.number, "state": given.state.value, "reason": reason, "who": who}
