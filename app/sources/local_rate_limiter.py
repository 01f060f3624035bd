"""The gate in front of a host, in one process: for a command that opens no database.

Also the reference that the one in the database is held against.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from app.core import waits
from app.core.errors import rate_limited

USED: Final = 0.9
"""The share of a host's rate that is used: requests are on their way for different times, and two that
are sent as far apart as they may be could arrive too close."""


class LocalRateLimiter:
    """A RateLimiter for all threads of one process: one request per 1 / `rate` seconds to `host`.

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
        # Asked anew after every sleep: another may have passed, the gate may have been closed, and a
        # sleep may last longer than it should. Spacing counts from the request that went out last.
        while (wait := self._pass_or_wait(deadline)) > 0:
            self._sleep(wait)

    def close_for(self, seconds: float) -> None:
        """See RateLimiter.close_for."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._monotonic() + seconds)

    def _pass_or_wait(self, deadline: float) -> float:
        """Seconds to wait before asking again; at 0 or below the caller has passed."""
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
