"""The stand-in exchange as an object: its books, clock, faults, and a memory of requests.

It knows nothing of sockets: `answer` turns an address into a reply. `app.sandbox.server` puts it on
a port.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from app.core.market import Interval
from app.core.ports import Clock
from app.sandbox import control, endpoints, fault_candles, fault_replies, price_wire, wire
from app.sandbox.book import Bar, CandleBook, EditableBook
from app.sandbox.endpoints import Query, Refused
from app.sandbox.fault_parameters import CANDLES, PRICES, TICKERS, Acts
from app.sandbox.faults import Fault, FaultBoard
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
_SUBJECTS: Final = {
    LEGACY_PATH: CANDLES,
    f"{V4_PATH}/candles": CANDLES,
    f"{V4_PATH}/tickers": TICKERS,
    _PRICES: PRICES,
}
_RATE_EXCEEDED: Final = wire.problem("REQUEST_RATE_EXCEEDED", "Too many requests", status=429)
# A client that keeps to the rate exactly arrives a little early now and then: sleeping and the
# network are not exact. Refusing it would punish the well-behaved.
_EARLY: Final = 0.05

Route = Callable[[Query, float, Sequence[Fault]], Reply]


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
    `faults` is the board of what is to go wrong, and may change at any time.
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
        self.faults = FaultBoard(ticks)
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
            f"{V4_PATH}/tickers": self._tickers,
            f"{V4_PATH}/symbols": self._symbols,
            _PRICES: self._spot_prices,
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
        subject = _SUBJECTS.get(address, "")
        with self._lock:
            self._asked.append(Asked(now, parts.path, query))
            if not self._within_rate(address):
                return price_wire.THROTTLED if address == _PRICES else _RATE_EXCEEDED
        faults = self.faults.due(target, subject)
        reply = self._reply(route, query, now, faults, subject)
        sending = next((fault for fault in faults if fault.kind.acts is Acts.SENDING), None)
        return replace(reply, sending=sending)

    def controlled(self, method: str, target: str, body: bytes) -> Reply | None:
        """The reply to a request to the control endpoint, None where `target` is none of it.

        These requests are neither remembered nor counted, and no fault hits them.
        """
        path = target.partition("?")[0]
        if not path.startswith(control.PREFIX):
            return None
        return control.control(self.faults, method, path, body)

    def _reply(
        self, route: Route, query: Query, now: float, faults: Sequence[Fault], subject: str
    ) -> Reply:
        for fault in faults:
            if fault.kind.acts is Acts.REPLY:
                return fault_replies.replaced(fault, subject, now)
        try:
            reply = route(query, now, faults)
        except Refused as refusal:
            return refusal.reply
        for fault in faults:
            if fault.kind.acts is Acts.BODY:
                reply = fault_replies.with_other_body(fault, reply)
        return reply

    def _route(self, path: str) -> tuple[str, Route]:
        """What answers at this path, and the address that its requests are counted under."""
        legacy = _LEGACY_CANDLES.fullmatch(path)
        if legacy is not None:
            name = legacy[1]
            return LEGACY_PATH, lambda query, now, faults: endpoints.legacy_candles(
                self._book(faults), name, query, now, self._page_limit, _distort(faults)
            )
        address = path.removesuffix("/") if path.startswith(_PRICES) else path
        if address in self._routes:
            return address, self._routes[address]
        if path.startswith(f"{COINGECKO_PATH}/"):
            return "", lambda *_: price_wire.ROUTE_NOT_FOUND
        return "", lambda *_: wire.ROUTE_NOT_FOUND

    def _book(self, faults: Sequence[Fault]) -> CandleBook:
        factor = fault_candles.factor_of(faults)
        return self.book if factor == 1 else fault_candles.ScaledBook(self.book, factor)

    def _candles(self, query: Query, now: float, faults: Sequence[Fault]) -> Reply:
        book = self._book(faults)
        return endpoints.candles(book, query, now, self._page_limit, _distort(faults))

    def _tickers(self, query: Query, now: float, faults: Sequence[Fault]) -> Reply:
        return endpoints.tickers(self._book(faults), query, now)

    def _spot_prices(self, query: Query, now: float, faults: Sequence[Fault]) -> Reply:
        factor = fault_candles.factor_of(faults)
        scaled = self.prices if factor == 1 else fault_candles.ScaledPrices(self.prices, factor)
        return price_wire.simple_price(scaled, query, now)

    def _symbols(self, query: Query, _now: float, _faults: Sequence[Fault]) -> Reply:
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


def _distort(faults: Sequence[Fault]) -> endpoints.Distort:
    """What these faults do to the candles of a reply."""

    def distort(bars: Sequence[Bar], interval: Interval, now: float) -> Sequence[Bar]:
        return fault_candles.distorted(faults, bars, interval, now)

    return distort
