"""Who may see a page, and what a page may do in a browser.

Airflow mounts a plugin's pages without asking who comes: every route here asks Airflow's own
security, and where that cannot be loaded nobody gets in.
"""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request, Response

from truetape.host.log import logger

Guard = Callable[..., Any]
"""A dependency of FastAPI: raises an HTTPException for whom it turns away."""

PLOTLY = Path(str(files("plotly"))) / "package_data" / "plotly.min.js"
"""The script that draws charts, of the installed package."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STYLE = re.compile(r"""\.textContent='([^'\\]*)',document\.head\.appendChild""")
IMMUTABLE = "private, max-age=86400"
"""Cache-Control of files that only change with the version of truetape or plotly."""


def guard() -> Guard:
    """Return the dependency that lets signed-in users of Airflow see pages of plugins."""
    try:
        from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
        from airflow.api_fastapi.core_api.security import requires_access_view
    except ImportError as error:
        logger("console").error("no page for anybody", why=str(error))
        return _nobody
    return requires_access_view(AccessView.PLUGINS)


def _nobody() -> None:
    raise HTTPException(503, "Airflow's security could not be loaded, so nobody may see this page")


async def with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Add the policy and the headers of `HEADERS` to an answer, unless it has set its own."""
    response = await call_next(request)
    response.headers["Content-Security-Policy"] = policy()
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


@cache
def policy() -> str:
    """Return what a page may load: nothing from elsewhere, no script or style of the page itself.

    Two styles of plotly's are named by their digests: the empty one that its script adds rules to,
    and that of a map library that comes with it. Only Airflow's own pages may frame ours.
    """
    styles = ["", *_STYLE.findall(PLOTLY.read_text(encoding="utf-8"))]
    named = " ".join(f"'sha256-{_digest(style)}'" for style in styles)
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' {named}; "
        "img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'self'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
