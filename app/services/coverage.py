"""How much of each served series is there."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from app.core.market import WARM_UP, Interval, Pair
from app.core.ports import SeriesStore
from app.services.gaps import is_stale
from app.utils.days import served_period, warmed_up
from app.utils.gaps import Span


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is stored of the closed buckets that are served.

    `first` and `last` are the oldest and newest stored bucket among the `expected` ones, of which
    `stored` have a candle; `warm_up_missing` of those before them that the first averages need have
    none. `as_of` is the newest stored bucket at all, `checked_at` the unix time of
    the last load that reached the exchange. None where there is none. `stale` is said by
    `app.services.gaps.is_stale`.
    """

    pair: Pair
    interval: Interval
    first: int | None
    last: int | None
    expected: int
    stored: int
    warm_up_missing: int
    as_of: int | None
    checked_at: int | None
    stale: bool

    @property
    def missing(self) -> int:
        """How many served buckets have no candle."""
        return self.expected - self.stored


@dataclass(frozen=True, slots=True)
class _Count:
    revision: int
    served: Span
    first: int | None
    last: int | None
    stored: int
    warm_up_missing: int


class CoverageCounter:
    """Counts what is stored, once per revision of a series and per served period.

    A year of minutes is half a million buckets; between two loads their count does not change.
    """

    def __init__(self, series: SeriesStore, history_days: int) -> None:
        self._series = series
        self._history_days = history_days
        self._counts: dict[tuple[Pair, Interval], _Count] = {}

    def coverage(self, pair: Pair, interval: Interval, now: float) -> Coverage:
        """What is stored of the series at the unix time `now`. Raises StoreError."""
        return self._series.together(lambda series: self._coverage(series, pair, interval, now))

    def _coverage(
        self, series: SeriesStore, pair: Pair, interval: Interval, now: float
    ) -> Coverage:
        state = series.state(pair, interval)
        served = served_period(interval, self._history_days, now)
        count = self._counts.get((pair, interval))
        if count is None or (count.revision, count.served) != (state.revision, served):
            found = series.buckets(pair, interval, *warmed_up(served, interval))
            warm_up = bisect_left(found, served.first)
            buckets = found[warm_up:]
            first = buckets[0] if buckets else None
            last = buckets[-1] if buckets else None
            count = _Count(state.revision, served, first, last, len(buckets), WARM_UP - warm_up)
            # Between the two reads a load may have committed: then this is nothing to remember, and
            # the next request counts again.
            if series.state(pair, interval).revision == state.revision:
                self._counts[pair, interval] = count
        return Coverage(
            pair,
            interval,
            count.first,
            count.last,
            served.count(interval.seconds),
            count.stored,
            count.warm_up_missing,
            state.last,
            state.checked_at,
            is_stale(state, interval, now),
        )
