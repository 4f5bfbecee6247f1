"""The console as Airflow mounts it: built at the first request, not when Airflow starts.

Imports nothing heavy: scheduler and workers load the plugin, too.
"""

from typing import Any


class LazyConsole:
    """An ASGI application that builds the console at its first request."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if self._app is None:
            from truetape.console.app import create

            self._app = create()
        await self._app(scope, receive, send)
