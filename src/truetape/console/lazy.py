"""The console as Airflow mounts it: built with its first request, not in every component.

Imports nothing heavy: scheduler and workers load the plugin, too.
"""

from typing import Any


class LazyConsole:
    """An ASGI application that becomes the console when somebody asks for a page."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if self._app is None:
            from truetape.console.app import create

            self._app = create()
        await self._app(scope, receive, send)
