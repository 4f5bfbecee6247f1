"""The console as Airflow mounts it: built with its first request, not in every component.

Imports nothing heavy: scheduler and workers load the plugin, too.
"""

from typing import Any

PREFIX = "/truetape"
PAGES = {"overview": "", "market": "market", "drift": "drift", "quality": "quality",
         "backfill": "backfill"}  # fmt: skip
"""Each page by its name, and its path below the console's root."""
VIEWS = [
    {
        "name": f"truetape: {name}",
        "href": f"truetape/{path}",
        "destination": "nav",
        "category": "browse",
        "url_route": f"truetape-{name}",
    }
    for name, path in PAGES.items()
]
"""Entries of Airflow's menu; `href` without a leading slash works below any prefix."""
RUN_VIEW = {
    "name": "Quality reports",
    "href": "truetape/quality/run?dag={DAG_ID}&run={RUN_ID}",
    "destination": "dag_run",
    "url_route": "truetape-run-quality",
}
"""A tab on the page of every DAG run. Airflow puts the ids in, encoded for a query."""


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
