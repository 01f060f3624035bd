"""The gate in front of a host, in one process: how fast it asks, whichever of its threads does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from app.core import waits
from app.core.errors import kept_out

USED: Final = 0.9
"""The share of a host's rate that is used: requests are on their way for different times, and two that
are sent as far apart as they may be could arrive too close."""


class HostGate:
    """A Gate for all threads of one process: one request per 1 / `rate` seconds to `host`.

    Callers pass in the order in which they came. `monotonic` gives seconds from any start.
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
        self._queue: dict[object, None] = {}  # who waits, in order of arrival
        self._next_at = self._closed_until = monotonic()

    def enter(self, budget: float) -> None:
        """See Gate.enter."""
        ticket = object()
        deadline = self._monotonic() + budget
        with self._lock:
            self._queue[ticket] = None
        try:
            # Asked anew after every sleep: the gate may have been closed meanwhile, and a sleep may
            # last longer than it should. Spacing counts from the request that really went out last.
            while (wait := self._pass_or_wait(ticket, deadline)) > 0:
                self._sleep(wait)
        finally:
            with self._lock:
                self._queue.pop(ticket, None)

    def close_for(self, seconds: float) -> None:
        """See Gate.close_for."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._monotonic() + seconds)

    def passed(self) -> None:
        """Take notice of a request that went out just now through another gate."""
        with self._lock:
            self._next_at = self._monotonic() + self._period

    def _pass_or_wait(self, ticket: object, deadline: float) -> float:
        """Seconds to wait before asking again; at 0 or below the caller has passed."""
        with self._lock:
            now = self._monotonic()
            place = list(self._queue).index(ticket)
            turn = max(self._next_at, self._closed_until) + place * self._period
            wait = turn - now
            if wait <= 0:
                del self._queue[ticket]
                self._next_at = now + self._period
            elif turn > deadline:
                raise kept_out(self._host, wait, asked=self._closed_until > max(now, self._next_at))
            return wait
