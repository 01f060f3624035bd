"""A reply at another price scale is noticed before it is stored, in any part of a series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import pytest

from app.core.errors import PriceScaleChanged, UpstreamNonsense
from app.core.market import Candle, CandlePage, RefusedCandle, Series
from app.domain.gaps import Span
from app.services.comparing import COMPARED, requests
from app.services.loading import LoadReport, Plan, load, plan_load
from app.testing.series import MemorySeriesStore
from tests.support.candles import BTC_DAILY, DAY, FakeExchange, calm, day
from tests.support.loads import incremental, initial

FACTORS = [Fraction(100), Fraction(1, 1000)]


@dataclass
class Rescaling(FakeExchange):
    """An exchange that multiplies the prices of the requests (from 0) that `wrong` names."""

    factor: Fraction = Fraction(1)
    wrong: Callable[[int], bool] = field(default=lambda number: True)

    def page(self, series: Series, first: int, last: int) -> CandlePage:
        page = super().page(series, first, last)
        if not self.wrong(len(self.asked) - 1):
            return page
        return replace(page, candles=tuple(times(item, self.factor) for item in page.candles))


@dataclass
class Short(Rescaling):
    """An exchange that sends no more than the newest `limit` of the candles it is asked for."""

    limit: int = 500

    def page(self, series: Series, first: int, last: int) -> CandlePage:
        page = super().page(series, first, last)
        return replace(page, candles=page.candles[-self.limit :])


def short(limit: int) -> Short:
    """One that has three hundred days."""
    market = exchange(page_size=100)
    return Short(market.now, market.candles, page_size=100, limit=limit)


def times(item: Candle, factor: Fraction) -> Candle:
    """The candle at another scale."""
    names = ("open", "high", "low", "close")
    return replace(item, **{name: round(getattr(item, name) * factor) for name in names})


def exchange(days: int = 300, page_size: int = 500) -> Rescaling:
    """An exchange that has so many days."""
    return Rescaling(day(days), {c.bucket: c for c in calm(range(days))}, page_size=page_size)


def stored(market: FakeExchange, *spans: tuple[int, int]) -> MemorySeriesStore:
    """A store that holds these days, first and last."""
    store = MemorySeriesStore()
    for first, last in spans:
        with store.begin(BTC_DAILY) as unit:
            unit.put_candles([market.candles[day(n)] for n in range(first, last + 1)])
            unit.finish(changed=True, now=market.now)
    return store


def fetch(
    store: MemorySeriesStore, market: FakeExchange, first: int, last: int, **options: Any
) -> LoadReport:
    """Load these days, first and last."""
    plan = Plan(BTC_DAILY, gaps=(Span(day(first), day(last)),))
    return load(plan, store, market, lambda: market.now, **options)


def rows(store: MemorySeriesStore) -> object:
    return store.rows(BTC_DAILY, 0, 2**40)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(
    "there",
    [
        [(200, 299)],  # the days before are asked for
        [(0, 149), (151, 299)],  # a hole of one
        [(0, 99), (200, 299)],  # a long one
        [(0, 200)],  # what came since
        [(0, 10), (290, 299)],
        [(150, 150)],  # one candle alone
    ],
)
def test_nothing_at_another_scale_is_stored_wherever_it_belongs(
    there: list[tuple[int, int]], factor: Fraction
) -> None:
    market = exchange()
    store = stored(market, *there)
    before, state = rows(store), store.state(BTC_DAILY)
    plan = plan_load(store, BTC_DAILY, market.now, history_days=101)
    market.factor = factor
    parts = (replace(plan, gaps=()), replace(plan, newest=None))
    for part in filter(lambda part: any(part.parts), parts):
        with pytest.raises(PriceScaleChanged, match=f"multiplied by {float(factor):g}, "):
            load(part, store, market, lambda: market.now)
        assert (rows(store), store.state(BTC_DAILY)) == (before, state)
    assert store.absences(BTC_DAILY, 0, day(999)) == []
    assert store.quarantined(BTC_DAILY, 0, day(999)) != []
    market.factor = Fraction(1)
    initial(store, market, lambda: market.now, history_days=101)
    assert [item for item, _ in store.rows(BTC_DAILY, 0, 2**40)[1]] == calm(range(300))


def test_a_history_of_many_commits_is_compared_before_the_first() -> None:
    market = exchange(page_size=10)
    store = stored(market, (290, 299))
    before = rows(store)
    market.factor = Fraction(100)
    with pytest.raises(PriceScaleChanged):
        fetch(store, market, 0, 289, pages_a_commit=2)
    assert rows(store) == before
    assert market.asked[0] == Span(day(290), day(292))
    assert len(market.asked) == 2
    market.factor = Fraction(1)
    report = fetch(store, market, 0, 289, pages_a_commit=2)
    assert report.inserted == 290


@pytest.mark.parametrize("number", range(4))
def test_one_reply_among_many_at_another_scale_is_noticed_though_nothing_is_stored(
    number: int,
) -> None:
    market = exchange(page_size=100)
    market.factor, market.wrong = Fraction(100), lambda request: request == number
    store = MemorySeriesStore()
    with pytest.raises(PriceScaleChanged):
        fetch(store, market, 0, 299)
    assert store.buckets(BTC_DAILY, [(0, 2**40)]) == []


def test_a_market_that_crashed_while_nobody_loaded_is_stored() -> None:
    market = exchange()
    store = stored(market, (0, 250))
    for number in range(251, 300):
        market.candles[day(number)] = times(market.candles[day(number)], Fraction(1, 20))
    report = incremental(store, market, lambda: market.now, history_days=101)
    assert (report.inserted, report.revised, report.refused) == (49, 0, ())


def test_a_reply_without_any_of_the_candles_that_are_known_is_not_believed() -> None:
    market = exchange()
    store = stored(market, (200, 299))
    for number in range(200, 203):
        del market.candles[day(number)]
    with pytest.raises(UpstreamNonsense, match="of the same scale: none of them is stored") as told:
        fetch(store, market, 100, 199)
    assert "python -m app update --reread 30" in str(told.value)
    assert store.buckets(BTC_DAILY, [(0, 2**40)]) == [day(number) for number in range(200, 300)]
    assert store.absences(BTC_DAILY, 0, 2**40) == []
    refused = store.quarantined(BTC_DAILY, 0, 2**40)
    assert {item.bucket for item in refused} == {day(number) for number in range(100, 200)}
    # What is compared with more of them is believed.
    report = fetch(store, market, 100, 299)
    assert (report.inserted, report.absent) == (100, 0)


@pytest.mark.parametrize("lost", ["withdrawn", "refused"])
def test_new_candles_beside_newest_ones_that_cannot_be_compared_wait(lost: str) -> None:
    market = exchange()
    store = stored(market, (0, 289))
    for number in range(287, 290):
        del market.candles[day(number)]
        if lost == "refused":
            market.refused.append(RefusedCandle(day(number), "odd"))
    market.factor = Fraction(100)
    before = store.state(BTC_DAILY)

    def catch_up(reread: int = 3) -> LoadReport:
        return incremental(store, market, lambda: market.now, history_days=90, reread=reread)

    with pytest.raises(UpstreamNonsense):
        catch_up()
    with pytest.raises(PriceScaleChanged):
        catch_up(reread=300)
    after = store.state(BTC_DAILY)
    assert (after.last, after.checked_at) == (before.last, before.checked_at)


@pytest.mark.parametrize("limit", [4, 99])
def test_a_host_that_sends_fewer_candles_than_it_is_asked_for_is_asked_on(limit: int) -> None:
    market = short(limit)
    store = MemorySeriesStore()
    told: list[int] = []
    report = fetch(store, market, 0, 299, on_page=told.append)
    assert (report.inserted, report.absent) == (300, 0)
    assert sum(told) == 300
    assert told.count(0) == len(market.asked) - 4  # so that a lease is renewed meanwhile


def test_a_beginning_that_is_missing_is_asked_for_once_more_and_then_believed() -> None:
    market = exchange()
    for number in range(100):
        del market.candles[day(number)]
    store = MemorySeriesStore()
    report = fetch(store, market, 0, 299)
    assert (report.inserted, report.absent) == (200, 100)
    assert market.asked == [Span(day(0), day(299)), Span(day(0), day(99 + COMPARED))]


def test_what_two_replies_repeat_is_counted_and_noted_once() -> None:
    market = exchange(page_size=100)
    del market.candles[day(98)], market.candles[day(99)]
    market.refused = [RefusedCandle(day(99), "odd")]
    store = MemorySeriesStore()
    report = fetch(store, market, 0, 299)
    assert (report.inserted, report.absent, len(report.refused)) == (298, 1, 1)
    assert [item.bucket for item in store.absences(BTC_DAILY, 0, 2**40)] == [day(98)]


def asked(
    spans: list[tuple[int, int]],
    there: list[tuple[int, int]],
    size: int = 100,
    pages_a_commit: int = 20,
) -> list[tuple[int, int]]:
    """The requests for spans of days, where these days are stored, as days."""
    store = stored(exchange(1000), *there)
    wanted = [Span(day(first), day(last)) for first, last in spans]
    found = requests(store, BTC_DAILY, wanted, size, pages_a_commit)
    return [((s.first - day(0)) // DAY.seconds, (s.last - day(0)) // DAY.seconds) for s in found]


def test_requests_reach_over_what_is_stored_and_no_farther() -> None:
    assert asked([], [(0, 9)]) == []
    assert asked([(0, 49)], []) == [(0, 49)]
    assert asked([(0, 49)], [(50, 299)]) == [(0, 52)]
    assert asked([(50, 99)], [(0, 49)]) == [(47, 99)]
    assert asked([(50, 50)], [(0, 49), (51, 99)]) == [(48, 51)]
    # What holds something stored needs nothing more: a load since the last candle, say.
    assert asked([(47, 140)], [(0, 49)]) == [(47, 140)]
