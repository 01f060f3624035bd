"""How many requests of each client pass: counted in this process, and merged between processes.

Each process counts by itself, without waiting for anybody. Where processes share a Memcached, a
thread adds what was counted to the shared counts once a second, and learns what the others have
counted. So they limit a client together, about a second late. While Memcached is away, each
process limits by its own counts and by what it has learned.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from heapq import nlargest
from itertools import islice
from operator import itemgetter
from typing import Final

from app.core.ports import Clock, Quota, SharedCounts
from app.core.setting_edge import Rate
from app.domain import sliding_window

MOST_CLIENTS: Final = 20_000
"""How many clients a window counts, some 4 MB. Beyond it, the oldest tenth is forgotten.

What is forgotten limits nobody. Whoever has that many addresses has more from each than from being
forgotten.
"""

MERGE_EVERY: Final = 1.0
MOST_MERGED: Final = 200
"""How many counts one merge sends, those that have grown most first; each is a round trip."""

CLOSE_SECONDS: Final = 2.0


class _Window:
    """The requests of one window of time, by client: our own, and what others had counted.

    `sent` is how many of our own the shared counts have. The merging thread writes it and `others`.
    """

    __slots__ = ("number", "others", "own", "sent")

    def __init__(self, number: int) -> None:
        self.number = number
        self.own: dict[str, int] = {}
        self.others: dict[str, int] = {}
        self.sent: dict[str, int] = {}

    def forget(self, count: int) -> None:
        """Forget the clients that came first."""
        for client in list(islice(self.own, count)):
            for counts in (self.own, self.others, self.sent):
                counts.pop(client, None)


class LocalRequestRate:
    """A RequestRate of this process, by unix time; `merge` joins it with others'.

    `name` tells its shared counts from those of another limit.
    """

    def __init__(
        self, name: str, rate: Rate, clock: Clock, *, most_clients: int = MOST_CLIENTS
    ) -> None:
        self.rate = rate
        self._name = name
        self._clock = clock
        self._most = most_clients
        # The one before, and that of this moment: together, so that a merge sees each of them once.
        self._windows = _Window(-1), _Window(-1)
        self._begins = self._ends = 0

    def take(self, client: str) -> Quota:
        """Count a request of this client if it may pass; the quota after it."""
        room, seconds = self.left(client)
        if room < 1:
            return room, seconds
        window = self._windows[1]
        own = window.own
        if client in own:
            own[client] += 1
        else:
            if len(own) >= self._most:
                window.forget(max(1, self._most // 10))
            own[client] = 1
        return room - 1, seconds

    def left(self, client: str) -> Quota:
        """The quota of this client now, which counts nothing."""
        now = self._clock()
        if not self._begins <= now < self._ends:
            self._roll(now)
        # Lookups in place of calls: every read passes here.
        last, window = self._windows
        count = window.own.get(client, 0)
        before = last.own.get(client, 0)
        if window.others or last.others:
            count += window.others.get(client, 0)
            before += last.others.get(client, 0)
        remaining = self._ends - now
        room = sliding_window.room(self.rate, before, count, remaining)
        if room < 1:
            return -1, sliding_window.wait(self.rate, before, count, remaining)
        return room, math.ceil(remaining)

    def merge(self, shared: SharedCounts) -> bool:
        """Add what was counted since the last merge, and learn the others' part.

        Call it from one thread. Returns False where the shared counts are away; what was not added
        is added at a later call. After a timeout that may be once too often.
        """
        grown = [
            (count - window.sent.get(client, 0), count, client, window)
            for window in self._windows
            # A copy, because requests go on being counted meanwhile.
            for client, count in window.own.copy().items()
            if count > window.sent.get(client, 0)
        ]
        for by, count, client, window in nlargest(MOST_MERGED, grown, key=itemgetter(0)):
            total = shared.count(self._key(client, window), by, count, 2 * self.rate.seconds)
            if total is None:
                return False
            if client not in window.own:  # forgotten meanwhile
                continue
            window.sent[client] = count
            # Counts only grow; a smaller one comes from a Memcached that has forgotten.
            others = max(total - count, window.others.get(client, 0))
            if others:
                window.others[client] = others
        return True

    def _roll(self, now: float) -> None:
        """Begin the window of this moment. A clock that was set back begins anew."""
        seconds = self.rate.seconds
        number = int(now // seconds)
        last = self._windows[1]
        before = last if last.number == number - 1 else _Window(number - 1)
        self._windows = before, _Window(number)
        self._begins = number * seconds
        self._ends = self._begins + seconds

    def _key(self, client: str, window: _Window) -> str:
        """The key of a client's shared count."""
        return f"{self._name} {self.rate} {client} {window.number}"


class Merging:
    """A thread that merges rates with the shared counts once a second, until `close`."""

    def __init__(
        self,
        rates: Sequence[LocalRequestRate],
        shared: SharedCounts,
        *,
        wait: Callable[[threading.Event, float], bool] = lambda event, s: event.wait(s),
    ) -> None:
        self._rates = rates
        self._shared = shared
        self._wait = wait
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rates", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._wait(self._closed, MERGE_EVERY):
            for rate in self._rates:
                if not rate.merge(self._shared):
                    break
