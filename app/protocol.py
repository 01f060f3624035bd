"""uvicorn's HTTP protocol, with replies that leave in one piece.

uvicorn writes a reply's head and its body one after the other, and the process may be killed in
between. The client, or the load balancer, then has a head without its body. In one piece, the
system has either the whole reply, and delivers it even after the process has ended, or nothing, and
a load balancer can send the request to another process. One piece also saves a system call.

A reply that lies in memory is sent as soon as the request's head has been read, without a task of
its own and without uvicorn's work on single headers (`Edge.answer_now`).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST: Final = 1_048_576
"""The most bytes that a transport holds back."""

LAST_REQUESTS: Final = 0.1
"""Seconds that an idle connection stays at a stop: a request may be on its way, or unread."""

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
            if len(held) == 1:
                self._transport.write(held[0])
            else:
                self._transport.writelines(held)


def protocol() -> type[HttpToolsProtocol]:
    """Make the protocol's class for one event loop; its application is an Edge."""
    corks = Corks()
    defaults = _Lines()

    class Protocol(HttpToolsProtocol):
        _leaving = False
        _completing = False

        def connection_made(self, transport: Any) -> None:
            corked: Any = Corked(transport, corks)  # a transport in all that uvicorn uses
            super().connection_made(corked)

        def eof_received(self) -> None:
            # The loop closes the transport after this, and nothing that is held would be sent.
            transport: Any = self.transport
            transport.flush()

        def shutdown(self) -> None:
            self._leaving = True
            # The base class has None here before the first request, whatever its types say.
            cycle: Any = self.cycle
            if cycle is None or cycle.response_complete:
                asyncio.get_running_loop().call_later(LAST_REQUESTS, super().shutdown)
            else:
                super().shutdown()

        def _start_asgi_task(self, cycle: Any, app: Any) -> None:
            if self._leaving:
                cycle.keep_alive = False
            if not (self._completing or self.flow.write_paused):
                start = defaults.of(cycle.default_headers)
                send = partial(_send_whole, self.transport, cycle, start)
                if app.answer_now(cycle.scope, send):
                    return
            super()._start_asgi_task(cycle, app)

        def on_response_complete(self) -> None:
            # This starts the next of several requests that were sent at once. Answered here, it
            # would be one level deeper than the last, and its line in the log would come first.
            self._completing = True
            try:
                super().on_response_complete()
            finally:
                self._completing = False

    return Protocol


class _Lines:
    """Headers as lines of a head. uvicorn replaces the list of its own, `date`, each second."""

    def __init__(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._lines = b""

    def of(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The lines of these headers."""
        if headers is not self._headers:
            self._headers = headers
            self._lines = b"".join([b"%b: %b\r\n" % header for header in headers])
        return self._lines


def _send_whole(
    transport: Any, cycle: Any, start: bytes, status: int, head: bytes, body: bytes
) -> None:
    """Send a whole reply as `cycle.send` would.

    `start` and `head` are the lines of the headers; `body` is empty where the request is a HEAD.
    """
    end = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
    cycle.response_started = cycle.response_complete = True
    transport.write(b"".join((STATUS_LINE[status], start, head, end)))
    if body:
        transport.write(body)
    if not cycle.keep_alive:
        transport.close()
    cycle.on_response()
