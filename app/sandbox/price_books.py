"""Where the stand-in's spot prices come from: the simulated market, or a file of recorded replies."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, Final, NoReturn

from app.core.errors import ConfigurationError
from app.core.market import Interval, Pair
from app.core.prices import COIN_IDS, Coin
from app.sandbox.book import newest
from app.sandbox.prices import Quote
from app.sandbox.simulation import BASE_PRICES, Simulation

USUAL_COINS: Final = tuple(Coin(symbol, coin_id) for symbol, coin_id in COIN_IDS.items())

BRL_PER: Final = {"usd": BASE_PRICES[Pair("USDT", "BRL")], "eur": Decimal(6)}
"""Fixed rates, so that a coin moves alike in all currencies. BTC wanders around 109,000 USD."""

# As many digits as a binary float shows, which is what CoinGecko's full precision is.
_FULL: Final = Context(prec=16)

Table = Mapping[str, Mapping[str, Any]]


class SimulatedPrices:
    """The newest trade of each coin in the simulated market, in `brl`, `usd` and `eur`.

    With the seed of the simulated candles the prices in `brl` are those that the candles end with.
    They change with each minute that has a trade, and depend on seed and minute alone.
    """

    def __init__(self, seed: int = 1, coins: Iterable[Coin] = USUAL_COINS) -> None:
        self._pairs = {coin.id: Pair(coin.symbol, "BRL") for coin in coins}
        self._market = Simulation(seed, dict.fromkeys(self._pairs.values()))

    def quotes(self, ids: Iterable[str], now: float) -> Mapping[str, Quote]:
        """See PriceBook.quotes."""
        found = {}
        for coin_id in ids:
            pair = self._pairs.get(coin_id)
            bars = pair and newest(self._market, pair, Interval.MINUTE, 0, int(now), now, 1)
            if bars:
                brl = bars[-1].close
                others = {name: _FULL.divide(brl, rate) for name, rate in BRL_PER.items()}
                found[coin_id] = Quote({"brl": brl, **others}, bars[-1].stamp)
        return found


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
        found = {}
        for coin_id in ids:
            if coin_id in reply:
                entry = dict(reply[coin_id])
                at = entry.pop("last_updated_at", int(now))
                found[coin_id] = Quote(entry, at if at is None else int(at))
        return found


def read_prices(path: Path) -> RecordedPrices:
    """Read a file with one reply of `/simple/price` in each line.

    Raises ConfigurationError: one line with the file, its line and the problem.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is no text in UTF-8") from error
    replies = [_table(line, f"{path}: line {n}") for n, line in enumerate(lines, 1) if line.strip()]
    if not replies:
        raise ConfigurationError(f"{path}: holds no reply; write one JSON object in each line")
    return RecordedPrices(replies)


def _table(line: str, where: str) -> Table:
    def refuse(constant: str) -> NoReturn:
        raise ConfigurationError(f"{where}: {constant} is not a number of JSON")

    try:
        # Through a binary float a price would lose its recorded digits.
        reply = json.loads(line, parse_float=Decimal, parse_int=Decimal, parse_constant=refuse)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{where}: is not valid JSON ({error})") from error
    if not isinstance(reply, dict):
        raise ConfigurationError(f"{where}: is no JSON object")
    for coin_id, entry in reply.items():
        if not isinstance(entry, dict) or not all(
            value is None or isinstance(value, Decimal) for value in entry.values()
        ):
            raise ConfigurationError(
                f"{where}: {coin_id!r} must be an object of numbers and nulls, such as "
                '{"usd": 67187.33, "last_updated_at": 1711356300}'
            )
        at = entry.get("last_updated_at")
        if at is not None and at != at.to_integral_value():
            raise ConfigurationError(f"{where}: last_updated_at of {coin_id!r} is no whole number")
    return reply
