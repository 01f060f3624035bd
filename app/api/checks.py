"""Health checks: on threads of their own, and one at a time however many ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, Final, TypeVar

from app.core.logging import structlog
from app.core.seldom import Seldom

log = structlog.get_logger()

THREADS: Final = 2
"""As many as there are kinds of checks, so that one that hangs does not hold up the other."""

THREAD_NAME: Final = "health check"
"""What the names of the threads begin with."""

LONGEST_WAIT: Final = 4.0
"""Seconds until a check that does not end counts as failed. Probes wait for 5 s by default."""

Outcome = TypeVar("Outcome")


class Checks:
    """Runs checks, which read the database, while all threads for requests may be taken."""

    def __init__(self, longest_wait: float = LONGEST_WAIT) -> None:
        self._longest_wait = longest_wait
        self._threads = ThreadPoolExecutor(THREADS, THREAD_NAME)
        self._running: dict[str, asyncio.Future[Any]] = {}
        self._overdue = Seldom()

    async def outcome(self, name: str, check: Callable[[], Outcome]) -> Outcome | None:
        """The outcome of `check`, or of the check of this name that is already running.

        None where it does not end in time; the log says so. It then goes on running, and whoever
        comes meanwhile waits for it, too: a database that hangs holds one thread for each name.
        """
        running = self._running.get(name)
        if running is None:
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._threads, copy_context().run, check)
            self._running[name] = running
            running.add_done_callback(partial(self._ended, name))
        await asyncio.wait({running}, timeout=self._longest_wait)
        if running.done():
            outcome: Outcome = running.result()
            return outcome
        if times := self._overdue.due(name):
            problem = f"The check of {name} has had no answer for {self._longest_wait:g} s."
            log.warning("database_unusable", problem=problem, times=times)
        return None

    def close(self) -> None:
        """Let the threads end once their checks have."""
        self._threads.shutdown(wait=False)

    def _ended(self, name: str, _check: asyncio.Future[Any]) -> None:
        del self._running[name]
