"""The clock of a host: it, not ours, decides which candles are closed.

What counts is the time at which a reply's body was made. A cache may send a stored body with a
fresh `Date`: a candle that was still running when the body was made is not closed by then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from app.core.errors import StoreError
from app.core.logging import structlog
from app.core.ports import Clock, HostClocks
from app.domain.candles import ReplyTimes
from app.domain.times import TOLERANCE
from app.sources.replies import Reply

STANDING: Final = 60
"""Seconds between two replies of the same `Date`, after which the host's clock stands still."""


class HostClock:
    """Reads when the bodies of one host's replies were made. Safe to share between threads.

    `clock` is ours. It is compared with the host's: a difference above TOLERANCE is logged once.
    Where the host's clock stands still, ours decides, less TOLERANCE. `clocks`
    remembers the time of a host with such a difference for the next process, since a command may
    end long before STANDING seconds have passed; None where there is no database.
    """

    def __init__(
        self,
        host: str,
        clock: Clock,
        clocks: HostClocks | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._clock = clock
        self._clocks = clocks
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._latest: tuple[int, int] | None = None
        self._since = 0.0
        self._said: set[str] = set()

    def times(self, reply: Reply, word: int | None = None) -> ReplyTimes:
        """What is known of the reply's time; `word` as in `read`."""
        return ReplyTimes(
            made_at=self.read(reply, word),
            ours=int(self._clock()),
            received_at=self.stamp(reply),
            present=self.present(reply),
        )

    def read(self, reply: Reply, word: int | None = None) -> int:
        """When the reply's body was made, in unix seconds.

        `word` is the time that the body itself names, if any. Where it and the headers differ, the
        older one counts. Without both, the reply has just been made by our clock, less its `Age`.
        """
        ours = int(self._clock())
        stamp, age = reply.server_time, reply.age
        if stamp is None:
            if word is None:
                return ours - age
            stamp, age = word, 0
        # A cache may also keep the original `Date`, and its `Age` then explains the difference.
        far = min(abs(stamp - ours), abs(stamp + age - ours)) > TOLERANCE
        if self._stands_still(stamp, age, ours, far=far):
            self._warn(
                "host_clock_stands_still",
                stamp,
                ours,
                f"this machine's clock less {TOLERANCE} s decides what is closed until the host's "
                "moves; tell the host's operator",
            )
            return ours - TOLERANCE
        if far:
            self._warn(
                "host_clock_skew",
                stamp,
                ours,
                "set this machine's clock; what is closed, and when it was collected, goes by the host's",
            )
        return stamp - age if word is None else min(stamp - age, word)

    def present(self, reply: Reply) -> int:
        """The present by the host's clock or by ours, whichever is later; unix seconds."""
        return max(int(self._clock()), reply.server_time or 0)

    def stamp(self, reply: Reply) -> int:
        """When the reply came, to keep beside what it brought, in unix seconds.

        That is by our clock, unless it is off: more than TOLERANCE away from the host's. Then it is
        by the host's. A host's clock that stands still does not count.
        """
        ours, read = int(self._clock()), self.read(reply)
        if reply.server_time is None:
            return ours
        host = (reply.server_time, reply.server_time + reply.age, read)
        return ours if min(abs(at - ours) for at in host) <= TOLERANCE else reply.server_time

    def _stands_still(self, stamp: int, age: int, ours: int, *, far: bool) -> bool:
        """Whether the host has sent the same time for STANDING seconds.

        The same `Date` with a growing `Age`, or a new `Date` less an `Age` that grows as fast, is a
        stored copy. That is really old, and stays so.
        """
        with self._lock:
            now = self._monotonic()
            if self._latest != (stamp, age):
                first, self._latest, self._since = self._latest is None, (stamp, age), now
                # Our monotonic clock does not outlive this process; between two, our wall clock
                # tells. A clock that has moved in this process need not be remembered.
                if first and far and self._clocks is not None:
                    with suppress(StoreError):  # then this process alone has to notice
                        self._since -= ours - self._clocks.seen(self._host, stamp, ours)
            return now - self._since >= STANDING

    def _warn(self, event: str, stamp: int, ours: int, advice: str) -> None:
        if event not in self._said:
            self._said.add(event)
            structlog.get_logger().warning(
                event, host=self._host, host_time=stamp, our_time=ours, advice=advice
            )
