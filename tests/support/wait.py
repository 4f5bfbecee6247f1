"""Waiting in tests: for a condition, with a bound. Nothing else may sleep."""

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Return once `condition` holds; AssertionError after `within_s` seconds."""
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, f"did not come true within {within_s} s"
        time.sleep(0.01)
