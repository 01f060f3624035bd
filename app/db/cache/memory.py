"""A cache inside the process, bounded in bytes; the least recently used entry is evicted first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Final, Generic, TypeVar

from cachetools import TTLCache

CAPACITY: Final = 64 * 1024 * 1024
"""Total size of the entries, in bytes."""

Value = TypeVar("Value")


class MemoryCache(Generic[Value]):
    """Values by key, at most `capacity` bytes of them, each for `ttl` seconds. Thread-safe.

    `size_of` is the size of a value in bytes.
    """

    def __init__(
        self,
        ttl: float,
        size_of: Callable[[Value], int],
        capacity: int = CAPACITY,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._entries: TTLCache[Hashable, Value] = TTLCache(capacity, ttl, monotonic, size_of)
        # The library's caches are not thread-safe; a read changes the order of use.
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Value | None:
        """The value; None for a miss or an expired entry."""
        with self._lock:
            return self._entries.get(key)

    def set(self, key: Hashable, value: Value) -> None:
        """Store the value, evicting the least recently used. Drop it if it exceeds the capacity."""
        with self._lock:
            self._entries.pop(key, None)
            with suppress(ValueError):  # The value is larger than the cache.
                self._entries[key] = value

    def clear(self) -> None:
        """Drop every entry."""
        with self._lock:
            self._entries.clear()
