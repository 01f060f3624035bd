"""A transport that hands a reply's head and body to the system in one piece.

The server writes them one after the other, and the process may be killed in between. The client, or
the load balancer, then has a head without its body. In one piece, the system has either the whole
reply, and delivers it even after the process has ended, or nothing, and a load balancer can send
the request to another process. One piece also saves a system call.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

MOST: Final = 1_048_576
"""The most bytes that are held back."""

Data = bytes | bytearray | memoryview


class Corked:
    """An asyncio transport that sends all writes of one turn of the loop together at its end."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[Data] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: Data) -> None:
        """Hold the data until the turn is over."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > MOST:
            self._flush()

    def close(self) -> None:
        """Close once everything has been sent."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held, self._size = self._held, [], 0
        if held and not self._transport.is_closing():
            self._transport.writelines(held)
