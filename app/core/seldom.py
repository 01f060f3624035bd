"""Equal log lines, limited to one a minute with the number of those that it stands for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Final

PAUSE: Final = 60.0
"""Seconds between two lines of one key."""

MOST_KEYS: Final = 64
"""Keys that are told apart. Those beyond share one line, so memory and lines stay bounded."""

_OTHERS: Final = object()


class Seldom:
    """Say when a log line is due again; `clock` gives seconds. Any thread may ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # Per key: when its last line was due, and how many events have had none since.
        self._lines: dict[Hashable, tuple[float, int]] = {}

    def due(self, key: Hashable) -> int | None:
        """Count one event of `key`; return how many its line stands for, None if none is due.

        The first event has a line at once. The next line of a key comes with its first event after
        PAUSE. It counts those before as well, unless other keys have needed the room meanwhile.
        """
        with self._lock:
            now = self._clock()
            if key not in self._lines and len(self._lines) >= MOST_KEYS:
                self._lines = {k: v for k, v in self._lines.items() if now - v[0] < PAUSE}
                if len(self._lines) >= MOST_KEYS:
                    key = _OTHERS
            since, unsaid = self._lines.get(key, (now - PAUSE, 0))
            if now - since < PAUSE:
                self._lines[key] = since, unsaid + 1
                return None
            self._lines[key] = now, 0
            return unsaid + 1
