"""Whether an exchange has changed the scale of its prices, as against the market having moved."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from app.core.market import Candle

LEAST_FACTOR: Final = 5
"""The smallest factor that counts: closed candles are corrected by fractions, not fivefold."""

_TOLERANCE: Final = Fraction(1, 10_000)
"""How far the prices of one candle may be from the common factor: a coarser tick rounds them."""


def scale_change(pairs: Sequence[tuple[Candle, Candle]]) -> Fraction | None:
    """The factor by which all of these candles differ, None where there is no such factor.

    `pairs` are closed candles as they are stored and as the exchange sends them now. A change of scale
    multiplies every price of every one of them by one factor, of at least LEAST_FACTOR or at most its
    inverse. A crash does not: it leaves closed candles as they were.
    """
    if not pairs:
        return None
    stored, sent = pairs[0]
    factor = Fraction(sent.close, stored.close)
    if Fraction(1, LEAST_FACTOR) < factor < LEAST_FACTOR:
        return None
    for before, now in pairs:
        for old, new in zip(_prices(before), _prices(now), strict=True):
            if abs(Fraction(new, old) / factor - 1) > _TOLERANCE:
                return None
    return factor


def _prices(candle: Candle) -> tuple[int, int, int, int]:
    return candle.open, candle.high, candle.low, candle.close
