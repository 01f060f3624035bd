"""A cache inside the process, bounded in bytes; the least recently used entry is evicted first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from cachetools import TTLCache

CAPACITY: Final = 64 * 1024 * 1024
"""Total size of the entries, in bytes."""

_OVERHEAD: Final = 200  # rough cost of an entry beside its value


class MemoryCache:
    """A Cache of at most `capacity` bytes whose entries live for `ttl` seconds. Thread-safe."""

    def __init__(
        self,
        ttl: float,
        capacity: int = CAPACITY,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._entries: TTLCache[str, bytes] = TTLCache(
            capacity, ttl, monotonic, lambda value: len(value) + _OVERHEAD
        )
        # The library's caches are not thread-safe; a read changes the order of use.
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        """The value; None for a miss or an expired entry."""
        with self._lock:
            return self._entries.get(key)

    def set(self, key: str, value: bytes) -> None:
        """Store the value, evicting the least recently used. Drop it if it exceeds the capacity."""
        with self._lock:
            self._entries.pop(key, None)
            with suppress(ValueError):  # The value is larger than the cache.
                self._entries[key] = value

    def healthy(self) -> bool:
        """Always: there is nothing that could break."""
        return True

    def close(self) -> None:
        """Drop every entry."""
        with self._lock:
            self._entries.clear()
