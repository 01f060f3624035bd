"""The stores over a primary and its replica: what is written goes to the primary, reads have a route.

Candles and averages are read from the replica first. Prices are read from the primary first: whoever
has stored one, in whichever process, finds it in the next read. They are few, and read by their index.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from app.core.market import (
    Absent,
    AverageRow,
    AverageSlice,
    Candle,
    CandleRevision,
    Interval,
    Pair,
    QuarantinedCandle,
    SeriesState,
    Window,
)
from app.core.ports import SeriesUnit
from app.core.prices import SpotPrice, StoredPrice
from app.db.prices import SqlPriceStore
from app.db.replica import ReadServers
from app.db.series import SqlSeriesStore


class RoutedSeriesStore:
    """SeriesStore and AverageStore that read from the replica, or from the primary without it."""

    def __init__(self, servers: ReadServers) -> None:
        self._written = SqlSeriesStore(servers.primary.engine)
        self._route = servers.route(SqlSeriesStore)

    def begin(self, pair: Pair, interval: Interval) -> AbstractContextManager[SeriesUnit]:
        """Open one transaction on one series, on the primary."""
        return self._written.begin(pair, interval)

    def state(self, pair: Pair, interval: Interval) -> SeriesState:
        """What is known of the series; EMPTY_SERIES where it was never loaded."""
        return self._route.ask(lambda store: store.state(pair, interval))

    def buckets(self, pair: Pair, interval: Interval, first: int, last: int) -> list[int]:
        """The buckets in [first, last] that have a candle, ascending."""
        return self._route.ask(lambda store: store.buckets(pair, interval, first, last))

    def absences(self, pair: Pair, interval: Interval, first: int, last: int) -> list[Absent]:
        """The buckets in [first, last] that the exchange did not have when asked, ascending."""
        return self._route.ask(lambda store: store.absences(pair, interval, first, last))

    def settled(self, pair: Pair, interval: Interval, first: int, last: int) -> int:
        """How many buckets of [first, last] have a candle or are noted as absent. Reads no rows."""
        return self._route.ask(lambda store: store.settled(pair, interval, first, last))

    def wrong_averages(self, pair: Pair, interval: Interval, first: int, last: int) -> list[int]:
        """The buckets in [first, last], ascending, whose averages contradict the candles."""
        return self._route.ask(lambda store: store.wrong_averages(pair, interval, first, last))

    def quarantined(
        self, pair: Pair, interval: Interval, first: int, last: int, limit: int | None = None
    ) -> list[QuarantinedCandle]:
        """Refused candles of [first, last], and those without a bucket, the last seen ones first."""
        return self._route.ask(lambda store: store.quarantined(pair, interval, first, last, limit))

    def revisions(self, pair: Pair, interval: Interval, limit: int) -> list[CandleRevision]:
        """Closed candles that the exchange revised, the last noticed ones first."""
        return self._route.ask(lambda store: store.revisions(pair, interval, limit))

    def rows(
        self, pair: Pair, interval: Interval, first: int, last: int
    ) -> tuple[SeriesState, list[tuple[Candle, AverageRow]]]:
        """Candles of [first, last] with their averages, ascending, and the state they belong to."""
        return self._route.ask(lambda store: store.rows(pair, interval, first, last))

    def means(
        self, pair: Pair, interval: Interval, window: Window, first: int, last: int
    ) -> tuple[SeriesState, list[tuple[int, int]]]:
        """The (bucket, average in 1e-8) in [first, last], ascending, and their state, in one read."""
        return self._route.ask(lambda store: store.means(pair, interval, window, first, last))

    def read(
        self, pair: Pair, interval: Interval, window: Window, first: int, last: int
    ) -> AverageSlice:
        """The averages that exist in the buckets [first, last], rendered, ascending."""
        return self._route.ask(lambda store: store.read(pair, interval, window, first, last))


class RoutedPriceStore:
    """A PriceStore that reads from the primary, or from the replica without it."""

    def __init__(self, servers: ReadServers) -> None:
        self._written = SqlPriceStore(servers.primary.engine)
        self._route = servers.route(SqlPriceStore, written=True)

    def add(self, prices: Sequence[SpotPrice], collected_at: int) -> list[StoredPrice]:
        """Store prices that were collected at one unix time, all or none; returns them with ids."""
        return self._written.add(prices, collected_at)

    def newest(
        self,
        symbol: str,
        currency: str,
        limit: int,
        first: int | None = None,
        last: int | None = None,
    ) -> list[StoredPrice]:
        """The newest prices, by time of collection, then id; collected in [first, last] where given."""
        return self._route.ask(lambda store: store.newest(symbol, currency, limit, first, last))

    def prune(self, before: int) -> int:
        """Remove what was collected before that unix time, in batches; returns how many rows."""
        return self._written.prune(before)
