"""Turns at heavy work, shared fairly between clients, in the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class _Line:
    """The requests of one client: how many there are, and its own turns."""

    turns: asyncio.Semaphore
    requests: int = 0


class Turns:
    """Let `most` requests work at a time, `most_per_client` of one client, in order of arrival.

    A client's requests first wait for each other, and only then among those of others. So a client
    with many stands before another's first one with `most_per_client` at most.
    """

    def __init__(self, most: int, most_per_client: int) -> None:
        self._all = asyncio.Semaphore(most)
        self._most_per_client = most_per_client
        self._lines: dict[str, _Line] = {}

    def __len__(self) -> int:
        """The number of clients that work or wait; of no others is anything kept."""
        return len(self._lines)

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it for the block."""
        line = self._lines.setdefault(client, _Line(asyncio.Semaphore(self._most_per_client)))
        line.requests += 1
        try:
            async with line.turns, self._all:
                yield
        finally:
            line.requests -= 1
            if not line.requests:
                del self._lines[client]
