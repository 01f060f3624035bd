"""Spot prices of the stand-in: what a book of them is, and a board on which a test changes them.

Like candles here, prices may be wrong: refusing them is the reader's job.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from app.sandbox.wire import JSON, Reply


@dataclass(frozen=True, slots=True)
class Quote:
    """One coin's prices by currency, and their own time in unix seconds; None is sent as null."""

    prices: Mapping[str, Decimal | None]
    updated_at: int | None


class PriceBook(Protocol):
    """A source of spot prices for the stand-in exchange."""

    def quotes(self, ids: Iterable[str], now: float) -> Mapping[str, Quote]:
        """One answer about these coins at `now` (unix seconds), without those it does not know."""
        ...


class PriceBoard:
    """Another book with prices put over it and replies put before it; safe to use from threads."""

    def __init__(self, base: PriceBook) -> None:
        self._base = base
        self._lock = threading.Lock()
        self._changes: dict[str, Quote | None] = {}
        self._failures: deque[Reply] = deque()

    def set(
        self,
        coin_id: str,
        currency: str,
        price: Decimal | None,
        *,
        updated_at: int | None = None,
    ) -> None:
        """Send this price, or null for None, from now on; known coin or not.

        Its own time is `updated_at`, else the exchange's time at each request.
        """
        with self._lock:
            known = self._changes.get(coin_id)
            prices = {**(known.prices if known else {}), currency: price}
            self._changes[coin_id] = Quote(prices, updated_at)

    def leave_out(self, coin_id: str) -> None:
        """Answer from now on as if there were no such coin."""
        with self._lock:
            self._changes[coin_id] = None

    def fail(
        self, status: int, body: str, headers: Mapping[str, str] | None = None, times: int = 1
    ) -> None:
        """Answer the next `times` requests with this instead; after those that wait already.

        The body goes out as it is, as JSON unless `headers` has a Content-Type.
        """
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        kind = sent.pop("content-type", JSON)
        with self._lock:
            reply = Reply(status, body.encode(), kind, tuple(sent.items()))
            self._failures.extend([reply] * times)

    def next_failure(self) -> Reply | None:
        """Take the reply that stands before the true one, if there is one."""
        with self._lock:
            return self._failures.popleft() if self._failures else None

    def quotes(self, ids: Iterable[str], now: float) -> Mapping[str, Quote]:
        """The base book's quotes with the changes over them."""
        quotes = dict(self._base.quotes(ids, now))
        with self._lock:
            changes = {
                coin_id: self._changes[coin_id] for coin_id in ids if coin_id in self._changes
            }
        for coin_id, change in changes.items():
            base = quotes.pop(coin_id, None)
            if change is not None:
                at = int(now) if change.updated_at is None else change.updated_at
                quotes[coin_id] = Quote({**(base.prices if base else {}), **change.prices}, at)
        return quotes
