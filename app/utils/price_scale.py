"""Whether an exchange has changed the scale of its prices, as against the market having moved."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from app.core.market import MAX_PRICE, Candle

LEAST_FACTOR: Final = 5
"""The smallest factor that counts: closed candles are corrected by fractions, not fivefold."""

_TOLERANCE: Final = Fraction(1, 10_000)
"""How far a price may be from the common factor besides: a tick coarser than ours rounds it."""

_HALF: Final = Fraction(1, 2)
"""By how much of a tick of 1e-8 a price was rounded, on either side."""


def scale_change(pairs: Sequence[tuple[Candle, Candle]]) -> Fraction | None:
    """The factor by which all of these candles differ, None where there is no such factor.

    `pairs` are closed candles as they are known and as the exchange sends them now. A change of scale
    multiplies every price of every one of them by one factor, of at least LEAST_FACTOR or at most its
    inverse, and rounds to the tick. A crash does not: it leaves closed candles as they were.

    Two prices allow a range of factors, the wider the fewer ticks they have; the common factor lies in
    the ranges of all. It is told as the highest prices show it, which are the most exact.
    """
    prices = [both for before, now in pairs for both in zip(_of(before), _of(now), strict=True)]
    least, most = Fraction(0), Fraction(MAX_PRICE)
    for old, new in prices:
        low, high = _factors(old, new)
        least, most = max(least, low), min(most, high)
        if least > most or (least * LEAST_FACTOR > 1 and most < LEAST_FACTOR):
            return None
    if least <= 1 <= most:  # also where there is nothing to compare
        return None
    old, new = max(prices)
    return Fraction(new, old)


def _factors(old: int, new: int) -> tuple[Fraction, Fraction]:
    """The least and the greatest factor that may have made one price, in ticks, into the other."""
    # No price is lower than one tick, so that one tick may stand for any price below it.
    least = (new - _HALF) / (old + _HALF) if new > 1 else Fraction(0)
    most = (new + _HALF) / (old - _HALF)
    plain = Fraction(new, old)
    return min(least, plain * (1 - _TOLERANCE)), max(most, plain * (1 + _TOLERANCE))


def _of(candle: Candle) -> tuple[int, int, int, int]:
    return candle.open, candle.high, candle.low, candle.close
