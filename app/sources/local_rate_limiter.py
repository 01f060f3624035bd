"""The rate limiter of a host within one process: for a command that opens no database.

It is also the reference for the tests of the one in the database.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from app.core import waits
from app.core.errors import rate_limited

USED: Final = 0.9
"""The share of a host's rate that is used. Requests take different times on their way, so two that
leave with the smallest allowed distance could arrive too close to each other."""


class LocalRateLimiter:
    """A RateLimiter for all threads of one process: one request per 1 / `rate` seconds to `host`.

    It counts no calls of a month: without a database nobody knows those of others.
    `monotonic` gives seconds from any start.
    """

    def __init__(
        self,
        host: str,
        rate: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = waits.sleep,
    ) -> None:
        self._host = host
        self._period = 1.0 / rate
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next_at = self._closed_until = monotonic()

    def enter(self, budget: float) -> None:
        """See RateLimiter.enter."""
        deadline = self._monotonic() + budget
        # Check again after every sleep: another thread may have passed, the host may have asked for
        # a pause, and a sleep may last too long. Spacing counts from the last request sent.
        while (wait := self._pass_or_wait(deadline)) > 0:
            self._sleep(wait)

    def close_for(self, seconds: float) -> None:
        """See RateLimiter.close_for."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._monotonic() + seconds)

    def _pass_or_wait(self, deadline: float) -> float:
        """Seconds to wait before the next check; at 0 or below the caller may send."""
        with self._lock:
            now = self._monotonic()
            turn = max(self._next_at, self._closed_until)
            if turn <= now:
                self._next_at = now + self._period
            elif turn > deadline:
                raise rate_limited(
                    self._host, turn - now, by_host=self._closed_until > max(now, self._next_at)
                )
            return turn - now
