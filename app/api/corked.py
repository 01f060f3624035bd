"""A transport that hands the system a reply's head and body in one piece.

The server writes them one after the other, and a process may be killed between the two: the client, or
the load balancer, is then left with a head that promises a body. In one piece the system has either all of
the reply, and delivers it whatever becomes of the process, or none, and a load balancer can ask another
process. It also saves a system call.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

MOST: Final = 1_048_576
"""Bytes that are held back at the most."""

Data = bytes | bytearray | memoryview


class Corked:
    """An asyncio transport; what is written in one turn of the loop goes out at its end, together."""

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
