"""Whether the service can do its work."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product

import structlog

from app.core.errors import StoreError
from app.core.market import Interval, Pair
from app.core.ports import SeriesStore

log = structlog.get_logger()


def database_usable(ping: Callable[[], None]) -> bool:
    """Whether the database answers the smallest question; where not, the log says why."""
    try:
        ping()
    except StoreError as error:
        log.warning("database_unusable", problem=str(error))
        return False
    return True


def anything_stored(
    series: SeriesStore, pairs: Iterable[Pair], intervals: Iterable[Interval]
) -> bool:
    """Whether at least one of the served series holds a candle. Raises StoreError."""
    return any(series.state(*each).last is not None for each in product(pairs, intervals))
