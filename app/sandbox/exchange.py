"""The stand-in exchange as an object: its books, clock and page limit, and a memory of requests.

It knows nothing of sockets: `answer` turns an address into a reply. `app.sandbox.server` puts it on
a port.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from app.core.ports import Clock
from app.sandbox import endpoints, price_wire, wire
from app.sandbox.book import CandleBook, EditableBook
from app.sandbox.endpoints import Query, Refused
from app.sandbox.price_books import SimulatedPrices
from app.sandbox.prices import PriceBoard, PriceBook
from app.sandbox.wire import Reply

V4_PATH: Final = "/api/v4"
"""Where the v4 API lives: the base URL of `mercado_bitcoin` is the server's address plus this."""

LEGACY_PATH: Final = "/v4"
"""Where the legacy API lives: the base URL of `mercado_bitcoin_legacy` ends in this."""

COINGECKO_PATH: Final = "/api/v3"
"""Where CoinGecko's API lives: COINGECKO_API_BASE_URL is the server's address plus this."""

PAGE_LIMIT: Final = 1000
MEMORY: Final = 10_000

_LEGACY_CANDLES: Final = re.compile(re.escape(LEGACY_PATH) + r"/([^/]+)/candle")
_PRICES: Final = f"{COINGECKO_PATH}/simple/price"
_RATE_EXCEEDED: Final = wire.problem("REQUEST_RATE_EXCEEDED", "Too many requests", status=429)
# A client that keeps to the rate exactly arrives a little early now and then: sleeping and the
# network are not exact. Refusing it would punish the well-behaved.
_EARLY: Final = 0.05

Route = Callable[[Query, float], Reply]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived; `at` is the exchange's own time in unix seconds."""

    at: float
    path: str
    query: Mapping[str, str]


class Exchange:
    """A stand-in for Mercado Bitcoin and CoinGecko. Safe to use from several threads.

    `clock` is the exchange's time: it decides which candles have begun and stands in every reply's
    `Date`. `prices` are the spot prices, by default those of the first simulated market.
    `requests_per_second` bounds each address on its own, None for no bound; it is measured
    by `ticks` (seconds from any start), because the exchange's time may stand still.
    """

    def __init__(
        self,
        book: CandleBook,
        *,
        clock: Clock,
        prices: PriceBook | None = None,
        page_limit: int = PAGE_LIMIT,
        requests_per_second: float | None = None,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.book = EditableBook(book)
        self.prices = PriceBoard(prices or SimulatedPrices())
        self.clock = clock
        self._page_limit = page_limit
        self._rate = requests_per_second
        self._ticks = ticks
        self._lock = threading.Lock()
        self._asked: deque[Asked] = deque(maxlen=MEMORY)
        self._credit: dict[str, tuple[float, float]] = {}
        self._turn = 0
        self._routes: dict[str, Route] = {
            f"{V4_PATH}/candles": self._candles,
            f"{V4_PATH}/tickers": lambda query, now: endpoints.tickers(self.book, query, now),
            f"{V4_PATH}/symbols": self._symbols,
            _PRICES: lambda query, now: price_wire.simple_price(self.prices, query, now),
        }

    @property
    def server_name(self) -> str:
        """What the `Server` header says: that this is a stand-in, and of which kind."""
        return f"mms-sandbox ({self.book.kind})"

    @property
    def requests(self) -> tuple[Asked, ...]:
        """The newest requests (at most MEMORY), oldest first, refused ones included."""
        with self._lock:
            return tuple(self._asked)

    def forget_requests(self) -> None:
        """Empty the memory of requests."""
        with self._lock:
            self._asked.clear()

    def answer(self, target: str) -> Reply:
        """The reply to a GET of `target`, the path and query of a URL."""
        now = self.clock()
        try:
            parts = urlsplit(target)
            query = dict(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=100))
        except ValueError:  # not a URL at all
            return wire.ROUTE_NOT_FOUND
        address, route = self._route(parts.path)
        with self._lock:
            self._asked.append(Asked(now, parts.path, query))
            if not self._within_rate(address):
                return price_wire.THROTTLED if address == _PRICES else _RATE_EXCEEDED
        try:
            return route(query, now)
        except Refused as refusal:
            return refusal.reply

    def _route(self, path: str) -> tuple[str, Route]:
        """What answers at this path, and the address that its requests are counted under."""
        legacy = _LEGACY_CANDLES.fullmatch(path)
        if legacy is not None:
            name = legacy[1]
            return LEGACY_PATH, lambda query, now: endpoints.legacy_candles(
                self.book, name, query, now, self._page_limit
            )
        address = path.removesuffix("/") if path.startswith(_PRICES) else path
        if address in self._routes:
            return address, self._routes[address]
        if path.startswith(f"{COINGECKO_PATH}/"):
            return "", lambda _query, _now: price_wire.ROUTE_NOT_FOUND
        return "", lambda _query, _now: wire.ROUTE_NOT_FOUND

    def _candles(self, query: Query, now: float) -> Reply:
        return endpoints.candles(self.book, query, now, self._page_limit)

    def _symbols(self, query: Query, _now: float) -> Reply:
        with self._lock:
            self._turn += 1
            turn = self._turn
        return endpoints.symbols(self.book, query, turn)

    def _within_rate(self, address: str) -> bool:
        """Take one request's credit of the address; credit grows with time, up to one second's."""
        if self._rate is None:
            return True
        most = max(1.0, self._rate)
        tick = self._ticks()
        credit, since = self._credit.get(address, (most, tick))
        credit = min(most, credit + (tick - since) * self._rate)
        allowed = credit >= 1.0 - _EARLY
        self._credit[address] = (max(0.0, credit - 1.0) if allowed else credit, tick)
        return allowed
