"""The stand-in exchange as an object: its books, clock, faults and request log.

It has no sockets: `answer` turns an address into a reply, and `app.sandbox.server` serves it.

Observed or documented at the real exchange: the meaning of `to` and `from`, the codes for a wrong
symbol, the message for a wrong resolution. Inferred: the codes for other wrong parameters, the
newest page for a request without `from`, every reply to a wrong legacy request.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from app.core.market import Interval, Series
from app.core.ports import Clock
from app.sandbox import wire
from app.sandbox.book import Bar, CandleBook, EditableBook, newest
from app.sandbox.fault_kinds import Fault, Status, Value
from app.sandbox.faults import FaultBoard
from app.sandbox.prices import PriceBook, SimulatedPrices
from app.sandbox.wire import Reply

V4_PATH: Final = "/api/v4"
"""Path of the v4 API: the base URL of `mercado_bitcoin` is the server's address plus this."""

LEGACY_PATH: Final = "/v4"
"""Path of the legacy API: the base URL of `mercado_bitcoin_legacy` ends in this."""

COINGECKO_PATH: Final = "/api/v3"
"""Path of CoinGecko's API: COINGECKO_API_BASE_URL is the server's address plus this."""

PAGE_LIMIT: Final = 1000
MEMORY: Final = 10_000

_LEGACY_CANDLES: Final = re.compile(re.escape(LEGACY_PATH) + r"/([^/]+)/candle")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_RESOLUTIONS: Final = "1m, 15m, 1h, 3h, 1d, 1w, 1M(for months)"

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived; `at` is the exchange's own time in unix seconds."""

    at: float
    path: str
    query: Query


class Refused(Exception):
    """The request is wrong, and `reply` says how."""

    def __init__(self, error: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        code = error if "|" in error else f"PUBLIC_DATA|LIST_CANDLES|{error}"
        self.reply = wire.problem(code, message, status)


class Exchange:
    """A stand-in for Mercado Bitcoin and CoinGecko. Safe to use from several threads.

    `clock` is the exchange's time: it decides which candles have begun and is every reply's `Date`.
    `prices` are the spot prices, by default simulated with seed 1. `faults` may change at any time.
    """

    def __init__(self, book: CandleBook, *, clock: Clock, prices: PriceBook | None = None) -> None:
        self.book = EditableBook(book)
        self.prices = prices or SimulatedPrices()
        self.faults = FaultBoard()
        self.clock = clock
        self._lock = threading.Lock()
        self._requests: deque[Request] = deque(maxlen=MEMORY)

    @property
    def requests(self) -> tuple[Request, ...]:
        """The newest requests (at most MEMORY), oldest first, refused ones included."""
        with self._lock:
            return tuple(self._requests)

    def forget_requests(self) -> None:
        """Empty the request log."""
        with self._lock:
            self._requests.clear()

    def answer(self, target: str) -> Reply:
        """The reply to a GET of `target`, the path and query of a URL."""
        now = self.clock()
        try:
            parts = urlsplit(target)
            query = dict(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=100))
        except ValueError:  # not a URL at all
            return wire.ROUTE_NOT_FOUND
        with self._lock:
            self._requests.append(Request(now, parts.path, query))
        due = self.faults.due(target)
        alone = next((fault for fault in due if fault.alone), None)
        if isinstance(alone, Status):
            return alone.reply(target, now)
        try:
            reply = self._true_reply(parts.path, query, now, due)
        except Refused as refusal:
            reply = refusal.reply
        return reply if alone is None else replace(reply, send=alone.send)

    def _true_reply(self, path: str, query: Query, now: float, due: Sequence[Fault]) -> Reply:
        legacy = _LEGACY_CANDLES.fullmatch(path)
        if legacy is not None:
            return wire.legacy_candles(self._legacy_candles(legacy[1], query, now, due), int(now))
        if path == f"{V4_PATH}/candles":
            return wire.columns(self._v4_candles(query, now, due))
        if path == f"{V4_PATH}/symbols":
            return wire.symbols(self.book.pairs)
        if path.rstrip("/") == f"{COINGECKO_PATH}/simple/price":
            return self._spot_prices(query, now)
        if path.startswith(COINGECKO_PATH):
            return wire.as_json({"error": "Incorrect path"}, 404)
        return wire.ROUTE_NOT_FOUND

    def _v4_candles(self, query: Query, now: float, due: Sequence[Fault]) -> Sequence[Bar]:
        """The newest page up to `to`, inclusive."""
        pair = {pair.symbol: pair for pair in self.book.pairs}.get(query.get("symbol", ""))
        if pair is None:
            raise Refused("SYMBOL_IS_INVALID", "This symbol is invalid or not found")
        interval = _interval(query.get("resolution", ""))
        if interval is None:
            words = f"The param {{resolution}} must be one of {_RESOLUTIONS}"
            raise Refused("RESOLUTION_IS_INVALID", words)
        first = _integer(query, "from") if query.get("from") else 0
        return self._bars(Series(pair, interval), first, _integer(query, "to"), now, due)

    def _legacy_candles(
        self, name: str, query: Query, now: float, due: Sequence[Fault]
    ) -> Sequence[Bar]:
        """The newest page from `from` up to `to`; a candle that began before `from` is left out."""
        pair = {pair.legacy: pair for pair in self.book.pairs}.get(unquote(name))
        if pair is None:
            raise Refused("API|COIN_NOT_FOUND", "This coin not found", 404)
        interval = _interval(query.get("precision", ""))
        if interval is None:
            raise Refused("PRECISION_IS_INVALID", "The param {precision} is invalid")
        first, last = _integer(query, "from"), _integer(query, "to")
        return self._bars(Series(pair, interval), first, last, now, due)

    def _bars(
        self,
        series: Series,
        first: int,
        last: int,
        now: float,
        due: Sequence[Fault],
    ) -> Sequence[Bar]:
        bars = newest(self.book, series, max(0, first), last, now, PAGE_LIMIT)
        # Raw text comes last: nothing can be computed with it.
        for fault in sorted(due, key=lambda fault: isinstance(fault, Value)):
            bars = list(fault.candles(bars))
        return bars

    def _spot_prices(self, query: Query, now: float) -> Reply:
        """CoinGecko's `/simple/price`, full precision; unknown ids and currencies are left out."""
        for name in ("ids", "vs_currencies"):
            if not query.get(name, "").strip():
                return wire.as_json({"error": f"Missing parameter {name}"}, 422)
        ids = list(dict.fromkeys(item.strip() for item in query["ids"].split(",")))
        currencies = [item.strip().lower() for item in query["vs_currencies"].split(",")]
        timed = query.get("include_last_updated_at", "").lower() == "true"
        coins = {}
        for coin_id, quote in self.prices.quotes(ids, now).items():
            coins[coin_id] = {
                name: quote.prices[name] for name in currencies if name in quote.prices
            }
            if timed:
                at = quote.updated_at
                coins[coin_id]["last_updated_at"] = None if at is None else Decimal(at)
        return wire.spot_prices(coins)


def _interval(name: str) -> Interval | None:
    return next((item for item in Interval if item.value == name), None)


def _integer(query: Query, name: str) -> int:
    text = query.get(name, "")
    if _INTEGER.fullmatch(text) is None:
        raise Refused(f"{name.upper()}_IS_INVALID", f"The param {{{name}}} must be an integer")
    return int(text)
