"""A cache inside the process, bounded in bytes, whose hits cost next to nothing.

The entries are in two generations. Once the younger one takes half of the capacity, the older one
is dropped, and the younger one becomes the older. An entry that is used again moves into the
younger one. So the entries that go are those that were not used for longest. A hit in the younger
one is one look into a dictionary, without a lock; the exact order of use would cost many times
that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

CAPACITY: Final = 64 * 1024 * 1024
"""Total size of the entries, in bytes."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class MemoryCache(Generic[Key, Value]):
    """Values by key, at most `capacity` bytes of them, each for `ttl` seconds. Thread-safe.

    `size_of` is the size of a value in bytes. A value larger than half of the capacity is not kept.
    """

    def __init__(
        self,
        ttl: float,
        size_of: Callable[[Value], int],
        capacity: int = CAPACITY,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ttl = ttl
        self._size_of = size_of
        self._half = capacity // 2
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._young: dict[Key, tuple[float, Value]] = {}
        self._old: dict[Key, tuple[float, Value]] = {}
        self._size = 0  # of the younger generation

    def get(self, key: Key) -> Value | None:
        """The value; None for a miss or an expired entry."""
        entry = self._young.get(key)
        if entry is None:
            entry = self._old.get(key)
            if entry is None:
                return None
            with self._lock:
                # Another thread may have replaced or dropped it meanwhile.
                if self._old.get(key) is entry:
                    self._put(key, entry)
        expires, value = entry
        return value if self._monotonic() < expires else None

    def set(self, key: Key, value: Value) -> None:
        """Store the value in place of another, or drop it if it is too large."""
        with self._lock:
            self._put(key, (self._monotonic() + self._ttl, value))

    def clear(self) -> None:
        """Drop every entry."""
        with self._lock:
            self._young, self._old, self._size = {}, {}, 0

    def _put(self, key: Key, entry: tuple[float, Value]) -> None:
        """Put the entry into the younger generation; the lock is held."""
        self._old.pop(key, None)
        replaced = self._young.pop(key, None)
        if replaced is not None:
            self._size -= self._size_of(replaced[1])
        size = self._size_of(entry[1])
        if size > self._half:
            return
        if self._size + size > self._half:
            self._old, self._young, self._size = self._young, {}, 0
        self._young[key] = entry
        self._size += size
