"""An HTTP server on loopback that answers from a script and records what was sent to it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self

JOIN_WITHIN_S = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answers; status 0 cuts the connection instead."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


CUT = Answer(0)


class ScriptedServer:
    """Answers each request with `script(body)`. Use as a context manager."""

    def __init__(self, script: Callable[[bytes], Answer]) -> None:
        self.bodies: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            def answer(handler) -> None:  # noqa: N805 - `self` is the server
                body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
                self.bodies.append(body)
                answer = script(body)
                if answer.status == 0:
                    handler.close_connection = True
                    return
                handler.send_response(answer.status)
                for name, value in answer.headers.items():
                    handler.send_header(name, value)
                if answer.status != 204:
                    handler.send_header("Content-Length", str(len(answer.body)))
                handler.end_headers()
                handler.wfile.write(answer.body)

            do_GET = do_POST = answer  # noqa: N815 - the names that http.server calls

            def log_message(self, *_: object) -> None:
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join(JOIN_WITHIN_S)
        self._server.server_close()
