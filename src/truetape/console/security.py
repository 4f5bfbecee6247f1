"""Who may see a page, and what a page may do in a browser. Knows no users of its own.

Airflow mounts a plugin's pages without checking access. So every route of the console asks
Airflow's own security, and if that cannot be loaded, nobody may see a page.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import HTTPException, Request, Response

from truetape.host.log import logger

MayStart = Callable[[Request, str], Awaitable[bool]]
"""True if the user of a request may start runs of a DAG."""
Guard = Callable[..., Any]
"""A FastAPI dependency that raises an HTTPException for a request that it rejects."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
"""Nothing from other hosts, no inline script or style. Only Airflow's own pages may frame ours."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
IMMUTABLE = "private, max-age=86400"
"""Cache-Control of files that change only with the version of truetape."""


def guard() -> Guard:
    """Return the dependency that admits Airflow users who may see plugin pages."""
    try:
        from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
        from airflow.api_fastapi.core_api.security import requires_access_view
    except ImportError as error:
        logger("console").error("airflow_security_missing", why=str(error))
        return _reject_everybody
    return requires_access_view(AccessView.PLUGINS)


async def may_start_runs(request: Request, dag: str) -> bool:
    """True if Airflow lets the user of a request start runs of a DAG.

    This only decides what a page offers: Airflow asks again when a run is started.
    """
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import (
        DagAccessEntity,
        DagDetails,
    )
    from airflow.api_fastapi.core_api.security import bearer_scheme, get_user

    user = await get_user(request, None, await bearer_scheme(request))
    return bool(
        get_auth_manager().is_authorized_dag(
            method="POST", access_entity=DagAccessEntity.RUN, details=DagDetails(id=dag), user=user
        )
    )


def _reject_everybody() -> None:
    raise HTTPException(503, "Airflow's security could not be loaded, so nobody may see this page")


async def with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Add the security policy and `HEADERS` to a response; headers that it sets itself stay."""
    response = await call_next(request)
    response.headers["Content-Security-Policy"] = POLICY
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
