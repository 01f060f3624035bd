"""How much of each served series is there."""

from __future__ import annotations

from app.core.market import DAY, WARM_UP, Interval, Series
from app.services.coverage import CoverageCounter
from app.testing.series import MemorySeriesStore
from tests.support.api import LAST, NOW, load
from tests.support.candles import BTC_DAILY

DAILY = Interval.DAY


class CountingStore(MemorySeriesStore):
    """Records how often the served candles are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = 0

    def extent(self, series: Series, first: int, last: int) -> tuple[int, int | None, int | None]:
        self.counts += last >= LAST
        return super().extent(series, first, last)


def test_a_whole_series_misses_nothing() -> None:
    store = MemorySeriesStore()
    load(store)
    found = CoverageCounter(store, 365).coverage(BTC_DAILY, NOW)
    assert found.series == BTC_DAILY
    assert (found.first, found.last) == (LAST - 364 * DAY, LAST)
    assert (found.expected, found.stored, found.missing) == (365, 365, 0)
    assert found.stale is False
    assert found.as_of == LAST
    assert found.checked_at == LAST + DAY + 300


def test_holes_in_the_warm_up_are_counted_by_themselves() -> None:
    store = MemorySeriesStore()
    first = LAST - (364 + WARM_UP) * DAY
    load(store, count=600, without=[first - DAY, first, first + DAY, LAST - 365 * DAY])
    found = CoverageCounter(store, 365).coverage(BTC_DAILY, NOW)
    assert (found.stored, found.missing, found.warm_up_missing) == (365, 0, 3)
    assert found.first == LAST - 364 * DAY
    empty = CoverageCounter(MemorySeriesStore(), 365).coverage(BTC_DAILY, NOW)
    assert empty.warm_up_missing == WARM_UP


def test_buckets_are_counted_again_only_after_a_load_or_in_a_new_period() -> None:
    store = CountingStore()
    load(store, without=[LAST])
    counter = CoverageCounter(store, 365)
    for _ in range(3):
        assert counter.coverage(BTC_DAILY, NOW).missing == 1
    assert store.counts == 1
    load(store)
    assert counter.coverage(BTC_DAILY, NOW).missing == 0
    assert store.counts == 2
    assert counter.coverage(BTC_DAILY, NOW + DAY).missing == 1
    assert store.counts == 3


def test_a_load_between_the_two_reads_is_counted_anew_by_the_next_request() -> None:
    class Loading(CountingStore):
        def extent(
            self, series: Series, first: int, last: int
        ) -> tuple[int, int | None, int | None]:
            extent = super().extent(series, first, last)
            if self.counts == 1:
                load(self)
            return extent

    store = Loading()
    load(store, without=[LAST])
    counter = CoverageCounter(store, 365)
    assert counter.coverage(BTC_DAILY, NOW).missing == 1
    assert counter.coverage(BTC_DAILY, NOW).missing == 0
    assert counter.coverage(BTC_DAILY, NOW).missing == 0
    assert store.counts == 2
