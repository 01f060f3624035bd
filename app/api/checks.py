"""Health checks: on threads of their own, and one at a time however many ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from app.core.logging import structlog
from app.core.seldom import Seldom

log = structlog.get_logger()

THREADS: Final = 2
"""As many as there are kinds of checks, so that one that hangs does not hold up the other."""

LONGEST_WAIT: Final = 4.0
"""Seconds until a check that does not end counts as failed. Probes wait for 5 s by default."""

Outcome = TypeVar("Outcome")


class Checks:
    """Runs checks, which read the database, while all threads for requests may be taken."""

    def __init__(self, longest_wait: float = LONGEST_WAIT) -> None:
        self._longest_wait = longest_wait
        self._threads = CapacityLimiter(THREADS)
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._overdue = Seldom()

    async def outcome(self, name: str, check: Callable[[], Outcome]) -> Outcome | None:
        """The outcome of `check`, or of the check of this name that is already running.

        None where it does not end in time; the log says so. It then goes on running, and whoever
        comes meanwhile waits for it, too: a database that hangs holds one thread for each name.
        """
        task = self._running.get(name)
        if task is None:
            task = asyncio.create_task(run_sync(check, limiter=self._threads))
            self._running[name] = task
            task.add_done_callback(partial(self._ended, name))
        await asyncio.wait({task}, timeout=self._longest_wait)
        if task.done():
            outcome: Outcome = task.result()
            return outcome
        if times := self._overdue.due(name):
            problem = f"The check of {name} has had no answer for {self._longest_wait:g} s."
            log.warning("database_unusable", problem=problem, times=times)
        return None

    def _ended(self, name: str, _task: asyncio.Task[Any]) -> None:
        del self._running[name]
