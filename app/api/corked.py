"""A transport that hands a reply's head and body to the system in one piece.

The server writes them one after the other, and the process may be killed in between. The client, or
the load balancer, then has a head without its body. In one piece, the system has either the whole
reply, and delivers it even after the process has ended, or nothing, and a load balancer can send
the request to another process. One piece also saves a system call.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

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

    def close(self) -> None:
        """Close once everything has been sent."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Send what is held."""
        held, self._held = self._held, None
        if held is not None and not self.is_closing():
            self._transport.write(held)
