"""Readers over HTTP, many at once, each on a connection that stays open."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Tally:
    """What the readers got, in all."""

    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    overloaded: int = 0
    """Heavy reads that had no turn (503 `overloaded`): the limit at work, and no failure."""
    bytes: int = 0
    slowest: float = 0.0

    @property
    def asked(self) -> int:
        """How many questions were put."""
        return sum(self.statuses.values()) + sum(self.errors.values())

    @property
    def failed(self) -> int:
        """How many of them had no good answer."""
        good = self.statuses[200] + self.statuses[304] + self.overloaded
        return self.asked - good

    def add(self, other: Tally) -> None:
        """Take in what one reader got."""
        self.statuses += other.statuses
        self.errors += other.errors
        self.overloaded += other.overloaded
        self.bytes += other.bytes
        self.slowest = max(self.slowest, other.slowest)


class Readers:
    """Threads that ask for the paths in turn, until told to stop."""

    def __init__(self, port: int, paths: Sequence[str], number: int) -> None:
        self._port = port
        self._paths = paths
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._tally = Tally()
        self._threads = [
            threading.Thread(target=self._read, args=[start], name=f"reader {start}")
            for start in range(number)
        ]

    def begin(self) -> None:
        """Start asking."""
        for thread in self._threads:
            thread.start()

    def end(self) -> Tally:
        """Stop asking; returns what came of it."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        return self._tally

    def for_seconds(self, seconds: float) -> Tally:
        """Ask for so long."""
        self.begin()
        self._stopped.wait(seconds)
        return self.end()

    def _read(self, start: int) -> None:
        mine = Tally()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        for number in itertools.count(start):
            if self._stopped.is_set():
                break
            began = time.perf_counter()
            try:
                connection.request("GET", self._paths[number % len(self._paths)])
                reply = connection.getresponse()
                body = reply.read()
                mine.bytes += len(body)
                mine.statuses[reply.status] += 1
                mine.overloaded += reply.status == 503 and b'"code":"overloaded"' in body
            except (OSError, http.client.HTTPException) as error:
                mine.errors[type(error).__name__] += 1
                connection.close()
            mine.slowest = max(mine.slowest, time.perf_counter() - began)
        connection.close()
        with self._lock:
            self._tally.add(mine)
