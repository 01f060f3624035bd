"""Spot prices of the stand-in: what a book of them is, and a board on which a test changes them.

Like candles here, prices may be wrong: refusing them is the reader's job.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class _Change:
    """What a test put in place of one coin's quote."""

    prices: dict[str, Decimal | None] = field(default_factory=dict)
    updated_at: int | None = None
    left_out: bool = False


class PriceBoard:
    """Another book with prices put over it and replies put before it; safe to use from threads."""

    def __init__(self, base: PriceBook) -> None:
        self._base = base
        self._lock = threading.Lock()
        self._changes: dict[str, _Change] = {}
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
            change = self._changes.setdefault(coin_id, _Change())
            change.prices[currency.lower()] = price
            change.updated_at = updated_at
            change.left_out = False

    def leave_out(self, coin_id: str) -> None:
        """Answer from now on as if there were no such coin."""
        with self._lock:
            self._changes[coin_id] = _Change(left_out=True)

    def fail(
        self,
        status: int,
        body: str | bytes,
        headers: Mapping[str, str] | None = None,
        times: int = 1,
    ) -> None:
        """Answer the next `times` requests with this instead; after those that wait already.

        The body goes out as it is, as JSON unless `headers` has a Content-Type.
        """
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        kind = sent.pop("content-type", JSON)
        content = body.encode() if isinstance(body, str) else body
        with self._lock:
            self._failures.extend([Reply(status, content, kind, tuple(sent.items()))] * times)

    def clear(self) -> None:
        """Undo everything that was set, left out or made to fail."""
        with self._lock:
            self._changes.clear()
            self._failures.clear()

    def next_failure(self) -> Reply | None:
        """Take the reply that stands before the true one, if there is one."""
        with self._lock:
            return self._failures.popleft() if self._failures else None

    def quotes(self, ids: Iterable[str], now: float) -> Mapping[str, Quote]:
        """The base book's quotes with the changes over them."""
        found = dict(self._base.quotes(ids, now))
        with self._lock:
            for coin_id in ids:
                change = self._changes.get(coin_id)
                if change is None:
                    continue
                if change.left_out:
                    found.pop(coin_id, None)
                    continue
                known = found[coin_id].prices if coin_id in found else {}
                at = int(now) if change.updated_at is None else change.updated_at
                found[coin_id] = Quote({**known, **change.prices}, at)
        return found
