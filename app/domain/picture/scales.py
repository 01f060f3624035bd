"""Scales and ticks of a picture: where a bucket, a price or a volume lies, in whole units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from app.core.market import DAY
from app.domain.fixed_point import PLACES

HOUR: Final = 3_600
MONTH: Final = 28 * DAY
"""The least seconds of a month; ticks with more than this between them stand at a first of one."""

YEAR: Final = 365 * DAY
_SECONDS: Final = (
    *(60, 300, 900, 1_800, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR),
    *(DAY, 2 * DAY, 7 * DAY, 14 * DAY),
)
_MONTHS: Final = (1, 2, 3, 6, 12, 24, 60, 120, 240)
_MONDAY: Final = 4 * DAY
"""1970-01-05, from which weeks are counted."""

_MARGIN: Final = 25
"""The part of the height that stays free above and below all prices: one of so many."""


@dataclass(frozen=True, slots=True)
class TimeScale:
    """The slots of `count` buckets side by side, in `width` units from `left` on."""

    first: int
    step: int
    count: int
    left: int
    width: int

    def edge(self, bucket: int) -> int:
        """The left edge of the bucket's slot, which is the right one of the slot before it."""
        return self.left + (bucket - self.first) // self.step * self.width // self.count

    def centre(self, bucket: int) -> int:
        """The middle of the bucket's slot."""
        return (self.edge(bucket) + self.edge(bucket + self.step)) // 2


@dataclass(frozen=True, slots=True)
class ValueScale:
    """The values [low, high] on `height` units, the highest at `top`."""

    low: int
    high: int
    top: int
    height: int

    def y(self, value: int) -> int:
        """Where the value lies, to the nearest unit."""
        span = self.high - self.low
        return self.top + (2 * (self.high - value) * self.height + span) // (2 * span)


def price_scale(values: Iterable[int], top: int, height: int) -> ValueScale:
    """A scale that all of these prices fit on, with a margin; there is one at least."""
    values = list(values)
    low, high = min(values), max(values)
    margin = max((high - low) // _MARGIN, high // 1_000 if low == high else 0, 1)
    return ValueScale(max(low - margin, 0), high + margin, top, height)


def price_ticks(scale: ValueScale, most: int) -> tuple[range, int]:
    """At most so many round prices (1, 2 or 5 times a power of ten apart), and their places."""
    span, power = scale.high - scale.low, 0
    while True:
        for factor in (1, 2, 5):
            step = factor * 10**power
            begin = -(-scale.low // step) * step
            ticks = range(begin, scale.high + 1, step)
            if len(ticks) <= most or step > span:
                return ticks, max(0, PLACES - power)
        power += 1


def time_ticks(first: int, last: int, step: int, most: int) -> tuple[list[int], int]:
    """At most so many round buckets of [first, last], and the seconds between two of them.

    Beyond two weeks they are firsts of months, MONTH apart or some months of that length.
    """
    for unit in _SECONDS:
        if unit >= step and (last - first) // unit < most:
            origin = _MONDAY if unit >= 7 * DAY else 0
            begin = first + (origin - first) % unit
            return list(range(begin, last + 1, unit)), unit
    return next(
        (ticks, months * MONTH if months < 12 else YEAR)
        for months in _MONTHS
        if len(ticks := _firsts(first, last, months)) <= most
    )


def _firsts(first: int, last: int, months: int) -> list[int]:
    """The first moments of every so many months within [first, last]."""
    begin, end = (datetime.fromtimestamp(at, UTC) for at in (first, last))
    numbers = range(begin.year * 12, end.year * 12 + 12, months)
    firsts = (divmod(number - number % months, 12) for number in numbers)
    moments = (int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp()) for year, month in firsts)
    return [each for each in moments if first <= each <= last]
