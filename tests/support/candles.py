"""Made-up candles and an exchange that serves them and records what it was asked."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from app.core.errors import MmsError
from app.core.market import (
    WINDOWS,
    AverageRow,
    Candle,
    CandlePage,
    Interval,
    Pair,
    RefusedCandle,
    Series,
    VolumeNote,
)
from app.domain.gaps import Span

BTC = Pair("BTC", "BRL")
ETH = Pair("ETH", "BRL")
DAY = Interval.DAY
BTC_DAILY = Series(BTC, DAY)
ETH_DAILY = Series(ETH, DAY)
Rows = list[tuple[Candle, AverageRow]]
EPOCH = 1_600_041_600 // 86_400 * 86_400
"""A midnight to count days from."""


def day(number: int) -> int:
    """The bucket of a numbered day."""
    return EPOCH + number * 86_400


def candle(bucket: int, close: int, volume: int = 1) -> Candle:
    """A valid candle with the given close."""
    return Candle(bucket, close, close + 5, max(1, close - 5), close, volume)


def daily(numbers: Iterable[int], seed: int = 1) -> list[Candle]:
    """Candles of numbered days, each with its own close."""
    return [
        candle(day(number), random.Random(f"{seed}/{number}").randrange(10**8, 10**14))
        for number in numbers
    ]


def calm(numbers: Iterable[int]) -> list[Candle]:
    """Candles of numbered days whose prices hardly move."""
    return [candle(day(number), 10**10 + number) for number in numbers]


def by_hand(candles: Sequence[Candle]) -> Rows:
    """The rows that daily candles must lead to, by rational arithmetic and nothing else."""
    closes = {item.bucket: item.close for item in candles}
    return [
        (item, AverageRow(item.bucket, tuple(_mean(closes, item.bucket, n) for n in WINDOWS)))
        for item in sorted(candles, key=lambda item: item.bucket)
    ]


def _mean(closes: Mapping[int, int], bucket: int, window: int) -> int | None:
    values = [closes.get(bucket - back * DAY.seconds) for back in range(window)]
    known = [value for value in values if value is not None]
    return round(Fraction(sum(known), window)) if len(known) == window else None


@dataclass
class FakeExchange:
    """A CandleSource with given candles, clock and troubles; `asked` records the requests."""

    now: float
    candles: dict[int, Candle] = field(default_factory=dict)
    refused: list[RefusedCandle] = field(default_factory=list)
    page_size: int = 500
    asked: list[Span] = field(default_factory=list)
    trouble: dict[int, MmsError] = field(default_factory=dict)
    """The error to raise at the numbered request, counted from 0."""

    @classmethod
    def of(cls, candles: Iterable[Candle], now: float, page_size: int = 500) -> FakeExchange:
        """An exchange with these candles at this time."""
        return cls(now, {item.bucket: item for item in candles}, page_size=page_size)

    def page(self, series: Series, first: int, last: int) -> CandlePage:
        """Answer from what the test has set."""
        self.asked.append(Span(first, last))
        assert series.interval.count(first, last) <= self.page_size
        if (error := self.trouble.get(len(self.asked) - 1)) is not None:
            raise error
        closed = series.interval.last_closed(self.now)
        end = min(last, closed)
        candles = tuple(self.candles[b] for b in sorted(self.candles) if first <= b <= end)
        return CandlePage(
            first,
            end,
            candles,
            tuple(r for r in self.refused if r.bucket is None or first <= r.bucket <= end),
            int(self.now),
            int(self.now),
            complete=last > closed,
            notes=tuple(
                VolumeNote(c.bucket, "The volume is missing.") for c in candles if c.volume is None
            ),
        )
