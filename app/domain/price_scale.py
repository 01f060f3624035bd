"""Tell a change of the exchange's price scale from a movement of the market."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from app.core.market import Candle

LEAST_FACTOR: Final = 5
"""The smallest factor that counts: corrections of closed candles are small, never fivefold."""


def scale_change(pairs: Sequence[tuple[Candle, Candle]]) -> Fraction | None:
    """The median factor by which the candles changed their scale; None where they did not.

    `pairs` are closed candles as stored and as the exchange sends them now. A candle changed its
    scale where all four of its prices are at least LEAST_FACTOR times the old ones, or at most a
    LEAST_FACTOR-th of them. The exchange changed its scale where at least half of the candles did,
    in one direction, and none kept its prices. A market crash does not match: it leaves closed
    candles unchanged.
    """
    up, down = [], []
    for before, now in pairs:
        prices = list(zip(_of(before), _of(now), strict=True))
        if all(old == new > 1 for old, new in prices):
            return None
        # Half a tick may have been rounded away.
        if all(2 * new + 1 >= 2 * old * LEAST_FACTOR for old, new in prices):
            up.append(Fraction(now.close, before.close))
        elif all((2 * new - 1) * LEAST_FACTOR <= 2 * old for old, new in prices):
            down.append(Fraction(now.close, before.close))
    factors = sorted(up if len(up) > len(down) else down)
    return factors[len(factors) // 2] if factors and 2 * len(factors) >= len(pairs) else None


def _of(candle: Candle) -> tuple[int, int, int, int]:
    return candle.open, candle.high, candle.low, candle.close
