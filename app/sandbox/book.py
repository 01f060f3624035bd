"""The candles of the stand-in exchange, by pair and interval.

A book may hold wrong candles and sends them: the reader must refuse them. So it has its own `Bar`,
with decimals as they were written, instead of the checked fixed-point candle.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol

from app.core.market import Pair, Series

Span = tuple[int, int]
"""Unix seconds from the first (inclusive) to the second (exclusive)."""

_FIRST_STEP: Final = 16


class Raw(str):
    """Text that is sent in place of a number as it is, valid JSON or not."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Bar:
    """One candle as the exchange would send it, right or wrong; `stamp` in unix seconds, UTC.

    A volume of None is sent as null.
    """

    stamp: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | Raw | None


class CandleBook(Protocol):
    """A source of candles for the stand-in exchange."""

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs with candles."""
        ...

    def candles(self, series: Series, first: int, last: int, now: float) -> Sequence[Bar]:
        """The candles whose stamps lie in [first, last], ascending, as they stand at `now`.

        None starts after `now` (unix seconds); the newest may still be running. The pair must be
        one of `pairs`. An interval without candles gives an empty sequence.
        """
        ...


class ReplayBook:
    """Candles from a file, sent exactly as they are."""

    def __init__(self, series: Mapping[Series, Sequence[Bar]]) -> None:
        self._series = {key: tuple(sorted(bars, key=_stamp)) for key, bars in series.items()}
        self.pairs = tuple(dict.fromkeys(series.pair for series in self._series))

    def candles(self, series: Series, first: int, last: int, now: float) -> Sequence[Bar]:
        """The loaded candles in [first, last] that have begun at `now`."""
        bars = self._series.get(series, ())
        begin = bisect_left(bars, first, key=_stamp)
        return bars[begin : bisect_right(bars, min(last, now), key=_stamp)]


class EditableBook:
    """A book over another one, with holes and replaced candles. Safe to use from threads.

    A hole hides the buckets that lie wholly inside it, at every interval. Other candles stay: a
    day keeps its prices when some of its minutes are removed.
    """

    def __init__(self, base: CandleBook) -> None:
        self._base = base
        self._lock = threading.Lock()
        self._holes: dict[Pair, list[Span]] = {}
        self._replaced: dict[Series, dict[int, Bar]] = {}
        self.pairs = base.pairs

    def remove(self, pair: Pair, span: Span) -> None:
        """Hide every bucket of `pair`, of any interval, that lies wholly inside `span`."""
        with self._lock:
            self._holes.setdefault(pair, []).append(span)

    def restore(self, pair: Pair, span: Span) -> None:
        """Undo the removal of exactly this span."""
        with self._lock:
            self._holes[pair].remove(span)

    def replace(self, series: Series, bars: Iterable[Bar]) -> None:
        """Send these candles from now on, beside the base book's or in place of equal stamps."""
        with self._lock:
            self._replaced.setdefault(series, {}).update((bar.stamp, bar) for bar in bars)

    def reset(self) -> None:
        """Undo every removal and replacement."""
        with self._lock:
            self._holes.clear()
            self._replaced.clear()

    def candles(self, series: Series, first: int, last: int, now: float) -> Sequence[Bar]:
        """The base book's candles with the replacements in place and the holes left out."""
        with self._lock:
            holes = tuple(self._holes.get(series.pair, ()))
            replaced = dict(self._replaced.get(series, {}))
        bars = self._base.candles(series, first, last, now)
        if replaced:
            own = [bar for bar in replaced.values() if first <= bar.stamp <= min(last, now)]
            bars = sorted([*own, *(bar for bar in bars if bar.stamp not in replaced)], key=_stamp)
        if not holes:
            return bars
        return [
            bar
            for bar in bars
            if not any(
                start <= bar.stamp and bar.stamp + series.step <= end for start, end in holes
            )
        ]


def newest(
    book: CandleBook, series: Series, first: int, last: int, now: float, limit: int
) -> list[Bar]:
    """The newest `limit` candles with stamps in [first, last], ascending.

    Walks back from `last` in growing steps: [first, last] may span millions of simulated minutes,
    and how many of them have a candle is not clear beforehand.
    """
    bars: list[Bar] = []
    end = min(last, int(now))
    buckets = limit
    while len(bars) < limit and end >= first:
        start = max(first, end - buckets * series.step + 1)
        bars = [*book.candles(series, start, end, now), *bars]
        end = start - 1
        buckets = max(buckets * 2, _FIRST_STEP)
    return bars[-limit:]


def _stamp(bar: Bar) -> int:
    return bar.stamp
