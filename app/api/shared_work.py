"""Work that requests share: whoever comes while it runs waits for its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool

Outcome = TypeVar("Outcome")


class SharedWork:
    """Runs at most one piece of work per key at a time, on a worker thread.

    The others wait in the event loop. On threads they could take all of them from light reads.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[Any]] = {}

    async def outcome(self, key: Hashable, work: Callable[[], Outcome]) -> Outcome:
        """The outcome of `work`, or of the work of this key that is already running.

        An error is shared as well. A caller that goes ends the work of nobody.
        """
        running = self._running.get(key)
        if running is None:
            running = asyncio.create_task(run_in_threadpool(work))
            self._running[key] = running
            running.add_done_callback(partial(self._ended, key))
        outcome: Outcome = await asyncio.shield(running)
        return outcome

    def _ended(self, key: Hashable, _work: asyncio.Task[Any]) -> None:
        del self._running[key]
