"""Whether an exchange has changed the scale of its prices, as against the market having moved."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import chain, compress
from operator import not_
from typing import Final

from app.core.market import MAX_PRICE, Candle

LEAST_FACTOR: Final = 5
"""The smallest factor that counts: closed candles are corrected by fractions, not fivefold."""

_TOLERANCE: Final = Fraction(1, 10_000)
"""How far a price may be from the common factor besides: a tick coarser than ours rounds it."""

_HALF: Final = Fraction(1, 2)
"""By how much of a tick of 1e-8 a price was rounded, on either side."""

_Range = tuple[Fraction, Fraction]
_Both = tuple[int, int]
"""A price as it is known and as it is sent now, in ticks."""


def scale_change(pairs: Sequence[tuple[Candle, Candle]]) -> Fraction | None:
    """The factor by which all of these candles differ, None where there is no such factor.

    `pairs` are closed candles as they are known and as the exchange sends them now. A change of scale
    multiplies every price of every one of them by one factor, of at least LEAST_FACTOR or at most its
    inverse, and rounds to the tick. A crash does not: it leaves closed candles as they were. Up to half
    of them may have been corrected besides, by less than LEAST_FACTOR.

    Two prices allow a range of factors, the wider the fewer ticks they have; the common factor lies in
    the ranges of all that were not corrected. It is told as the highest of their prices shows it, which
    is the most exact.
    """
    prices = [list(zip(_of(before), _of(now), strict=True)) for before, now in pairs]
    if any(all(old == new > 1 for old, new in each) for each in prices):
        return None  # one that kept its prices, as nearly all always do
    ranges = [_range(each) for each in prices]
    alike, least, most = _shared([found for found in ranges if found is not None])
    if 2 * alike < len(pairs) or least <= 1 <= most:  # also where there is nothing to compare
        return None
    if least * LEAST_FACTOR > 1 and most < LEAST_FACTOR:
        return None
    sharing = [found is not None and found[0] <= least and found[1] >= most for found in ranges]
    old, new = max(chain.from_iterable(compress(prices, sharing)))
    factor = Fraction(new, old)
    for found, each in compress(zip(ranges, prices, strict=True), map(not_, sharing)):
        if found is not None and found[0] <= 1 <= found[1]:
            return None
        corrections = [Fraction(now, before) / factor for before, now in each]
        if not all(Fraction(1, LEAST_FACTOR) < c < LEAST_FACTOR for c in corrections):
            return None
    return factor


def _shared(ranges: Sequence[_Range]) -> tuple[int, Fraction, Fraction]:
    """How many of the ranges share some factors, at the most, and the least and greatest of these."""
    # Ranges open in front of others that close at the same place: what they touch in they share.
    places = sorted([(low, False) for low, _ in ranges] + [(high, True) for _, high in ranges])
    found = (0, Fraction(1), Fraction(1))
    opened, least = 0, Fraction(0)
    for place, closes in places:
        if closes:
            if opened > found[0]:
                found = (opened, least, place)
            opened -= 1
        else:
            opened, least = opened + 1, place
    return found


def _range(prices: Sequence[_Both]) -> _Range | None:
    """The factors that may have made all of these prices; None where no single one has."""
    least, most = Fraction(0), Fraction(MAX_PRICE)
    for old, new in prices:
        low, high = _factors(old, new)
        least, most = max(least, low), min(most, high)
    return (least, most) if least <= most else None


def _factors(old: int, new: int) -> tuple[Fraction, Fraction]:
    """The least and the greatest factor that may have made one price, in ticks, into the other."""
    # No price is lower than one tick, so that one tick may stand for any price below it.
    least = (new - _HALF) / (old + _HALF) if new > 1 else Fraction(0)
    most = (new + _HALF) / (old - _HALF)
    plain = Fraction(new, old)
    return min(least, plain * (1 - _TOLERANCE)), max(most, plain * (1 + _TOLERANCE))


def _of(candle: Candle) -> tuple[int, int, int, int]:
    return candle.open, candle.high, candle.low, candle.close
