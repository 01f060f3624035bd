"""Check whether the service can do its work."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product

import structlog

from app.core.errors import StoreError
from app.core.market import Interval, Pair, Series
from app.core.ports import Cache, SeriesStore


class Health:
    """Check the database and the cache.

    `ping` queries the database that reads go to; it raises StoreError if that fails.
    """

    def __init__(self, ping: Callable[[], None], cache: Cache | None) -> None:
        self._ping = ping
        self._cache = cache

    def database_works(self) -> bool:
        """Return whether the database answers. If not, the log says why."""
        try:
            self._ping()
        except StoreError as error:
            _log_unusable(error)
            return False
        return True

    def cache_works(self) -> bool:
        """Return whether every part of the cache works. If not, reads are only slower."""
        return self._cache is None or self._cache.healthy()


def anything_stored(
    store: SeriesStore, pairs: Iterable[Pair], intervals: Iterable[Interval]
) -> bool | None:
    """Return whether at least one served series holds a candle.

    None if the database does not answer; the log says why.
    """
    try:
        return any(
            store.state(Series(*each)).last is not None for each in product(pairs, intervals)
        )
    except StoreError as error:
        _log_unusable(error)
        return None


def _log_unusable(error: StoreError) -> None:
    structlog.get_logger().warning("database_unusable", problem=str(error))
