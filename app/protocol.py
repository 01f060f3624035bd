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

SMALL: Final = 65_536
"""Bytes up to which copying two pieces into one costs less than handing them over as two."""

Data = bytes | bytearray | memoryview


class Corks:
    """The transports of one event loop that hold something back, at most until its turn ends."""

    def __init__(self) -> None:
        self._corked: list[Corked] = []

    def add(self, transport: Corked) -> None:
        """Let the transport send what it holds at the end of the turn, unless it has by then."""
        if not self._corked:
            asyncio.get_running_loop().call_soon(self._pull)
        self._corked.append(transport)

    def _pull(self) -> None:
        corked, self._corked = self._corked, []
        for transport in corked:
            transport.flush()


class Corked:
    """An asyncio transport that holds back a first piece until the second comes.

    Without a second one, the first is sent at the end of the turn of the loop.
    """

    def __init__(self, transport: asyncio.Transport, corks: Corks) -> None:
        self._transport = transport
        self._corks = corks
        self._held: Data | None = None
        # The server asks for these with every request.
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: Data) -> None:
        """Hold the data, or send it with the piece that is held."""
        held = self._held
        if held is None:
            self._held = data
            self._corks.add(self)
            return
        self._held = None
        if self.is_closing():
            return
        if len(data) <= SMALL:
            self._transport.write(b"".join((held, data)))
        else:
            self._transport.writelines([held, data])

    def write_whole(self, head: bytes, body: bytes) -> None:
        """Send a head and its body, after what is held."""
        self.flush()
        if len(body) <= SMALL:
            self._transport.write(head + body)
        else:
            self._transport.writelines([head, body])

    def close(self) -> None:
        """Close once everything has been sent."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Send what is held."""
        held, self._held = self._held, None
        if held is not None and not self.is_closing():
            self._transport.write(held)


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
    protocol.transport.write_whole(b"".join(lines), body)
    cycle.message_event.set()
    if not cycle.keep_alive:
        protocol.transport.close()
    cycle.on_response()
    return True
