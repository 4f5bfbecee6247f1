"""A supervisor that stays, for a container of its own, and one that only looks at its work.

Takes no decision: `supervise` does, one step at a time.
"""

import signal
import threading
import time
from collections.abc import Callable

from truetape.host.errors import TransientError
from truetape.host.log import logger
from truetape.host.settings import Settings
from truetape.speed.decision import Action, BackOff, GiveUp, Nothing
from truetape.speed.launcher import LocalLauncher
from truetape.speed.supervision import next_step, supervise_once

ACTS_WITHIN_S = 45.0
"""How long the supervisor elsewhere may take for a step, a slow start of its own included."""
_LOOK_AGAIN_S = 5.0


def keep(
    settings: Settings,
    every_s: float,
    stop: threading.Event,
    step: Callable[[Settings], Action] = supervise_once,
) -> None:
    """Take a step every `every_s` until `stop` is set, then make an end of the driver started here.

    A step that finds Kafka away is taken again: what it could not read starts nothing. Giving up
    is not the end: a new order is a new beginning.
    """
    told: Action | None = None
    while not stop.is_set():
        try:
            action = step(settings)
        except TransientError as error:
            logger("speed").warning("not_supervised", why=str(error))
        else:
            if isinstance(action, GiveUp) and action != told:
                logger("speed").error("gave_up", why=action.reason)
            told = action
        stop.wait(every_s)
    launcher = LocalLauncher(settings)
    launcher.stop(launcher.running(), "")


def keep_until_term(settings: Settings, every_s: float) -> None:
    """Keep the speed layer as it was ordered until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    keep(settings, every_s, stop)


def look(
    settings: Settings,
    within_s: float = ACTS_WITHIN_S,
    sleep: Callable[[float], object] = time.sleep,
    step: Callable[[Settings], tuple[int, Action]] = next_step,
) -> Action:
    """Return what there is to do, once the supervisor elsewhere had its time to do it.

    TransientError when it has left a step untaken for `within_s`: then nobody supervises.
    """
    for _ in range(max(1, round(within_s / _LOOK_AGAIN_S))):
        _, action = step(settings)
        if isinstance(action, Nothing | BackOff | GiveUp):
            return action
        sleep(_LOOK_AGAIN_S)
    raise TransientError(
        f"for {within_s:.0f} s nobody has taken the step {type(action).__name__}: {action.reason}; "
        "look at the container speed-layer"
    )
