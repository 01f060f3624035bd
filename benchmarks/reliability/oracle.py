"""Which candles of a reply may be used, worked out again from the rules and not from the code.

The rules (docs/decisions/0005, docs/decisions/0004): a candle counts when its bucket lies on its
interval's grid, begins in 2011 or later, was asked for, and ended two seconds ago by the exchange's
clock. Prices are decimal numbers above zero, whole multiples of 1e-8, not so high that 200 of them pass
64 bits; none lies above the high or below the low. The volume is a decimal number, not negative, and fits
in 64 bits once it is rounded half to even. Rows of one bucket must agree; else none of them counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Final

STEPS: Final = {"1m": 60, "15m": 900, "1h": 3_600, "3h": 10_800, "1d": 86_400}
SECOND_2011: Final = 1_293_840_000
TICK: Final = 10**8
HIGHEST: Final = (2**63 - 1) // 200
LARGEST: Final = 2**63 - 1
SETTLED: Final = 2

Values = tuple[int, int, int, int, int, int]
"""Bucket, open, high, low, close, volume; prices and volume in 1e-8."""

_WRITTEN: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_LONGEST_EXPONENT: Final = 400


def acceptable(
    rows: Iterable[tuple[object, ...]], interval: str, first: int, last: int, now: int
) -> dict[int, Values]:
    """The candles that may be used, by bucket; `now` is the exchange's time."""
    step = STEPS[interval]
    found: dict[int, Values | None] = {}
    for row in rows:
        bucket = whole(row[0], 1)
        if bucket is None or not stands(bucket, step):
            continue
        values = _values(bucket, row)
        found[bucket] = values if found.setdefault(bucket, values) == values else None
    return {
        bucket: values
        for bucket, values in found.items()
        if values is not None and first <= bucket <= last and bucket + step + SETTLED <= now
    }


def sound(row: tuple[object, ...], interval: str) -> bool:
    """Whether a row by itself is a candle, whoever asks for it and whenever."""
    bucket = whole(row[0], 1)
    return (
        bucket is not None and stands(bucket, STEPS[interval]) and _values(bucket, row) is not None
    )


def consistent(values: Values, interval: str) -> bool:
    """Whether whole numbers could be a candle at all, as `sound` says of a row."""
    bucket, opened, high, low, close, volume = values
    return (
        stands(bucket, STEPS[interval])
        and bucket < 100_000_000_000
        and 0 < low <= min(opened, close)
        and max(opened, close) <= high <= HIGHEST
        and 0 <= volume <= LARGEST
    )


def _values(bucket: int, row: tuple[object, ...]) -> Values | None:
    prices = [whole(value, TICK) for value in row[1:5]]
    volume = _volume(row[5])
    opened, high, low, close = prices
    if opened is None or high is None or low is None or close is None or volume is None:
        return None
    values = (bucket, opened, high, low, close, volume)
    in_order = 0 < low <= min(opened, close) and max(opened, close) <= high <= HIGHEST
    return values if in_order and 0 <= volume <= LARGEST else None


def stands(bucket: int, step: int) -> bool:
    return bucket >= SECOND_2011 and bucket % step == 0


def _number(value: object) -> Fraction | None:
    """A whole number or the text of a decimal one; anything else is no number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Fraction(value)
    if not isinstance(value, str) or _WRITTEN.fullmatch(value) is None:
        return None
    exponent = value.lower().partition("e")[2]
    if exponent and abs(int(exponent)) > _LONGEST_EXPONENT:
        return None  # far outside everything, and slow
    return Fraction(value)


def whole(value: object, scale: int) -> int | None:
    number = _number(value)
    if number is None:
        return None
    scaled = number * scale
    return int(scaled) if scaled.denominator == 1 else None


def _volume(value: object) -> int | None:
    number = _number(value)
    return None if number is None else round(number * TICK)  # Python rounds half to even
