"""Whether an exchange has changed the scale of its prices, as against the market having moved."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from app.core.market import Candle

LEAST_FACTOR: Final = 5
"""The smallest factor that counts: closed candles are corrected by fractions, not fivefold."""


def scale_change(pairs: Sequence[tuple[Candle, Candle]]) -> Fraction | None:
    """The factor by which the first of the candles that changed their scale differs; None without such.

    `pairs` are closed candles as they are known and as the exchange sends them now. A candle changed
    its scale where all four of its prices are at least LEAST_FACTOR times what they were, or at most
    a LEAST_FACTOR-th. So did the exchange where half of the candles did, in one direction, and none
    kept its prices. A crash is no such change: it leaves closed candles as they were.
    """
    up, down = [], []
    for before, now in pairs:
        prices = list(zip(_of(before), _of(now), strict=True))
        if all(old == new > 1 for old, new in prices):
            return None
        if all(new >= old * LEAST_FACTOR for old, new in prices):
            up.append(Fraction(now.close, before.close))
        elif all(new * LEAST_FACTOR <= old for old, new in prices):
            down.append(Fraction(now.close, before.close))
    factors = max(up, down, key=len)
    return factors[0] if factors and 2 * len(factors) >= len(pairs) else None


def _of(candle: Candle) -> tuple[int, int, int, int]:
    return candle.open, candle.high, candle.low, candle.close
