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
