"""What the tasks of the speed layer's DAGs run: one call each, small dictionaries in and out.

Decides nothing: the supervisor does.
"""

from typing import Any

from truetape.host.dates import shown
from truetape.host.errors import ConfigError
from truetape.host.private_home import current_settings
from truetape.host.words import require_reason

ORDERS = {"start": "started", "stop": "stopped", "restart": "started"}
"""The desired state of each action in the form; an order to start a running driver restarts it."""


def supervise() -> dict[str, Any]:
    """Take one step; with the launcher "elsewhere", only check what the supervisor there does.

    Raise ConfigError if the supervisor has given up: a person must act.
    """
    from truetape.speed.decision import GiveUp
    from truetape.speed.supervision import supervise_once, watch_supervisor

    settings = current_settings()
    take_step = watch_supervisor if settings.speed_launcher == "elsewhere" else supervise_once
    action = take_step(settings)
    if isinstance(action, GiveUp):
        raise ConfigError(f"given up: {action.reason}")
    return {"action": type(action).__name__, "why": action.reason}


def order(action: str, reason: str, who: str) -> dict[str, Any]:
    """Write an order for the speed layer, and return it."""
    from truetape.speed import supervision
    from truetape.speed.control_records import DesiredState

    if not isinstance(action, str) or action not in ORDERS:
        raise ConfigError(f"no action {shown(action)}; choose {', '.join(ORDERS)}")
    state, why = DesiredState(ORDERS[action]), require_reason(reason)
    desired = supervision.write_command(current_settings(), state, why, who)
    return {"order": desired.number, "state": desired.state.value, "reason": why, "who": who}
