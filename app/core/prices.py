"""Spot prices: the coins, a price as a source says it, and a price as it is stored.

Prices are fixed point in 1e-8 (`app.utils.fixed_point`), times unix seconds UTC.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from app.core.errors import UnsupportedSymbol

COIN_IDS: Final = {
    "BTC": "bitcoin",
    "ETH": "ethereum",
    "SOL": "solana",
    "ADA": "cardano",
    "DOT": "polkadot",
}
"""The symbols whose CoinGecko id is known; others are written SYMBOL:id in ALLOWED_SYMBOLS."""

_SYMBOL: Final = re.compile(r"[A-Z0-9]{2,12}")
_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin whose spot price is collected: our symbol (`BTC`) and CoinGecko's id (`bitcoin`)."""

    symbol: str
    id: str

    def __str__(self) -> str:
        return self.symbol

    @classmethod
    def parse(cls, text: str) -> Coin:
        """Read `BTC`, or `XRP:ripple` for a coin whose id is not known here.

        Raises UnsupportedSymbol where the text is neither.
        """
        name, colon, coin_id = text.strip().partition(":")
        symbol = name.strip().upper()
        found = coin_id.strip().lower() if colon else COIN_IDS.get(symbol, "")
        if _SYMBOL.fullmatch(symbol) is None or _ID.fullmatch(found) is None:
            raise UnsupportedSymbol(
                f"{text!r} is no known symbol: write one of {', '.join(COIN_IDS)}, or SYMBOL:id "
                "with CoinGecko's id, such as XRP:ripple."
            )
        return cls(symbol, found)


@dataclass(frozen=True, slots=True)
class SpotPrice:
    """What a source says a coin costs: `price` in 1e-8 of `currency`, as of `priced_at`."""

    coin: Coin
    price: int
    currency: str
    priced_at: int


@dataclass(frozen=True, slots=True)
class RefusedPrice:
    """A coin whose price the source did not give, or gave unusably, with the reason as a sentence."""

    coin: Coin
    reason: str


@dataclass(frozen=True, slots=True)
class PriceReply:
    """One answer about several coins; each asked coin is in exactly one of the two."""

    prices: tuple[SpotPrice, ...]
    refused: tuple[RefusedPrice, ...]


@dataclass(frozen=True, slots=True)
class StoredPrice:
    """A collected price: what the source said, and when it was collected. `id` grows."""

    id: int
    symbol: str
    price: int
    currency: str
    priced_at: int
    collected_at: int


class PriceSource(Protocol):
    """Where spot prices come from."""

    def prices(self, coins: Sequence[Coin], currency: str) -> PriceReply:
        """Ask for all coins in one request. Raises UpstreamError where nothing was answered."""
        ...
