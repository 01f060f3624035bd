"""A cache inside the process: bounded in bytes, the least recently used goes first."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

CAPACITY: Final = 64 * 1024 * 1024
"""Bytes of values that are kept."""

_OVERHEAD: Final = 200  # what an entry costs beside its value, roughly


class MemoryCache:
    """A Cache of at most `capacity` bytes whose entries live for `ttl` seconds. Thread-safe."""

    def __init__(
        self,
        ttl: float,
        capacity: int = CAPACITY,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ttl = ttl
        self._capacity = capacity
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0

    def get(self, key: str) -> bytes | None:
        """The value, None where it is not or no longer there."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry[0] <= self._monotonic():
                self._forget(key)
                return None
            self._entries.move_to_end(key)
            return entry[1]

    def set(self, key: str, value: bytes) -> None:
        """Keep the value; what was used longest ago makes room. A value beyond all room is not kept."""
        size = len(value) + _OVERHEAD
        with self._lock:
            if key in self._entries:
                self._forget(key)
            if size > self._capacity:
                return
            self._entries[key] = (self._monotonic() + self._ttl, value)
            self._bytes += size
            while self._bytes > self._capacity:
                self._forget(next(iter(self._entries)))

    def healthy(self) -> bool:
        """Always: there is nothing that could break."""
        return True

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def _forget(self, key: str) -> None:
        _, value = self._entries.pop(key)
        self._bytes -= len(value) + _OVERHEAD
