"""Replies that leave in one piece.

uvicorn writes a reply's head and its body one after the other, and the process may be killed in
between. The client, or the load balancer, then has a head without its body. In one piece, the
system has either the whole reply, and delivers it even after the process has ended, or nothing, and
a load balancer can send the request to another process. One piece also saves a system call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

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
    """An asyncio transport that sends all writes of one turn of the loop together at its end.

    `linger` is called by `close`, once everything has been sent. Where it returns True, it closes
    the transport itself, later.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        corks: Corks,
        linger: Callable[[], bool] = lambda: False,
    ) -> None:
        self._transport = transport
        self._corks = corks
        self._linger = linger
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
        if not self._linger():
            self._transport.close()

    def flush(self) -> None:
        """Send what is held."""
        held, self._held, self._size = self._held, [], 0
        if held and not self.is_closing():
            if len(held) == 1:
                self._transport.write(held[0])
            else:
                self._transport.writelines(held)
