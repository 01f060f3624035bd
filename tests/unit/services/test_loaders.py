"""Which buckets the two loaders ask for, and that their callers hear of all that they do."""

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
    load_incremental,
    load_initial,
    overlooked,
    since_last,
    to_catch_up,
    to_fetch,
)
from app.testing.series import MemorySeriesStore
from tests.support.candles import BTC, BTC_DAILY, FakeExchange, candle, daily, day

SECONDS = 86_400


def catch_up(
    store: MemorySeriesStore, exchange: FakeExchange, history_days: int, reread: int = REREAD
) -> LoadReport:
    """An incremental load by the exchange's own clock; `asked` is of this load alone."""
    exchange.asked.clear()
    return load_incremental(
        store,
        exchange,
        lambda: exchange.now,
        BTC_DAILY,
        history_days=history_days,
        reread=reread,
    )


def loaded(exchange: FakeExchange, history_days: int) -> MemorySeriesStore:
    """A store after an initial load by the exchange's own clock."""
    store = MemorySeriesStore()
    load_initial(store, exchange, lambda: exchange.now, BTC_DAILY, history_days=history_days)
    return store


def test_an_initial_load_tells_of_every_page_and_every_commit() -> None:
    exchange = FakeExchange.of(daily(range(300)), now=day(300), page_size=100)
    told: list[int] = []
    heard: list[Event] = []
    report = load_initial(
        MemorySeriesStore(),
        exchange,
        lambda: exchange.now,
        BTC_DAILY,
        history_days=101,
        on_page=told.append,
        publish=heard.append,
        pages_a_commit=1,
    )
    # The whole history, each page with the last three of the one before and committed at once, then the
    # newest three again.
    assert told == [100, 100, 100, 9, 3]
    assert [type(event) for event in heard] == [CandlesLoaded, AveragesCalculated] * 4
    inserted = [event.inserted for event in heard if isinstance(event, CandlesLoaded)]
    assert inserted == [100, 97, 97, 6]
    assert (report.inserted, report.unchanged, report.newest) == (300, 9 + 3, day(299))


def test_what_the_exchange_lacked_is_asked_for_again_after_exactly_a_day() -> None:
    exchange = FakeExchange.of(daily(n for n in range(300) if n != 250), now=day(300))
    store = MemorySeriesStore()
    load_initial(store, exchange, lambda: exchange.now, BTC_DAILY, history_days=101)
    again = Span(day(250), day(250))
    assert to_fetch(store, BTC_DAILY, 101, day(301) - 1) == []
    assert again in to_fetch(store, BTC_DAILY, 101, day(301))


def test_a_pair_of_which_the_exchange_has_nothing_is_asked_for_once_a_day() -> None:
    exchange = FakeExchange.of([], now=day(300))
    store = loaded(exchange, 101)
    assert since_last(store, BTC_DAILY, REREAD, exchange.now) == []
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
def test_an_incremental_load_asks_beyond_its_own_clock_and_beyond_what_is_stored(
    interval: Interval, seconds: int
) -> None:
    store = MemorySeriesStore()
    newest = day(300) - interval.seconds
    with store.begin(Series(BTC, interval)) as unit:
        unit.put_candles([candle(newest, 10**9)])
        unit.finish(changed=True, now=day(300))
    first = newest - 2 * interval.seconds
    assert since_last(store, Series(BTC, interval), 3, day(300)) == [Span(first, newest + seconds)]
    # The clock went on, or is behind what is stored already.
    later = day(310) - interval.seconds
    assert since_last(store, Series(BTC, interval), 3, day(310)) == [Span(first, later + seconds)]
    assert since_last(store, Series(BTC, interval), 3, day(290)) == [Span(first, newest + seconds)]


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
        assert overlooked(store, BTC_DAILY, 101, day(297), day(300)) == [Span(day(hole), day(hole))]
        assert catch_up(store, exchange, 101).inserted == 1
        (asked,) = exchange.asked[1:]
        assert asked.first <= day(hole) <= asked.last
        assert asked.count(SECONDS) <= 1 + 2 * COMPARED  # with some of its neighbours
        assert overlooked(store, BTC_DAILY, 101, day(297), day(300)) == []


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
        assert overlooked(store, BTC_DAILY, 101, day(297), now) == lost
    exchange.refused = []
    exchange.candles[day(250)] = candle(day(250), 10**9)
    exchange.now = day(301)
    assert catch_up(store, exchange, 101).inserted == 2
    assert overlooked(store, BTC_DAILY, 101, day(297), day(301)) == []


def test_trouble_with_an_old_bucket_does_not_keep_the_newest_away() -> None:
    exchange = FakeExchange.of(daily(range(301)), now=day(300))
    store = loaded(exchange, 50)
    exchange.now = day(301)
    exchange.trouble = {1: UpstreamUnavailable("too old", host="exchange")}
    with pytest.raises(UpstreamUnavailable, match="too old"):
        catch_up(store, exchange, 101)
    assert store.state(BTC_DAILY).last == day(300)
    assert store.state(BTC_DAILY).checked_at == day(301)


def test_a_series_with_nothing_stored_is_caught_up_from_the_beginning_of_its_history() -> None:
    store, now = MemorySeriesStore(), day(300)
    assert to_catch_up(store, BTC_DAILY, 101, REREAD, now) == [to_fetch(store, BTC_DAILY, 101, now)]
