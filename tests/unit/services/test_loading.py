"""Loading: every way of splitting the work ends in the same rows, to the last digit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import UpstreamUnavailable
from app.core.market import WARM_UP, WINDOWS, CandlePage, Interval, Series
from app.core.ports import SeriesUnit
from app.domain.gaps import Span
from app.services.comparing import COMPARED
from app.services.loading import PAGES_A_COMMIT, LoadReport, Plan, load
from app.testing.series import MemorySeriesStore
from tests.support import loads
from tests.support.candles import (
    BTC,
    BTC_DAILY,
    DAY,
    EPOCH,
    FakeExchange,
    Rows,
    by_hand,
    candle,
    daily,
    day,
)


def rows_of(store: MemorySeriesStore, interval: Interval = DAY) -> Rows:
    """Everything that is stored of the series."""
    return store.rows(Series(BTC, interval), 0, 2**40)[1]


def initial(store: MemorySeriesStore, exchange: FakeExchange, days: int = 365) -> LoadReport:
    """An initial load by the exchange's own clock."""
    return loads.initial(store, exchange, lambda: exchange.now, history_days=days)


def incremental(
    store: MemorySeriesStore, exchange: FakeExchange, reread: int = 3, days: int = 365
) -> LoadReport:
    """An incremental load by the exchange's own clock."""
    return loads.incremental(
        store, exchange, lambda: exchange.now, history_days=days, reread=reread
    )


def test_an_initial_load_asks_for_the_served_days_and_their_warm_up() -> None:
    exchange = FakeExchange.of(daily(range(600)), now=day(600) + 5)
    store = MemorySeriesStore()
    report = initial(store, exchange)
    assert exchange.asked[0].first == day(600 - 365 - WARM_UP)
    assert report.inserted == 365 + WARM_UP
    stored = rows_of(store)
    assert stored == by_hand([item for item, _ in stored])
    served = [row for item, row in stored if item.bucket >= day(600 - 365)]
    assert len(served) == 365
    assert all(None not in row.values for row in served)
    assert stored[-1][0].bucket == day(599)


def test_loading_twice_changes_nothing_and_keeps_the_revision() -> None:
    exchange = FakeExchange.of(daily(range(600)), now=day(600) + 5)
    store = MemorySeriesStore()
    first = initial(store, exchange)
    before = rows_of(store)
    exchange.asked.clear()
    again = initial(store, exchange)
    assert rows_of(store) == before
    assert again.revision == first.revision
    assert (again.inserted, again.revised, again.unchanged) == (0, 0, 3)
    assert len(exchange.asked) == 1


@settings(max_examples=60, deadline=None)
@given(
    holes=st.sets(st.integers(0, 299), max_size=12),
    stops=st.lists(st.integers(1, 300), max_size=5, unique=True).map(sorted),
    reread=st.integers(1, 8),
    page=st.integers(1, 120),
)
def test_any_split_of_the_history_ends_as_one_load_of_it_all(
    holes: set[int], stops: list[int], reread: int, page: int
) -> None:
    candles = [item for item in daily(range(300)) if (item.bucket - EPOCH) // 86_400 not in holes]
    exchange = FakeExchange.of(candles, now=0, page_size=page)
    store = MemorySeriesStore()
    for stop in [*stops, 300]:
        exchange.now = day(stop) + 7
        incremental(store, exchange, reread, days=101)
    first = min((item.bucket for item, _ in rows_of(store)), default=0)
    assert rows_of(store) == by_hand([item for item in candles if item.bucket >= first])
    if not stops:
        assert first == min(item.bucket for item in candles)


@settings(max_examples=60, deadline=None)
@given(
    revised=st.dictionaries(st.integers(0, 299), st.integers(10**8, 10**14), max_size=6),
    volume_only=st.sets(st.integers(0, 299), max_size=3),
)
def test_revised_closes_correct_exactly_the_averages_that_contain_them(
    revised: dict[int, int], volume_only: set[int]
) -> None:
    exchange = FakeExchange.of(daily(range(300)), now=day(300))
    store = MemorySeriesStore()
    load(Plan(BTC_DAILY, gaps=(Span(day(0), day(299)),)), store, exchange, lambda: exchange.now)
    for number, close in revised.items():
        exchange.candles[day(number)] = candle(day(number), close)
    for number in volume_only - revised.keys():
        old = exchange.candles[day(number)]
        exchange.candles[day(number)] = replace(old, volume="1.000000001")
    changed = revised.keys() | volume_only
    report = incremental(store, exchange, reread=300)
    assert rows_of(store) == by_hand(list(exchange.candles.values()))
    assert report.revised == len(changed)
    touched = {n for number in revised for n in range(number, min(300, number + 200))}
    assert report.averages == len(touched)


def test_an_incremental_load_reads_no_more_than_the_new_candles_and_one_window() -> None:
    exchange = FakeExchange.of(daily(range(1001)), now=day(1000))
    store = _CountingStore()
    load(Plan(BTC_DAILY, gaps=(Span(day(0), day(999)),)), store, exchange, lambda: exchange.now)
    store.read_closes = 0
    exchange.now = day(1001)
    report = incremental(store, exchange)
    assert (report.inserted, report.averages) == (1, 1)
    assert store.read_closes == WINDOWS[-1]


class _CountingStore(MemorySeriesStore):
    """Counts the closes that loads read back."""

    read_closes = 0

    @contextmanager
    def begin(self, series: Series) -> Iterator[SeriesUnit]:
        with super().begin(series) as unit:
            yield cast(SeriesUnit, _CountingUnit(self, unit))


@dataclass
class _CountingUnit:
    store: _CountingStore
    unit: SeriesUnit

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unit, name)

    def closes(self, first: int, last: int) -> tuple[list[int], list[int]]:
        found = self.unit.closes(first, last)
        self.store.read_closes += len(found[0])
        return found


def test_a_stored_candle_that_the_exchange_no_longer_has_stays() -> None:
    exchange = FakeExchange.of(daily(range(300)), now=day(300))
    store = MemorySeriesStore()
    initial(store, exchange, days=101)
    del exchange.candles[day(298)]
    report = incremental(store, exchange, days=101)
    assert report.absent == 0
    assert day(298) in store.buckets(BTC_DAILY, [(0, day(300))])


def test_a_first_load_that_fails_leaves_when_it_began() -> None:
    exchange = FakeExchange.of(daily(range(300)), now=day(300))
    exchange.trouble = {0: UpstreamUnavailable("away", host="exchange")}
    store = MemorySeriesStore()
    with pytest.raises(UpstreamUnavailable):
        initial(store, exchange, days=101)
    exchange.now += 600
    initial(store, exchange, days=101)
    assert store.state(BTC_DAILY).first_tried_at == day(300)


def test_a_long_load_that_is_cut_keeps_its_commits_and_goes_on_from_there() -> None:
    exchange = FakeExchange.of(daily(range(300)), now=day(300), page_size=10)
    exchange.trouble = {25: UpstreamUnavailable("away", host="exchange")}
    store = MemorySeriesStore()
    with pytest.raises(UpstreamUnavailable):
        initial(store, exchange, days=101)
    # Each page but the first begins with the last three of the one before.
    kept = PAGES_A_COMMIT * 7 + 3
    assert len(rows_of(store)) == kept
    assert rows_of(store) == by_hand([item for item, _ in rows_of(store)])
    exchange.asked.clear()
    exchange.trouble = {}
    initial(store, exchange, days=101)
    assert exchange.asked[0].first == day(kept - COMPARED)
    assert rows_of(store) == by_hand(list(exchange.candles.values()))


@pytest.mark.parametrize("skew", [-50_000, 50_000])
def test_the_exchanges_clock_decides_what_is_closed(skew: int) -> None:
    exchange = FakeExchange.of(daily(range(302)), now=day(300))
    store = MemorySeriesStore()
    loads.initial(store, exchange, lambda: exchange.now + skew, history_days=50)
    assert rows_of(store)[-1][0].bucket == day(299)


class Midnight(FakeExchange):
    """An exchange whose day ends after the first request."""

    def page(self, series: Series, first: int, last: int) -> CandlePage:
        found = super().page(series, first, last)
        if len(self.asked) == 1:
            self.now += 86_400
        return found


def test_a_day_that_ends_during_a_load_is_stored_by_it_or_by_the_next_one() -> None:
    exchange = Midnight.of(daily(range(305)), now=day(300) + 86_399, page_size=100)
    store = MemorySeriesStore()
    initial(store, exchange, days=101)
    assert [item.bucket for item, _ in rows_of(store)][-1] in (day(299), day(300))
    incremental(store, exchange, days=101)
    assert rows_of(store) == by_hand(daily(range(301)))
