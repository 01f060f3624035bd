"""How much of each served series is there."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace

from app.core.market import WARM_UP, Series
from app.core.ports import SeriesStore
from app.domain.gaps import Span
from app.domain.times import served_period, warmed_up
from app.services.gaps import is_stale


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is stored of the closed buckets that are served.

    `first` and `last` are the oldest and newest stored bucket among the `expected` ones, of which
    `stored` have a candle; `warm_up_missing` of those before them that the first averages need have
    none. `as_of` is the newest stored bucket at all, `checked_at` the unix time of
    the last load that reached the exchange. None where there is none. `stale` is said by
    `app.services.gaps.is_stale`.
    """

    series: Series
    first: int | None
    last: int | None
    expected: int
    stored: int
    warm_up_missing: int
    as_of: int | None = None
    checked_at: int | None = None
    stale: bool = False

    @property
    def missing(self) -> int:
        """How many served buckets have no candle."""
        return self.expected - self.stored


class CoverageCounter:
    """Counts what is stored, once per revision of a series and per served period.

    A year of minutes is half a million buckets; between two loads their count does not change.
    """

    def __init__(self, store: SeriesStore, history_days: int) -> None:
        self._store = store
        self._history_days = history_days
        self._counts: dict[Series, tuple[int, Span, Coverage]] = {}

    def coverage(self, series: Series, now: float) -> Coverage:
        """What is stored of the series at the unix time `now`. Raises StoreError."""
        return self._store.together(lambda store: self._coverage(store, series, now))

    def _coverage(self, store: SeriesStore, series: Series, now: float) -> Coverage:
        state = store.state(series)
        served = served_period(series.interval, self._history_days, now)
        counted = self._counts.get(series)
        if counted is None or counted[:2] != (state.revision, served):
            counted = state.revision, served, _count(store, series, served)
            # Between the two reads a load may have committed: then this is nothing to remember, and
            # the next request counts again.
            if store.state(series).revision == state.revision:
                self._counts[series] = counted
        stale = is_stale(state, series.interval, now)
        return replace(counted[2], as_of=state.last, checked_at=state.checked_at, stale=stale)


def _count(store: SeriesStore, series: Series, served: Span) -> Coverage:
    found = store.buckets(series, *warmed_up(served, series.interval))
    warm_up = bisect_left(found, served.first)
    buckets = found[warm_up:]
    return Coverage(
        series,
        first=buckets[0] if buckets else None,
        last=buckets[-1] if buckets else None,
        expected=served.count(series.step),
        stored=len(buckets),
        warm_up_missing=WARM_UP - warm_up,
    )
