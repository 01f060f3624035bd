"""A connection of the server without a socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from app.api.errors import Answer
from app.api.streams import BEGINS
from app.protocol.http import protocol
from app.protocol.limits import Limits
from tests.support.api import settings


class RecordingTransport(asyncio.Transport):
    """Remembers what it was told, in order. `unsent` is what a test says that it holds."""

    def __init__(self, address: str | None = None) -> None:
        super().__init__()
        self.address = address
        self.told: list[Any] = []
        self.closed = False
        self.unsent = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.told.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.told.append([bytes(part) for part in list_of_data])

    def close(self) -> None:
        self.told.append("close")
        self.closed = True

    def abort(self) -> None:
        self.told.append("abort")
        self.closed = True

    def write_eof(self) -> None:
        self.told.append("eof")

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self.address, 50_000) if self.address and name == "peername" else default

    def sent(self) -> bytes:
        """All bytes that were written."""
        parts = [part if isinstance(part, list) else [part] for part in self.told]
        return b"".join(each for part in parts for each in part if isinstance(each, bytes))


class AtOnce:
    """An application whose replies lie in memory, and which records what it is asked.

    A path that begins with /later is answered as an ordinary application does, once a test says so;
    /later/stream is a stream until then.
    """

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.headers: list[list[tuple[bytes, bytes]]] = []
        self.refusals: list[tuple[int, str]] = []
        self.refused: list[tuple[bytes, bytes]] = []
        self.may_answer = asyncio.Event()

    def answer_now(self, scope: Scope, send_whole: Any) -> bool:
        if scope["path"].startswith("/later"):
            return False
        self._note(scope)
        send_whole(200, b"content-length: 2\r\n", b"{}")
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._note(scope)
        if scope["path"] == "/later/stream":
            scope["extensions"][BEGINS]()
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [_EMPTY]})
        await send({"type": "http.response.body", "body": b""})

    def refuse(
        self,
        _state: Any,
        _client: Any,
        answer: Answer,
        detail: str,
        *,
        headers: Any,
        method: bytes,
        target: bytes,
    ) -> tuple[int, bytes, bytes]:
        self.refusals.append((answer.status, detail))
        self.refused.append((method, target))
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        return answer.status, lines + b"content-length: 2\r\n", b"no"

    def _note(self, scope: Scope) -> None:
        self.paths.append(scope["path"])
        self.headers.append(list(scope["headers"]))


_EMPTY = (b"content-length", b"0")


@dataclass
class Served:
    """Connections of one application to one server, by a clock that a test sets."""

    app: Any = field(default_factory=AtOnce)
    limits: dict[str, Any] = field(default_factory=dict)
    now: float = 1_000.0
    draining: threading.Event = field(default_factory=threading.Event)
    key_of: Callable[[str], str | None] = str

    def __post_init__(self) -> None:
        limits = Limits.of(settings(**self.limits))
        self._make = protocol(limits, self.key_of, self.draining, lambda: self.now)
        self._config = uvicorn.Config(
            self.app, log_config=None, proxy_headers=False, timeout_keep_alive=75
        )
        self._config.load()

    def connect(self, transport: RecordingTransport) -> Any:
        """A new connection over this transport."""
        connection = self._make(config=self._config, server_state=ServerState(), app_state={})
        connection.connection_made(transport)
        return connection

    def after(self, seconds: float) -> None:
        """Let time pass, and the server look at its connections."""
        self.now += seconds
        self._make.keywords["shared"].connections.look()
