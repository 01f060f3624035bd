"""Where the stand-in's spot prices come from: the simulated market, or a file of recorded replies."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from app.core.errors import ConfigurationError
from app.core.market import Interval, Pair
from app.core.prices import COIN_IDS, Coin
from app.sandbox.book import newest
from app.sandbox.prices import PriceBook, Quote
from app.sandbox.simulation import BASE_PRICES, Simulation

USUAL_COINS: Final = tuple(Coin(symbol, coin_id) for symbol, coin_id in COIN_IDS.items())

BRL_PER: Final = {"usd": BASE_PRICES[Pair("USDT", "BRL")], "eur": Decimal(6)}
"""Fixed rates, so that a coin moves alike in all currencies. BTC wanders around 109,000 USD."""

# As many digits as a binary float shows, which is what CoinGecko's full precision is.
_FULL: Final = Context(prec=16)

_GOOD: Final = 200

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
                found[coin_id] = _quoted(reply[coin_id], now)
        return found


class RecordedCoins:
    """Recorded replies about single coins: each coin's prices in turn, in each currency by itself.

    Whoever recorded them asked now for this coin and now for that one. So the first request for a coin
    gets the first price recorded in each currency, the next one the second, the last one for ever.
    """

    def __init__(self, replies: Iterable[Table]) -> None:
        self._recorded: dict[str, dict[str, list[Any]]] = {}
        for reply in replies:
            for coin_id, entry in reply.items():
                coin = self._recorded.setdefault(coin_id, {})
                for name, value in entry.items():
                    coin.setdefault(name, []).append(value)
        self._lock = threading.Lock()
        self._turns: Counter[str] = Counter()

    def quotes(self, ids: Iterable[str], now: float) -> Mapping[str, Quote]:
        """See PriceBook.quotes. Where nobody recorded `last_updated_at`, it is `now`."""
        found = {}
        for coin_id in ids:
            if coin_id in self._recorded:
                with self._lock:
                    turn = self._turns[coin_id]
                    self._turns[coin_id] += 1
                columns = self._recorded[coin_id].items()
                entry = {name: values[min(turn, len(values) - 1)] for name, values in columns}
                found[coin_id] = _quoted(entry, now)
        return found


def read_prices(path: Path, note: Callable[[str], None] = lambda _: None) -> PriceBook:
    """Read a file with one reply of `/simple/price` in each line, or one recorded interaction.

    An interaction is an object with the `url`, `status` and `body` of one; those that are no good reply
    of `/simple/price` are left out, and `note` is told how many. Raises ConfigurationError: one line
    with the file, its line and the problem.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is no text in UTF-8") from error
    numbered = [(f"{path}: line {n}", line) for n, line in enumerate(lines, 1) if line.strip()]
    read = [(where, _object(line, where)) for where, line in numbered]
    recorded = [item for item in read if _is_interaction(item[1])]
    if recorded and len(recorded) < len(read):
        raise ConfigurationError(f"{path}: holds both replies and interactions; give one kind only")
    if not recorded:
        if not read:
            raise ConfigurationError(f"{path}: holds no reply; write one JSON object in each line")
        return RecordedPrices([_table(reply, where) for where, reply in read])
    prices = [
        _table(_object(item["body"], where), where) for where, item in recorded if _has_prices(item)
    ]
    if not prices:
        raise ConfigurationError(f"{path}: holds no interaction with a reply of /simple/price")
    if len(prices) < len(recorded):
        note(
            f"{path}: {len(recorded) - len(prices)} of {len(recorded)} interactions are no prices and "
            "are left out"
        )
    return RecordedCoins(prices)


def _is_interaction(item: Mapping[str, Any]) -> bool:
    return isinstance(item.get("url"), str) and isinstance(item.get("body"), str)


def _has_prices(item: Mapping[str, Any]) -> bool:
    path = urlsplit(item["url"]).path.rstrip("/")
    return path.endswith("/simple/price") and bool(item.get("status", _GOOD) == _GOOD)


def _quoted(entry: Mapping[str, Any], now: float) -> Quote:
    """A recorded entry as a quote, of `now` where it has no time of its own."""
    prices = dict(entry)
    at = prices.pop("last_updated_at", int(now))
    return Quote(prices, at if at is None else int(at))


def _object(line: str, where: str) -> dict[str, Any]:
    def refuse(constant: str) -> NoReturn:
        raise ConfigurationError(f"{where}: {constant} is not a number of JSON")

    try:
        # Through a binary float a price would lose its recorded digits.
        reply = json.loads(line, parse_float=Decimal, parse_int=Decimal, parse_constant=refuse)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{where}: is not valid JSON ({error})") from error
    if not isinstance(reply, dict):
        raise ConfigurationError(f"{where}: is no JSON object")
    return reply


def _table(reply: Mapping[str, Any], where: str) -> Table:
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
