"""Count how much of each served series is stored."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.core.market import WARM_UP, Series
from app.core.ports import SeriesStore
from app.domain.gaps import Span
from app.domain.times import warmed_up
from app.services.gaps import due_period, is_stale


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of the served closed buckets are stored.

    `stored` of the `expected` served buckets have a candle; `first` and `last` are the oldest and
    the newest of them. `warm_up_missing` counts the buckets without a candle in the warm-up, which
    the first averages need. `as_of` is the newest stored bucket of the whole series. `checked_at`
    is the unix time of the last load that reached the exchange, and `first_tried_at` that of the
    first load that began. Each is None if there is none.
    `stale` comes from `app.services.gaps.is_stale`.
    """

    series: Series
    first: int | None
    last: int | None
    expected: int
    stored: int
    warm_up_missing: int
    as_of: int | None = None
    checked_at: int | None = None
    first_tried_at: int | None = None
    stale: bool = False

    @property
    def missing(self) -> int:
        """The number of served buckets without a candle."""
        return self.expected - self.stored


class CoverageCounter:
    """Count what is stored, once per revision of a series and per served period.

    A year of minutes is half a million buckets. Their count does not change between two loads.
    """

    def __init__(self, store: SeriesStore, history_days: int) -> None:
        self._store = store
        self._history_days = history_days
        self._counts: dict[Series, tuple[int, Span, Coverage]] = {}

    def coverage(self, series: Series, now: float) -> Coverage:
        """Return the coverage of the series at the unix time `now`. Raises StoreError."""
        return self._store.together(lambda store: self._coverage(store, series, now))

    def _coverage(self, store: SeriesStore, series: Series, now: float) -> Coverage:
        state = store.state(series)
        served = due_period(store, series, state, self._history_days, now)
        counted = self._counts.get(series)
        if counted is None or counted[:2] != (state.revision, served):
            counted = state.revision, served, _count(store, series, served)
            # A load may have committed between the two reads. Then the count is not kept, and the
            # next request counts again.
            if store.state(series).revision == state.revision:
                self._counts[series] = counted
        stale = is_stale(state, series.interval, now)
        return replace(
            counted[2],
            as_of=state.last,
            checked_at=state.checked_at,
            first_tried_at=state.first_tried_at,
            stale=stale,
        )


def _count(store: SeriesStore, series: Series, served: Span) -> Coverage:
    stored, first, last = store.extent(series, *served)
    before, _, _ = store.extent(
        series, warmed_up(served, series.interval).first, served.first - series.step
    )
    return Coverage(
        series,
        first=first,
        last=last,
        expected=series.interval.count(*served),
        stored=stored,
        warm_up_missing=WARM_UP - before,
    )
