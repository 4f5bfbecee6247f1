"""A TCP proxy between a client and a real server that can fail on purpose, and does so at once."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from enum import StrEnum
from typing import Self

WAIT_S = 10
_CHUNK = 65_536


class Mode(StrEnum):
    """What happens to the bytes; a change of mode also holds for connections that are open."""

    PASS = "pass"  # noqa: S105 - a mode, not a password
    REFUSE = "refuse"
    """Nobody listens; open connections are reset."""
    BLACKHOLE = "blackhole"
    """Connections are accepted, nothing is forwarded or answered."""
    LOSE_REPLY = "lose_reply"
    """The server gets the request; its answer is thrown away and the connection reset."""
    DELAY = "delay"
    """Answers come `delay_s` late."""


class FaultProxy:
    """Forwards to a loopback port, in the mode last set. Use as a context manager."""

    def __init__(self, target_port: int, delay_s: float = 0.5) -> None:
        self._target_port = target_port
        self._delay_s = delay_s
        self._mode = Mode.PASS
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Return where clients connect."""
        return f"http://127.0.0.1:{self.port}"

    def set(self, mode: Mode) -> None:
        """Change the mode; when this returns, it holds."""
        self._run(self._set(mode))

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)

    def _run(self, work: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    async def _set(self, mode: Mode) -> None:
        self._mode = mode
        if mode is Mode.REFUSE:
            await self._shut()
        elif self._listener is None:
            await self._listen()

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in list(self._writers):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        self._writers |= {writer, server_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(reader, server_writer))
                group.create_task(self._replies(server_reader, writer))
        except* OSError:
            pass  # one side went away, which is what this proxy is for
        finally:
            self._writers -= {writer, server_writer}
            writer.close()
            server_writer.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            if self._mode is not Mode.BLACKHOLE:
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            match self._mode:
                case Mode.LOSE_REPLY:
                    _reset(writer)
                    return
                case Mode.BLACKHOLE:
                    continue
                case Mode.DELAY:
                    await asyncio.sleep(self._delay_s)
            writer.write(chunk)
            await writer.drain()
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset instead of a polite end."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
