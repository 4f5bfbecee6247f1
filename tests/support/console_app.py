"""The console's application as a test uses it, with and without the right to start runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn
from fastapi import FastAPI, Request

from support.wait import until
from truetape.stack.server import free_port


async def may_start(_: Request, __: str) -> bool:
    """Every user may start every DAG."""
    return True


async def may_not_start(_: Request, __: str) -> bool:
    """No user may start a DAG."""
    return False


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an application on a free port; yield its address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = Thread(target=server.run)
    thread.start()
    until(lambda: server.started, 30)
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join()
