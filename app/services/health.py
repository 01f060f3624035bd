"""Check whether the service can do its work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import product

from app.core.errors import OutOfTurn, StoreError, UpstreamError
from app.core.logging import structlog
from app.core.market import Interval, Pair, Series
from app.core.ports import Cache, Clock, SeriesStore
from app.core.prices import Coin, PriceReply, PriceSource
from app.core.seldom import Seldom


class WatchedSource:
    """A PriceSource that remembers whether its last request failed, for `forget_after` seconds.

    Later nobody knows: this process asks only when a client does.
    """

    def __init__(self, source: PriceSource, clock: Clock, forget_after: float) -> None:
        self._source = source
        self._clock = clock
        self._forget_after = forget_after
        self._failed_at: float | None = None

    def prices(self, coins: Sequence[Coin], currency: str) -> PriceReply:
        """See PriceSource.prices."""
        try:
            reply = self._source.prices(coins, currency)
        except OutOfTurn:
            raise  # no request went out
        except UpstreamError:
            self._failed_at = self._clock()
            raise
        self._failed_at = None
        return reply

    def fails(self) -> bool:
        """Return whether the last request failed, as far as that still says anything."""
        failed_at = self._failed_at
        return failed_at is not None and self._clock() - failed_at <= self._forget_after


class Health:
    """Check the database, the cache and the price source.

    `ping` queries the database that reads go to; it raises StoreError if that fails. What makes a
    database unusable is logged once a minute.
    """

    def __init__(
        self, ping: Callable[[], None], cache: Cache | None, prices: WatchedSource | None = None
    ) -> None:
        self._ping = ping
        self._cache = cache
        self._prices = prices
        self._unusable = Seldom()

    def database_works(self) -> bool:
        """Return whether the database answers. If not, the log says why."""
        try:
            self._ping()
        except StoreError as error:
            self._log(error)
            return False
        return True

    def cache_works(self) -> bool:
        """Return whether every part of the cache works. If not, reads are only slower."""
        return self._cache is None or self._cache.healthy()

    def prices_fail(self) -> bool:
        """Return whether this process's last request for prices failed; none is made here."""
        return self._prices is not None and self._prices.fails()

    def anything_stored(
        self, store: SeriesStore, pairs: Iterable[Pair], intervals: Iterable[Interval]
    ) -> bool | None:
        """Return whether at least one served series holds a candle.

        None if the database does not answer; the log says why.
        """
        try:
            return any(
                store.state(Series(*each)).last is not None for each in product(pairs, intervals)
            )
        except StoreError as error:
            self._log(error)
            return None

    def _log(self, error: StoreError) -> None:
        problem = str(error)
        if times := self._unusable.due(problem):
            structlog.get_logger().warning("database_unusable", problem=problem, times=times)
