"""What the stand-in exchange knows: candles by pair and interval, from whichever source.

A book may hold wrong candles, and it hands them out: refusing them is the reader's job. Hence its
own `Bar` with decimals as they were written, instead of the product's checked fixed-point candle.
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


@dataclass(frozen=True, slots=True)
class Bar:
    """One candle as the exchange would send it, right or wrong; `stamp` in unix seconds, UTC."""

    stamp: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class CandleBook(Protocol):
    """A source of candles for the stand-in exchange."""

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs that it has candles of."""
        ...

    def candles(self, series: Series, first: int, last: int, now: float) -> Sequence[Bar]:
        """The candles whose stamps lie in [first, last], ascending, as they stand at `now`.

        None starts after `now` (unix seconds); the newest may still be running. Its pair is one of
        `pairs`; an interval without candles gives an empty answer.
        """
        ...


class ReplayBook:
    """Candles that were loaded beforehand, sent exactly as they are."""

    def __init__(self, series: Mapping[Series, Sequence[Bar]]) -> None:
        self._series = {key: tuple(sorted(bars, key=_stamp)) for key, bars in series.items()}
        self.pairs = tuple(dict.fromkeys(series.pair for series in self._series))

    def candles(self, series: Series, first: int, last: int, now: float) -> Sequence[Bar]:
        """The loaded candles in [first, last] that have begun at `now`."""
        bars = self._series.get(series, ())
        begin = bisect_left(bars, first, key=_stamp)
        return bars[begin : bisect_right(bars, min(last, now), key=_stamp)]


class EditableBook:
    """Another book with holes and replaced candles, which may change while requests are answered.

    A hole hides what lies wholly inside it, at every interval; it does not change the candles
    around it, so a day keeps its prices when some of its minutes are removed.
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
        """Send these candles from now on, in place of (or beside) what the base book has."""
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

    Walks back from `last` in steps that grow, because how many buckets hold a candle is known only
    after asking, and the whole of [first, last] may be millions of simulated minutes.
    """
    found: list[Bar] = []
    end = min(last, int(now))
    buckets = limit
    while len(found) < limit and end >= first:
        start = max(first, end - buckets * series.step + 1)
        found = [*book.candles(series, start, end, now), *found]
        end = start - 1
        buckets = max(buckets * 2, _FIRST_STEP)
    return found[-limit:]


def _stamp(bar: Bar) -> int:
    return bar.stamp
