"""Whether the service can do its work."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product

import structlog

from app.core.errors import StoreError
from app.core.market import Interval, Pair, Series
from app.core.ports import Cache, SeriesStore


class Health:
    """Whether database and cache work. `ping` asks the database that reads go to; raises StoreError."""

    def __init__(self, ping: Callable[[], None], cache: Cache | None) -> None:
        self._ping = ping
        self._cache = cache

    def database_works(self) -> bool:
        """Whether the database answers; where it does not, the log says why."""
        try:
            self._ping()
        except StoreError as error:
            structlog.get_logger().warning("database_unusable", problem=str(error))
            return False
        return True

    def cache_works(self) -> bool:
        """Whether every part of the cache works; where not, reads are slower and nothing else."""
        return self._cache is None or self._cache.healthy()


def anything_stored(
    store: SeriesStore, pairs: Iterable[Pair], intervals: Iterable[Interval]
) -> bool:
    """Whether at least one of the served series holds a candle. Raises StoreError."""
    return any(store.state(Series(*each)).last is not None for each in product(pairs, intervals))
