"""The clock of a host: it, not ours, decides which candles are closed."""

from __future__ import annotations

from typing import Final

import structlog

from app.core.ports import Clock

TOLERANCE: Final = 120
"""Seconds by which the exchange's clock and ours may differ before a warning."""


class HostClock:
    """Reads one host's clock from its replies; warns once when it is far from `clock`, ours."""

    def __init__(self, host: str, clock: Clock) -> None:
        self._host = host
        self._clock = clock
        self._warned = False
        self._replaced = False

    def read(self, stamped: int | None) -> int:
        """The exchange's time in unix seconds: the stamp of its reply, else our own clock."""
        ours = int(self._clock())
        if stamped is None:
            return ours
        if abs(stamped - ours) > TOLERANCE and not self._warned:
            self._warned = True
            structlog.get_logger().warning(
                "exchange_clock_skew",
                host=self._host,
                exchange_time=stamped,
                our_time=ours,
                advice="set this machine's clock; what is closed or to come goes by the exchange's",
            )
        return stamped

    def stamp(self, stamped: int | None, read: int) -> int:
        """When a reply came, to keep beside what it brought, in unix seconds.

        That is by our clock, unless it is off: more than TOLERANCE away from the stamp of the reply
        as well as from what `read` made of it. Then the stamp is used, and that is logged once.
        """
        ours = int(self._clock())
        if stamped is None or min(abs(stamped - ours), abs(read - ours)) <= TOLERANCE:
            return ours
        if not self._replaced:
            self._replaced = True
            structlog.get_logger().warning(
                "own_clock_not_used",
                host=self._host,
                host_time=stamped,
                our_time=ours,
                advice=f"what is stored is stamped with the host's time as long as the two differ by "
                f"more than {TOLERANCE} s; set this machine's clock",
            )
        return stamped
