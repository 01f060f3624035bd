"""Where the stand-in's spot prices come from: the simulated market, or a file of recorded replies."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from app.core.errors import ConfigurationError
from app.core.market import Interval, Pair
from app.core.prices import COIN_IDS, Coin
from app.sandbox.book import newest
from app.sandbox.prices import PriceBook, Quote
from app.sandbox.simulation import BASE_PRICES, Simulation

BRL_PER: Final = {"usd": BASE_PRICES[Pair("USDT", "BRL")], "eur": Decimal(6)}
"""Fixed rates, so that a coin moves alike in all currencies. BTC wanders around 109,000 USD."""

_USUAL_COINS: Final = tuple(Coin(symbol, coin_id) for symbol, coin_id in COIN_IDS.items())
_FULL: Final = Context(prec=16)  # as many digits as CoinGecko's full precision shows

Table = dict[str, dict[str, Decimal | None]]


class SimulatedPrices:
    """The newest trade of each coin in the simulated market, in `brl`, `usd` and `eur`.

    With the seed of the simulated candles the prices in `brl` are those that the candles end with.
    They change with each minute that has a trade, and depend on seed and minute alone.
    """

    def __init__(self, seed: int = 1, coins: Iterable[Coin] = _USUAL_COINS) -> None:
        self._pairs = {coin.id: Pair(coin.symbol, "BRL") for coin in coins}
        self._market = Simulation(seed, dict.fromkeys(self._pairs.values()))

    def quotes(self, ids: Iterable[str], now: float) -> Mapping[str, Quote]:
        """See PriceBook.quotes."""
        quotes = {}
        for coin_id in ids:
            pair = self._pairs.get(coin_id)
            bars = pair and newest(self._market, pair, Interval.MINUTE, 0, int(now), now, 1)
            if bars:
                brl = bars[-1].close
                others = {name: _FULL.divide(brl, rate) for name, rate in BRL_PER.items()}
                quotes[coin_id] = Quote({"brl": brl, **others}, bars[-1].stamp)
        return quotes


class RecordedPrices:
    """Recorded replies, one for each request in turn, the last one for ever."""

    def __init__(self, replies: Sequence[Table]) -> None:
        self._replies = replies
        self._lock = threading.Lock()
        self._turn = 0

    def quotes(self, ids: Iterable[str], now: float) -> Mapping[str, Quote]:
        """See PriceBook.quotes. Where a recorded coin has no `last_updated_at`, it is `now`."""
        with self._lock:
            reply = self._replies[min(self._turn, len(self._replies) - 1)]
            self._turn += 1
        quotes = {}
        for coin_id in ids:
            if coin_id in reply:
                prices = dict(reply[coin_id])
                at = prices.pop("last_updated_at", Decimal(int(now)))
                quotes[coin_id] = Quote(prices, None if at is None else int(at))
        return quotes


def read_prices(path: Path) -> PriceBook:
    """Read a file with one reply of `/simple/price` in each line, or one recorded interaction.

    An interaction is an object with the `url`, `status` and `body` of one, about a single coin; those
    that are no good reply of `/simple/price` are left out. Raises ConfigurationError: one line with the
    file, its line and the problem.
    """
    replies: list[Table] = []
    interactions: list[Table] = []
    try:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            where = f"{path}: line {number}"
            if line.strip():
                reply = _object(line, where)
                if not isinstance(reply.get("url"), str):
                    replies.append(_table(reply, where))
                elif _has_prices(reply):
                    interactions.append(_table(_object(reply["body"], where), where))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({error})") from error
    if not replies and not interactions:
        raise ConfigurationError(f"{path}: holds no reply of /simple/price")
    return RecordedPrices([*replies, *_merged(interactions)])


def _merged(interactions: Iterable[Table]) -> list[Table]:
    """Replies about all coins, the first with the first price recorded of each in each currency, and so
    on: whoever recorded them asked now for this coin and now for that one."""
    columns: dict[tuple[str, str], list[Decimal | None]] = {}
    for table in interactions:
        for coin_id, entry in table.items():
            for name, value in entry.items():
                columns.setdefault((coin_id, name), []).append(value)
    length = max((len(column) for column in columns.values()), default=0)
    replies: list[Table] = [{} for _ in range(length)]
    for (coin_id, name), column in columns.items():
        for turn, reply in enumerate(replies):
            reply.setdefault(coin_id, {})[name] = column[min(turn, len(column) - 1)]
    return replies


def _has_prices(item: Mapping[str, Any]) -> bool:
    path = urlsplit(item["url"]).path.rstrip("/")
    return path.endswith("/simple/price") and item.get("status") in (None, 200)


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        # Through a binary float a price would lose its recorded digits.
        reply = json.loads(line, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{where}: is not valid JSON ({error})") from error
    if not isinstance(reply, dict):
        raise ConfigurationError(f"{where}: is no JSON object")
    return reply


def _table(reply: dict[str, Any], where: str) -> Table:
    for coin_id, entry in reply.items():
        values = entry.values() if isinstance(entry, dict) else ["none"]
        if not all(value is None or isinstance(value, Decimal) for value in values):
            raise ConfigurationError(
                f"{where}: {coin_id!r} must be an object of numbers and nulls, such as "
                '{"usd": 67187.33, "last_updated_at": 1711356300}'
            )
    return reply
