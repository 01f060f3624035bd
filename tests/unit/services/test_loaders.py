"""What a load plans to ask for and why, and that its caller hears of all that it does."""

from __future__ import annotations

import pytest

from app.core.errors import UpstreamUnavailable
from app.core.market import WARM_UP, Interval, RefusedCandle, Series
from app.domain.gaps import Span
from app.events.types import AveragesCalculated, CandlesLoaded, Event
from app.services.comparing import COMPARED
from app.services.loading import (
    LEAST_LOOK_AHEAD,
    LOOK_AHEAD,
    REREAD,
    LoadReport,
    Plan,
    load,
    plan_load,
)
from app.testing.series import MemorySeriesStore
from tests.support.candles import BTC, BTC_DAILY, FakeExchange, candle, daily, day
from tests.support.loads import incremental, initial

SECONDS = 86_400
AHEAD = LOOK_AHEAD * SECONDS


def gaps(
    store: MemorySeriesStore,
    now: float,
    *,
    history_days: int = 101,
    reread: int = REREAD,
    ask_absent_again: bool = False,
) -> list[Span]:
    """What a load at this time would ask for because it is missing."""
    plan = plan_load(
        store,
        BTC_DAILY,
        now,
        history_days=history_days,
        reread=reread,
        ask_absent_again=ask_absent_again,
    )
    return list(plan.gaps)


def catch_up(
    store: MemorySeriesStore, exchange: FakeExchange, history_days: int, reread: int = REREAD
) -> LoadReport:
    """An incremental load by the exchange's own clock; `asked` is of this load alone."""
    exchange.asked.clear()
    return incremental(
        store, exchange, lambda: exchange.now, history_days=history_days, reread=reread
    )


def loaded(exchange: FakeExchange, history_days: int) -> MemorySeriesStore:
    """A store after an initial load by the exchange's own clock."""
    store = MemorySeriesStore()
    initial(store, exchange, lambda: exchange.now, history_days=history_days)
    return store


def test_a_load_tells_of_every_page_and_every_commit() -> None:
    exchange = FakeExchange.of(daily(range(300)), now=day(300), page_size=100)
    told: list[int] = []
    heard: list[Event] = []
    store = MemorySeriesStore()
    report = load(
        plan_load(store, BTC_DAILY, exchange.now, history_days=101),
        store,
        exchange,
        lambda: exchange.now,
        on_page=told.append,
        publish=heard.append,
        pages_a_commit=1,
    )
    # Each page comes with the last three of the one before, and is committed at once.
    assert told == [97, 97, 97, 9]
    assert [type(event) for event in heard] == [CandlesLoaded, AveragesCalculated] * 4
    inserted = [event.inserted for event in heard if isinstance(event, CandlesLoaded)]
    assert inserted == [100, 97, 97, 6]
    assert (report.inserted, report.unchanged, report.newest) == (300, 9, day(299))


def test_a_load_counts_each_missing_candle_once_whatever_its_requests_repeat() -> None:
    exchange = FakeExchange.of(daily(range(300)), now=day(300), page_size=50)
    store = MemorySeriesStore()
    with store.begin(BTC_DAILY) as unit:
        unit.put_candles(daily(range(290, 300)))  # to compare with: one request more
        unit.finish(changed=True, now=day(300))
    holes = (Span(day(0), day(1)), Span(day(20), day(20)), Span(day(90), day(190)))
    plan = Plan(BTC_DAILY, gaps=holes)
    told: list[int] = []
    load(plan, store, exchange, lambda: exchange.now, on_page=told.append, pages_a_commit=1)
    assert sum(told) == plan.buckets(exchange.now) == 104


def test_what_the_exchange_lacked_is_asked_for_again_after_exactly_a_day() -> None:
    exchange = FakeExchange.of(daily(n for n in range(300) if n != 250), now=day(300))
    store = MemorySeriesStore()
    initial(store, exchange, lambda: exchange.now, history_days=101)
    assert gaps(store, day(301) - 1, ask_absent_again=True) == []
    assert gaps(store, day(301), ask_absent_again=True) == [Span(day(250), day(250))]
    assert gaps(store, day(301)) == []


def test_a_pair_of_which_the_exchange_has_nothing_is_asked_for_once_a_day() -> None:
    exchange = FakeExchange.of([], now=day(300))
    store = loaded(exchange, 101)
    assert len(exchange.asked) == 1
    assert plan_load(store, BTC_DAILY, exchange.now, history_days=101) == Plan(BTC_DAILY)
    assert catch_up(store, exchange, 101) == LoadReport(BTC_DAILY)
    assert exchange.asked == []
    exchange.now = day(301)
    assert catch_up(store, exchange, 101).absent == 300
    assert len(exchange.asked) == 1


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [
        (Interval.MINUTE, LEAST_LOOK_AHEAD),
        (Interval.QUARTER, LOOK_AHEAD * 900),
        (Interval.HOUR, LOOK_AHEAD * 3_600),
        (Interval.DAY, LOOK_AHEAD * SECONDS),
    ],
)
def test_the_newest_are_asked_for_beyond_our_own_clock_and_beyond_what_is_stored(
    interval: Interval, seconds: int
) -> None:
    store, series = MemorySeriesStore(), Series(BTC, interval)
    newest = day(300) - series.step
    with store.begin(series) as unit:
        unit.put_candles([candle(newest, 10**9)])
        unit.finish(changed=True, now=day(300))
    first = newest - 2 * series.step

    def recent(now: float) -> Span | None:
        return plan_load(store, series, now, history_days=1).newest

    assert recent(day(300)) == Span(first, newest + seconds)
    # The clock went on, or is behind what is stored already.
    later = day(310) - series.step
    assert recent(day(310)) == Span(first, later + seconds)
    assert recent(day(290)) == Span(first, newest + seconds)


def test_a_history_that_was_made_longer_is_fetched_once_and_equals_a_clean_load() -> None:
    exchange = FakeExchange.of(daily(range(600)), now=day(600) + 60)
    store = loaded(exchange, 101)
    report = catch_up(store, exchange, 365)
    assert (report.inserted, report.unchanged) == (365 - 101, REREAD + COMPARED)
    assert (report.newest, report.revision) == (day(599), store.state(BTC_DAILY).revision)
    whole = loaded(exchange, 365).rows(BTC_DAILY, 0, day(999))[1]
    assert store.rows(BTC_DAILY, 0, day(999))[1] == whole
    assert sum(row.values[-1] is not None for _, row in whole) == 365
    assert catch_up(store, exchange, 365).inserted == 0
    assert len(exchange.asked) == 1


def test_a_hole_that_nobody_asked_for_is_filled_wherever_an_average_needs_it() -> None:
    exchange = FakeExchange.of(daily(range(300)), now=day(300))
    whole = loaded(exchange, 101).rows(BTC_DAILY, 0, day(999))[1]
    for hole in (0, 1, WARM_UP - 1, WARM_UP, 250, 296):
        store = MemorySeriesStore()
        with store.begin(BTC_DAILY) as unit:
            unit.put_candles([item for item, _ in whole if item.bucket != day(hole)])
            unit.finish(changed=True, now=day(300))
        assert gaps(store, day(300)) == [Span(day(hole), day(hole))]
        assert catch_up(store, exchange, 101).inserted == 1
        (asked,) = exchange.asked[1:]
        assert asked.first <= day(hole) <= asked.last
        assert asked.count(SECONDS) <= 1 + 2 * COMPARED  # with some of its neighbours
        assert gaps(store, day(300)) == []


def test_what_the_exchange_never_had_or_what_was_refused_costs_no_request_at_any_run() -> None:
    """Its first candle is younger than the history, one day is missing, one is refused."""
    there = [item for item in daily(range(100, 300)) if item.bucket != day(150)]
    exchange = FakeExchange.of(there, now=day(300))
    exchange.refused = [RefusedCandle(day(150), "odd")]
    del exchange.candles[day(250)]
    store = loaded(exchange, 101)
    for hours in (1, 12, 23):
        exchange.now = day(300) + hours * 3600
        assert catch_up(store, exchange, 101).inserted == 0
        assert len(exchange.asked) == 1
    # What became wanted is asked for once.
    catch_up(store, exchange, 110)
    assert exchange.asked[1:] == [Span(day(-9), day(100 + COMPARED - 1))]
    catch_up(store, exchange, 110)
    assert len(exchange.asked) == 1


def test_a_hole_that_may_be_a_refused_candle_without_a_place_is_left_alone_for_a_day() -> None:
    exchange = FakeExchange.of(daily(n for n in range(303) if n != 250), now=day(300))
    exchange.refused = [RefusedCandle(None, "The stamp cannot be read.")]
    store = loaded(exchange, 101)
    hole = Span(day(250), day(250))
    for now, lost in ((day(300), []), (day(301) - 1, []), (day(301), [hole])):
        assert gaps(store, now) == lost
    exchange.refused = []
    exchange.candles[day(250)] = candle(day(250), 10**9)
    exchange.now = day(301)
    assert catch_up(store, exchange, 101).inserted == 2
    assert gaps(store, day(301)) == []


def test_trouble_with_an_old_bucket_does_not_keep_the_newest_away() -> None:
    exchange = FakeExchange.of(daily(range(301)), now=day(300))
    store = loaded(exchange, 50)
    exchange.now = day(301)
    exchange.trouble = {1: UpstreamUnavailable("too old", host="exchange")}
    with pytest.raises(UpstreamUnavailable, match="too old"):
        catch_up(store, exchange, 101)
    assert store.state(BTC_DAILY).last == day(300)
    assert store.state(BTC_DAILY).checked_at == day(301)


@pytest.mark.parametrize("ask_absent_again", [False, True])
def test_a_series_with_nothing_stored_is_one_gap_from_its_warm_up_to_beyond_our_clock(
    ask_absent_again: bool,
) -> None:
    plan = plan_load(
        MemorySeriesStore(),
        BTC_DAILY,
        day(300) + 60,
        history_days=101,
        ask_absent_again=ask_absent_again,
    )
    whole = Span(day(0), day(299) + AHEAD)
    assert plan == Plan(BTC_DAILY, gaps=(whole,))
    assert plan.buckets(day(300) + 60) == 300


def test_the_newest_come_first_and_then_what_is_missing_before_them() -> None:
    exchange = FakeExchange.of(daily(range(300)), now=day(300))
    store = loaded(exchange, 50)
    plan = plan_load(store, BTC_DAILY, day(301), history_days=101)
    newest = Span(day(297), day(300) + AHEAD)
    assert plan == Plan(BTC_DAILY, newest, (Span(day(1), day(50)),))
    assert plan.buckets(day(301)) == 4 + 50
    assert plan_load(store, BTC_DAILY, day(301), history_days=51).gaps == ()


def test_a_year_of_days_is_asked_for_in_two_requests_and_brought_up_to_date_by_one() -> None:
    exchange = FakeExchange.of(daily(range(600)), now=day(600) + 60)
    store = loaded(exchange, 365)
    assert len(exchange.asked) == 2
    exchange.now += SECONDS
    assert catch_up(store, exchange, 365).newest == day(599)
    assert len(exchange.asked) == 1
