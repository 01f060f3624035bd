"""uvicorn's HTTP protocol, with replies that leave in one piece.

uvicorn writes a reply's head and its body one after the other, and the process may be killed in
between. The client, or the load balancer, then has a head without its body. In one piece, the
system has either the whole reply, and delivers it even after the process has ended, or nothing, and
a load balancer can send the request to another process. One piece also saves a system call.

A ready reply goes further: its head is bytes already, and uvicorn's own work on each header is left
out. The application finds the way to send one in the request's scope, under READY.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api.edge import READY

MOST: Final = 1_048_576
"""The most bytes that a transport holds back."""

Data = bytes | bytearray | memoryview


class Corks:
    """The transports of one event loop that hold data back until the loop's turn ends.

    Then all of them send. So a client that waits for several replies is woken once, and not by each
    of them: a wake-up costs as much as a read.
    """

    def __init__(self) -> None:
        self._corked: list[Corked] = []

    def add(self, transport: Corked) -> None:
        """Let the transport send what it holds at the end of the turn."""
        if not self._corked:
            asyncio.get_running_loop().call_soon(self._pull)
        self._corked.append(transport)

    def _pull(self) -> None:
        corked, self._corked = self._corked, []
        for transport in corked:
            transport.flush()


class Corked:
    """An asyncio transport that sends all writes of one turn of the loop together at its end."""

    def __init__(self, transport: asyncio.Transport, corks: Corks) -> None:
        self._transport = transport
        self._corks = corks
        self._held: list[Data] = []
        self._size = 0
        # The server asks for this with every request.
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: Data) -> None:
        """Hold the data until the turn is over."""
        if not self._held:
            self._corks.add(self)
        self._held.append(data)
        self._size += len(data)
        if self._size > MOST:
            self.flush()

    def close(self) -> None:
        """Close once everything has been sent."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Send what is held."""
        held, self._held, self._size = self._held, [], 0
        if held and not self.is_closing():
            self._transport.writelines(held)


def protocol() -> type[asyncio.Protocol]:
    """Make the protocol's class for one event loop."""
    corks = Corks()

    class Protocol(HttpToolsProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(Corked(transport, corks))  # type: ignore[arg-type]

        def _start_asgi_task(self, cycle: Any, app: Any) -> None:
            cycle.scope["extensions"] = {READY: partial(_send_ready, self, cycle)}
            super()._start_asgi_task(cycle, app)

    return Protocol


def _send_ready(protocol: Any, cycle: Any, status: int, head: bytes, body: bytes) -> bool:
    """Send a whole reply as `cycle.send` would; False: it must go that way.

    `head` are the lines of the headers, `body` is empty where the request is a HEAD.
    """
    if protocol.flow.write_paused or cycle.response_started:
        return False
    if cycle.disconnected:
        return True
    lines = [STATUS_LINE[status]]
    lines += [b"%b: %b\r\n" % header for header in cycle.default_headers]
    lines += [head, b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"]
    cycle.response_started = cycle.response_complete = True
    protocol.transport.write(b"".join(lines))
    protocol.transport.write(body)
    cycle.message_event.set()
    if not cycle.keep_alive:
        protocol.transport.close()
    cycle.on_response()
    return True
