"""Spot prices of the stand-in: simulated, or from a file of recorded replies.

Recorded prices may be wrong, as candles may: the reader must refuse them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from app.core.errors import ConfigurationError
from app.core.market import Interval, Pair, Series
from app.core.prices import COIN_IDS, Coin
from app.sandbox.book import newest
from app.sandbox.simulation import BASE_PRICES, Simulation

BRL_PER: Final = {"usd": BASE_PRICES[Pair("USDT", "BRL")], "eur": Decimal(6)}
"""Fixed rates, so that a coin moves alike in all currencies. BTC stays around 109,000 USD."""

_USUAL_COINS: Final = tuple(Coin(symbol, coin_id) for symbol, coin_id in COIN_IDS.items())
_FULL: Final = Context(prec=16)  # as many digits as CoinGecko's full precision shows
_TIME: Final = "last_updated_at"


@dataclass(frozen=True, slots=True)
class Quote:
    """One coin's prices by currency, and their own time in unix seconds; None is sent as null."""

    prices: Mapping[str, Decimal | None]
    updated_at: int | None


class PriceBook(Protocol):
    """A source of spot prices for the stand-in exchange."""

    def quotes(self, ids: Iterable[str], now: float) -> Mapping[str, Quote]:
        """The quotes of these coins at `now` (unix seconds); unknown coins are left out."""
        ...


class SimulatedPrices:
    """The newest trade of each coin in the simulated market, in `brl`, `usd` and `eur`.

    With the same seed, a price in `brl` is the close of the newest simulated candle. Prices change
    with each minute that has a trade, and depend on seed and minute alone.
    """

    def __init__(self, seed: int = 1, coins: Iterable[Coin] = _USUAL_COINS) -> None:
        self._pairs = {coin.id: Pair(coin.symbol, "BRL") for coin in coins}
        self._market = Simulation(seed, dict.fromkeys(self._pairs.values()))

    def quotes(self, ids: Iterable[str], now: float) -> Mapping[str, Quote]:
        """See PriceBook.quotes."""
        quotes = {}
        for coin_id in ids:
            pair = self._pairs.get(coin_id)
            bars = pair and newest(self._market, Series(pair, Interval.MINUTE), 0, int(now), now, 1)
            if bars:
                brl = bars[-1].close
                others = {name: _FULL.divide(brl, rate) for name, rate in BRL_PER.items()}
                quotes[coin_id] = Quote({"brl": brl, **others}, bars[-1].stamp)
        return quotes


class SpikedPrices:
    """Prices of which one coin's jumps after the first answer that has it.

    The jump is a quotation of its own, multiplied by `factor`. It stays for `seconds`.
    """

    def __init__(self, base: PriceBook, coin: Coin, factor: Decimal, seconds: int) -> None:
        self._base = base
        self._coin_id = coin.id
        self._factor = factor
        self._seconds = seconds
        self._lock = threading.Lock()
        self._jumps_next = False
        self._spike: tuple[float, Quote] | None = None

    def quotes(self, ids: Iterable[str], now: float) -> Mapping[str, Quote]:
        """See PriceBook.quotes."""
        quotes = dict(self._base.quotes(ids, now))
        usual = quotes.get(self._coin_id)
        if usual is not None:
            quotes[self._coin_id] = self._spiked(usual, now)
        return quotes

    def _spiked(self, usual: Quote, now: float) -> Quote:
        with self._lock:
            if not self._jumps_next:
                self._jumps_next = True
                return usual
            if self._spike is None:
                prices = {
                    name: price and _FULL.multiply(price, self._factor)
                    for name, price in usual.prices.items()
                }
                self._spike = now, Quote(prices, int(now))
            begun, spike = self._spike
        return spike if now < begun + self._seconds else usual


class RecordedPrices:
    """Recorded prices by coin and currency: each request gets the next, then always the last."""

    def __init__(self, columns: Mapping[str, Mapping[str, Sequence[Decimal | None]]]) -> None:
        self._columns = columns
        self._lock = threading.Lock()
        self._turn = 0

    def quotes(self, ids: Iterable[str], now: float) -> Mapping[str, Quote]:
        """See PriceBook.quotes. Where a recorded coin has no `last_updated_at`, it is `now`."""
        with self._lock:
            turn, self._turn = self._turn, self._turn + 1
        quotes = {}
        for coin_id in ids:
            if coin_id in self._columns:
                columns = self._columns[coin_id].items()
                prices = {name: values[: turn + 1][-1] for name, values in columns}
                at = prices.pop(_TIME, Decimal(int(now)))
                quotes[coin_id] = Quote(prices, None if at is None else int(at))
        return quotes


def read_prices(path: Path) -> PriceBook:
    """Read a file with one reply of `/simple/price` in each line, or one recorded interaction.

    An interaction is an object with `url`, `status` and `body`. Those of other paths or another
    status than 200 are left out. Raises ConfigurationError: one line with the file and the problem.
    """
    columns: dict[str, dict[str, list[Decimal | None]]] = {}
    where = str(path)
    try:
        for number, line in enumerate(path.read_text("utf-8-sig").split("\n"), 1):
            where = f"{path}: line {number}"
            for coin_id, entry in _table(line).items():
                for name, value in entry.items():
                    if value is not None and not isinstance(value, Decimal):
                        raise ValueError(f"{coin_id!r} has a price that is no number")
                    columns.setdefault(coin_id, {}).setdefault(name, []).append(value)
    except (OSError, ValueError, AttributeError, KeyError, RecursionError) as error:
        raise ConfigurationError(f"{where}: is no reply of /simple/price ({error})") from error
    if not columns:
        raise ConfigurationError(f"{path}: holds no reply of /simple/price")
    return RecordedPrices(columns)


def _table(line: str) -> dict[str, Any]:
    """The prices of one line by coin and currency; empty for another path or status."""
    reply: dict[str, Any] = _exact(line) if line.strip() else {}
    if not isinstance(reply.get("url"), str):
        return reply
    is_price = urlsplit(reply["url"]).path.rstrip("/").endswith("/simple/price")
    return _exact(reply["body"]) if is_price and reply["status"] == 200 else {}


def _exact(text: str) -> Any:
    # A binary float would lose recorded digits.
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)
