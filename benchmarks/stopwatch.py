"""How the time of a run divides into steps, without a change to the program that runs.

Functions are replaced by ones that run them as a step; a step that begins within another one stops
that one's clock, so that the steps add up to the whole.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any


class Stopwatch:
    """Measures the thread that made it. Time outside of every step is charged to `rest`."""

    def __init__(self, rest: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._thread = threading.get_ident()
        self._running = [rest]
        self._since = clock()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Charge the time of a block to a step."""
        self.read()
        self._running.append(name)
        try:
            yield
        finally:
            self.read()
            self._running.pop()

    def read(self) -> dict[str, float]:
        """Return the seconds of every step until now."""
        now = self._clock()
        name = self._running[-1]
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now
        return dict(self.seconds)

    def time(self, owner: Any, attribute: str, name: str, *, within: str | None = None) -> None:
        """Run a function of a module or class as a step from now on; only `within` a step if one is
        given. Raise AttributeError if there is no such function any more.
        """
        setattr(owner, attribute, self.timed(getattr(owner, attribute), name, within=within))

    def timed(
        self, function: Callable[..., Any], name: str, *, within: str | None = None
    ) -> Callable[..., Any]:
        """Return a function that runs as a step."""

        @wraps(function)
        def measured(*arguments: Any, **named: Any) -> Any:
            is_other_thread = threading.get_ident() != self._thread
            if is_other_thread or within not in (None, self._running[-1]):
                return function(*arguments, **named)
            with self.step(name):
                return function(*arguments, **named)

        return measured
