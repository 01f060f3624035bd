"""Spot prices: the coins, a price as reported by a source, and a price as stored.

Prices are exact decimal numbers (`Exact`), times unix seconds UTC.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol

from app.core import names
from app.core.errors import InvalidParameter, UnsupportedSymbol
from app.core.market import Exact

COIN_IDS: Final = {
    "BTC": "bitcoin",
    "ETH": "ethereum",
    "SOL": "solana",
    "ADA": "cardano",
    "DOT": "polkadot",
}
"""CoinGecko's ids by symbol. Other coins are written SYMBOL:id in ALLOWED_SYMBOLS."""

_NUMBER: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?", re.ASCII)
_SHOWN: Final = 40
_PLACES: Final = 8

HIGHEST_THRESHOLD: Final = 1_000
"""The highest relative change that can be a threshold: a thousandfold."""

ALLOWED_THRESHOLDS: Final = (
    f"Write a fraction above 0 and at most {HIGHEST_THRESHOLD} with up to {_PLACES} decimal places, "
    "such as 0.05 for 5 %."
)

THRESHOLD_SCHEMA: Final = {
    "type": "string",
    "pattern": (
        rf"^(?!0+(?:\.0+)?$)(?:[0-9]{{1,3}}(?:\.[0-9]{{1,{_PLACES}}})?"
        rf"|{HIGHEST_THRESHOLD}(?:\.0{{1,{_PLACES}}})?)$"
    ),
}
"""What `parse_threshold` reads, as a JSON schema. It reads more zeros before and after, too."""

_WRITE_THRESHOLDS: Final = "write one for all symbols and, if needed, others by name: 0.05,ADA:0.1"


def spelt(name: str) -> str:
    """Normalise a symbol in any case to upper case; empty where the text cannot be a symbol."""
    try:
        return names.symbol(name)
    except names.UnusableName:
        return ""


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin whose spot price is collected: our symbol (`BTC`) and CoinGecko's id (`bitcoin`)."""

    symbol: str
    id: str

    def __str__(self) -> str:
        return self.symbol

    @classmethod
    def parse(cls, text: str) -> Coin:
        """Read `BTC`, or `XRP:ripple` for a coin that is not in COIN_IDS.

        The symbol is ours to choose; CoinGecko is asked for the id. Raises UnsupportedSymbol where
        the text is neither.
        """
        name, colon, source_id = text.strip().partition(":")
        part = "symbol"
        try:
            symbol = names.symbol(name)
            part = "id"
            return cls(symbol, names.coin_id(source_id if colon else COIN_IDS[symbol]))
        except KeyError:
            problem = "is not a known symbol"
        except names.UnusableName as error:
            problem = f"is not a known symbol (its {part} {error})"
        raise UnsupportedSymbol(
            f"{text!r} {problem}: write one of {', '.join(COIN_IDS)}, or SYMBOL:id with a symbol of "
            f"your choice of up to {names.LONGEST_SYMBOL} characters and CoinGecko's id, neither "
            "with a comma, such as XRP:ripple."
        )


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The largest normal relative change of a price: for all symbols, and for some by name."""

    default: Decimal
    by_symbol: tuple[tuple[str, Decimal], ...] = ()

    def __str__(self) -> str:
        named = (f"{symbol}:{value}" for symbol, value in self.by_symbol)
        return ",".join([str(self.default), *named])

    def of(self, symbol: str) -> Decimal:
        """The threshold of one symbol."""
        return dict(self.by_symbol).get(symbol, self.default)

    @classmethod
    def parse(cls, text: str) -> Thresholds:
        """Read `0.05`, or `0.05,ADA:0.1` with separate thresholds for some symbols.

        Does not check whether those symbols are configured. Raises InvalidParameter.
        """
        thresholds: dict[str, Decimal] = {}
        for item in text.split(","):
            name, colon, number = item.strip().rpartition(":")
            symbol = spelt(name)
            if symbol in thresholds or (colon and not symbol):
                raise InvalidParameter(
                    f"{item.strip()!r} is for no symbol, or for one a second time: {_WRITE_THRESHOLDS}"
                )
            thresholds[symbol] = parse_threshold(number.strip())
        default = thresholds.pop("", None)
        if default is None:
            raise InvalidParameter(f"no threshold for all symbols: {_WRITE_THRESHOLDS}")
        return cls(default, tuple(sorted(thresholds.items())))


def parse_threshold(value: str, name: str = "threshold") -> Decimal:
    """Read a threshold, `0.05` for 5 %.

    `name` is its parameter or setting. Raises InvalidParameter, which names it.
    """
    number = Decimal(value) if _NUMBER.fullmatch(value) else None
    if number is None:
        problem = "is not a plain decimal number"
    elif number <= 0:
        problem = "is not above 0"
    elif number > HIGHEST_THRESHOLD:
        problem = f"is above {HIGHEST_THRESHOLD}"
    elif round(number, _PLACES) != number:
        problem = f"has more than {_PLACES} decimal places"
    else:
        return number
    shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
    raise InvalidParameter(f"{name}={shown!r} {problem}. {ALLOWED_THRESHOLDS}")


@dataclass(frozen=True, slots=True)
class SpotPrice:
    """A coin's price as reported by a source: in `currency`, as of `priced_at`."""

    coin: Coin
    price: Exact
    currency: str
    priced_at: int


@dataclass(frozen=True, slots=True)
class RefusedPrice:
    """A coin without a usable price, and the reason as a sentence."""

    coin: Coin
    reason: str


@dataclass(frozen=True, slots=True)
class PriceReply:
    """One reply about several coins; each requested coin is in exactly one of the two.

    `received_at` is when it came: by our clock, or by the source's where ours is known to be off.
    """

    prices: tuple[SpotPrice, ...]
    refused: tuple[RefusedPrice, ...]
    received_at: int


@dataclass(frozen=True, slots=True)
class StoredPrice:
    """A price as stored, with the time of its collection. `id` grows, and orders the prices."""

    id: int
    symbol: str
    price: Exact
    currency: str
    priced_at: int
    collected_at: int


class PriceSource(Protocol):
    """A source of spot prices."""

    def prices(self, coins: Sequence[Coin], currency: str) -> PriceReply:
        """Request the prices of all coins, in one request.

        Raises UpstreamError without a usable reply. Raises BudgetSpent where this month leaves no
        call, and StoreError where the database gives no turn: then no request was sent.
        """


class PriceStore(Protocol):
    """Stored prices."""

    def add(self, prices: Sequence[SpotPrice], collected_at: int) -> list[StoredPrice]:
        """Store prices collected at one unix time, all or none; returns them with ids."""

    def newest(
        self,
        symbol: str,
        currency: str,
        limit: int,
        first: int | None = None,
        last: int | None = None,
    ) -> list[StoredPrice]:
        """The newest prices by arrival, the id; [first, last] limits their collection time."""

    def arrived(self, after: int, limit: int) -> tuple[int, list[StoredPrice]]:
        """The highest id, 0 without a price, and the newest prices with an id above `after`.

        They are of any symbol and currency, ascend, and are `limit` at most. An id of one that is
        still being stored may be lower than the highest.
        """

    def prune(self, before: int, after: int) -> int:
        """Remove the prices collected before or after these unix times; returns how many."""
