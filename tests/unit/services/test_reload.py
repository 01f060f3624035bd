"""A reload puts a whole series in place of the stored one, or changes nothing of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.core.errors import PriceScaleChanged, UpstreamError, UpstreamNonsense
from app.core.market import CandlePage, RefusedCandle, Series
from app.domain.gaps import Span
from app.services.loading import LoadReport, Plan, plan_reload, reload
from app.testing.series import MemorySeriesStore
from tests.support.candles import BTC_DAILY, ETH_DAILY, FakeExchange, Rows, by_hand, calm, day
from tests.support.loads import initial

DAYS = 120


def exchange(days: int = DAYS, *, factor: int = 1, page_size: int = 40) -> FakeExchange:
    """An exchange that has so many days, at this price scale."""
    candles = [
        replace(
            item,
            **{name: getattr(item, name) * factor for name in ("open", "high", "low", "close")},
        )
        for item in calm(range(days))
    ]
    return FakeExchange(day(days), {c.bucket: c for c in candles}, page_size=page_size)


def again(
    store: MemorySeriesStore, market: FakeExchange, *, lose_missing: bool = False
) -> LoadReport:
    """Reload a history of ten days."""
    plan = plan_reload(store, BTC_DAILY, market.now, history_days=10)
    return reload(plan, store, market, lambda: market.now, lose_missing=lose_missing)


def rows(store: MemorySeriesStore, series: Series = BTC_DAILY) -> Rows:
    return store.rows(series, 0, 2**40)[1]


@pytest.fixture
def store() -> MemorySeriesStore:
    """A hundred and twenty days of two pairs, and a refused candle of one."""
    made, market = MemorySeriesStore(), exchange()
    for series in (BTC_DAILY, ETH_DAILY):
        initial(made, market, lambda: market.now, history_days=DAYS, series=series)
    with made.begin(BTC_DAILY) as unit:
        unit.quarantine([RefusedCandle(day(3), "It came multiplied.")], DAYS)
        unit.finish(changed=False, now=market.now)
    return made


def test_all_candles_come_anew_and_nothing_else_changes(store: MemorySeriesStore) -> None:
    revision, other = store.state(BTC_DAILY).revision, rows(store, ETH_DAILY)
    report = again(store, market := exchange(factor=1000))
    assert rows(store) == by_hand(list(market.candles.values()))
    assert (report.inserted, report.revised, report.newest) == (DAYS, 0, day(DAYS - 1))
    assert store.state(BTC_DAILY).revision == report.revision > revision
    assert store.quarantined(BTC_DAILY, 0, day(DAYS)) == []
    assert rows(store, ETH_DAILY) == other


def test_a_stored_candle_is_lost_only_where_that_was_said(store: MemorySeriesStore) -> None:
    before, market = (store.state(BTC_DAILY), rows(store)), exchange(factor=1000)
    del market.candles[day(7)], market.candles[day(9)]
    with pytest.raises(UpstreamNonsense, match="does not send 2 of the stored") as told:
        again(store, market)
    assert "--lose-missing" in str(told.value)
    assert (store.state(BTC_DAILY), rows(store)) == before
    again(store, market, lose_missing=True)
    assert rows(store) == by_hand(list(market.candles.values()))


def test_a_series_is_never_replaced_by_nothing(store: MemorySeriesStore) -> None:
    before, market = (store.state(BTC_DAILY), rows(store)), exchange()
    market.candles.clear()
    with pytest.raises(UpstreamNonsense, match="no other candle either"):
        again(store, market, lose_missing=True)
    assert (store.state(BTC_DAILY), rows(store)) == before


class Trouble(FakeExchange):
    """An exchange that fails, or changes its scale, with the fourth request."""

    error: UpstreamError | None = None

    def page(self, series: Series, first: int, last: int) -> CandlePage:
        page = super().page(series, first, last)
        if len(self.asked) < 4:
            return page
        if self.error is not None:
            raise self.error
        names = ("open", "high", "low", "close")
        candles = [replace(c, **{n: getattr(c, n) * 1000 for n in names}) for c in page.candles]
        return replace(page, candles=tuple(candles))


@pytest.mark.parametrize("error", [UpstreamNonsense("Nothing.", host="the exchange"), None])
def test_nothing_changes_unless_all_pages_have_come_at_one_scale(
    store: MemorySeriesStore, error: UpstreamError | None
) -> None:
    before = (rows(store), store.state(BTC_DAILY).checked_at)
    sane = exchange()
    market = Trouble(sane.now, sane.candles, page_size=40)
    market.error = error
    with pytest.raises(UpstreamNonsense if error else PriceScaleChanged):
        again(store, market)
    assert (rows(store), store.state(BTC_DAILY).checked_at) == before


def test_the_oldest_stored_candle_is_where_it_begins(store: MemorySeriesStore) -> None:
    market = exchange()
    plan = plan_reload(store, BTC_DAILY, market.now, history_days=10)
    # The served history and its warm-up reach further back than what the exchange has.
    assert plan.gaps[0].first == day(DAYS - 10 - 199)
    later = plan_reload(store, BTC_DAILY, market.now + 365 * 86_400, history_days=10)
    assert later.gaps[0].first == day(0)


def test_an_exchange_whose_clock_is_ahead_is_asked_no_further_than_planned() -> None:
    market = exchange()
    market.now = day(DAYS + 9)
    plan = Plan(BTC_DAILY, gaps=(Span(day(0), day(DAYS - 1)),))
    report = reload(plan, MemorySeriesStore(), market, lambda: market.now)
    assert (report.inserted, report.newest) == (DAYS, day(DAYS - 1))
