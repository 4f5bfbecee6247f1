"""Who may see a page, and what a page may do in a browser. Knows no users of its own.

Airflow mounts a plugin's pages without checking access. So every route of the console asks
Airflow's own security, and if that cannot be loaded, nobody may see a page.
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
"""A FastAPI dependency that raises an HTTPException for a request that it rejects."""

PLOTLY = Path(str(files("plotly"))) / "package_data" / "plotly.min.js"
"""The script that draws charts, from the installed package."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STYLE = re.compile(r"""\.textContent='([^'\\]*)',document\.head\.appendChild""")
IMMUTABLE = "private, max-age=86400"
"""Cache-Control of files that change only with the version of truetape or plotly."""


def guard() -> Guard:
    """Return the dependency that admits Airflow users who may see plugin pages."""
    try:
        from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
        from airflow.api_fastapi.core_api.security import requires_access_view
    except ImportError as error:
        logger("console").error("airflow_security_missing", why=str(error))
        return _reject_everybody
    return requires_access_view(AccessView.PLUGINS)


def _reject_everybody() -> None:
    raise HTTPException(503, "Airflow's security could not be loaded, so nobody may see this page")


async def with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Add the security policy and `HEADERS` to a response; headers that it sets itself stay."""
    response = await call_next(request)
    response.headers["Content-Security-Policy"] = policy()
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


@cache
def policy() -> str:
    """Return the Content-Security-Policy: nothing from other hosts, no inline script or style.

    Two inline styles of plotly are allowed by their digests: the empty one that its script adds
    rules to, and the one of a map library that it bundles. Only Airflow's own pages may frame ours.
    """
    styles = ["", *_STYLE.findall(PLOTLY.read_text(encoding="utf-8"))]
    digests = " ".join(f"'sha256-{_digest(style)}'" for style in styles)
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' {digests}; "
        "img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'self'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
