"""Two caches as one: the near one answers first, and is filled from the far one."""

from __future__ import annotations

from app.core.ports import Cache


class LayeredCache:
    """A Cache in the process in front of one that processes share."""

    def __init__(self, near: Cache, far: Cache) -> None:
        self._near = near
        self._far = far

    def get(self, key: str) -> bytes | None:
        """The value from the near cache, else from the far one; None for a miss in both."""
        value = self._near.get(key)
        if value is None and (value := self._far.get(key)) is not None:
            self._near.set(key, value)
        return value

    def set(self, key: str, value: bytes) -> None:
        """Store the value in both."""
        self._near.set(key, value)
        self._far.set(key, value)

    def healthy(self) -> bool:
        """Whether both work."""
        return self._near.healthy() and self._far.healthy()

    def close(self) -> None:
        """Close both."""
        self._near.close()
        self._far.close()
