"""Spot prices in memory: the reference for the tests of the database's store."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from app.core.prices import SpotPrice, StoredPrice


class MemoryPriceStore:
    """A PriceStore without a database. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._prices: list[StoredPrice] = []
        self._last_id = 0

    def add(self, prices: Sequence[SpotPrice], collected_at: int) -> list[StoredPrice]:
        """Store prices collected at one unix time; returns them with ids."""
        with self._lock:
            stored = [
                StoredPrice(
                    self._last_id + number,
                    price.coin.symbol,
                    price.price,
                    price.currency,
                    price.priced_at,
                    collected_at,
                )
                for number, price in enumerate(prices, start=1)
            ]
            self._last_id += len(stored)
            self._prices += stored
        return stored

    def newest(
        self,
        symbol: str,
        currency: str,
        limit: int,
        first: int | None = None,
        last: int | None = None,
    ) -> list[StoredPrice]:
        """The newest prices by arrival, the id; [first, last] limits their collection time."""
        with self._lock:
            prices = [
                price
                for price in self._prices
                if (price.symbol, price.currency) == (symbol, currency)
                and (first is None or price.collected_at >= first)
                and (last is None or price.collected_at <= last)
            ]
        return prices[::-1][:limit]

    def arrived(self, after: int, limit: int) -> tuple[int, list[StoredPrice]]:
        """The highest id, and the newest `limit` prices with an id above `after`, ascending."""
        with self._lock:
            highest = self._prices[-1].id if self._prices else 0
            return highest, [price for price in self._prices if price.id > after][-limit:]

    def prune(self, before: int, after: int) -> int:
        """Remove the prices collected before or after these unix times; returns how many."""
        with self._lock:
            kept = [price for price in self._prices if before <= price.collected_at <= after]
            removed = len(self._prices) - len(kept)
            self._prices = kept
        return removed
