"""Which buckets the two loaders ask for, and that their callers hear of all that they do."""

from __future__ import annotations

import pytest

from app.core.errors import UpstreamUnavailable
from app.core.market import WARM_UP, Interval
from app.db.memory import MemorySeriesStore
from app.events.types import AveragesCalculated, CandlesLoaded, Event
from app.services.loaders import (
    LEAST_LOOK_AHEAD,
    LOOK_AHEAD,
    REREAD,
    load_incremental,
    load_initial,
    since_last,
    to_fetch,
)
from app.utils.gaps import Span
from tests.support.candles import BTC, DAY, FakeExchange, candle, daily, day

SECONDS = 86_400


def test_an_initial_load_tells_of_every_page_and_every_commit() -> None:
    exchange = FakeExchange.of(daily(range(300)), now=day(300), page_size=100)
    told: list[int] = []
    heard: list[Event] = []
    report = load_initial(
        MemorySeriesStore(),
        exchange,
        lambda: exchange.now,
        BTC,
        DAY,
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


def test_the_incremental_part_of_an_initial_load_tells_of_its_pages_and_commits() -> None:
    exchange = FakeExchange.of(daily(range(300)), now=day(300))
    store = MemorySeriesStore()
    load_initial(store, exchange, lambda: exchange.now, BTC, DAY, history_days=101)
    exchange.candles[day(300)] = candle(day(300), 10**9)
    exchange.now = day(301)
    told: list[int] = []
    heard: list[Event] = []
    # Our clock is a day behind: only what looks ahead of it finds the new candle.
    load_initial(
        store,
        exchange,
        lambda: day(300),
        BTC,
        DAY,
        history_days=101,
        on_page=told.append,
        publish=heard.append,
    )
    assert told == [REREAD + 1]
    assert [type(event) for event in heard] == [CandlesLoaded, AveragesCalculated]


def test_an_incremental_load_tells_of_every_page_and_every_commit() -> None:
    exchange = FakeExchange.of(daily(range(300)), now=day(300))
    told: list[int] = []
    heard: list[Event] = []
    load_incremental(
        MemorySeriesStore(),
        exchange,
        lambda: exchange.now,
        BTC,
        DAY,
        history_days=101,
        on_page=told.append,
        publish=heard.append,
    )
    assert told == [101 + WARM_UP]
    assert [type(event) for event in heard] == [CandlesLoaded, AveragesCalculated]


def test_what_a_caller_raises_at_a_page_ends_the_load_there() -> None:
    exchange = FakeExchange.of(daily(range(300)), now=day(300), page_size=100)
    store = MemorySeriesStore()

    def stop(_: int) -> None:
        raise UpstreamUnavailable("enough", host="nobody")

    with pytest.raises(UpstreamUnavailable, match="enough"):
        load_initial(
            store, exchange, lambda: exchange.now, BTC, DAY, history_days=101, on_page=stop
        )
    assert len(exchange.asked) == 1
    assert store.buckets(BTC, DAY, 0, day(999)) == []


def test_what_the_exchange_lacked_is_asked_for_again_after_exactly_a_day() -> None:
    exchange = FakeExchange.of(daily(n for n in range(300) if n != 250), now=day(300))
    store = MemorySeriesStore()
    load_initial(store, exchange, lambda: exchange.now, BTC, DAY, history_days=101)
    again = Span(day(250), day(250))
    assert to_fetch(store, BTC, DAY, 101, day(301) - 1) == []
    assert again in to_fetch(store, BTC, DAY, 101, day(301))


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
    with store.begin(BTC, interval) as unit:
        unit.put_candles([candle(newest, 10**9)])
        unit.finish(changed=True, now=day(300))
    first = newest - 2 * interval.seconds
    assert since_last(store, BTC, interval, 3, day(300)) == [Span(first, newest + seconds)]
    # The clock went on, or is behind what is stored already.
    later = day(310) - interval.seconds
    assert since_last(store, BTC, interval, 3, day(310)) == [Span(first, later + seconds)]
    assert since_last(store, BTC, interval, 3, day(290)) == [Span(first, newest + seconds)]
