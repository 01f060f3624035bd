"""Inspecting a series: gaps with their cause, staleness, and when nothing needs doing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.market import (
    DAY,
    WARM_UP,
    WINDOWS,
    Absent,
    AverageRow,
    Interval,
    QuarantinedCandle,
    RefusedCandle,
    Series,
    SeriesState,
)
from app.domain.gaps import Span
from app.services.gaps import Cause, Gap, Inspection, Inspector, explain, inspect, is_stale, survey
from app.testing.series import MemorySeriesStore
from tests.support.candles import BTC, BTC_DAILY, ETH_DAILY, FakeExchange, candle, daily, day
from tests.support.candles import DAY as DAILY
from tests.support.loads import initial

MINUTE = Interval.MINUTE


def loaded(exchange: FakeExchange, days: int) -> MemorySeriesStore:
    """A store after an initial load by the exchange's clock."""
    store = MemorySeriesStore()
    initial(store, exchange, lambda: exchange.now, history_days=days)
    return store


def test_a_series_that_was_never_loaded_lacks_everything_and_is_stale() -> None:
    found = inspect(MemorySeriesStore(), BTC_DAILY, 100, day(300))
    assert found.gaps == (
        Gap(day(1), day(199), WARM_UP, Cause.NEVER_FETCHED, warm_up=True),
        Gap(day(200), day(299), 100, Cause.NEVER_FETCHED, warm_up=False),
    )
    assert (found.stored, found.missing, found.warm_up_missing) == (0, 100, WARM_UP)
    assert (found.newest, found.age, found.stale) == (None, None, True)
    assert (found.checked_at, found.checked_age) == (None, None)
    assert not found.complete()


def test_a_hole_is_split_where_its_cause_changes_and_where_the_served_period_begins() -> None:
    absent = [
        Absent(day(2), 1000, 1000),
        Absent(day(3), 1000, 1000 + DAY),
        Absent(day(4), 1000, 1000 + DAY - 1),
        Absent(day(9), 1000, 1000 + 9 * DAY),
    ]
    refused = [QuarantinedCandle(day(5), "odd", 1, 2), QuarantinedCandle(None, "odd", 1, 2)]
    holes = [Span(day(0), day(5)), Span(day(9), day(9))]
    assert explain(holes, absent, refused, DAY, served_from=day(1)) == [
        Gap(day(0), day(0), 1, Cause.NEVER_FETCHED, warm_up=True),
        Gap(day(1), day(1), 1, Cause.NEVER_FETCHED, warm_up=False),
        Gap(day(2), day(2), 1, Cause.ABSENT, warm_up=False),
        Gap(day(3), day(3), 1, Cause.CONFIRMED, warm_up=False),
        Gap(day(4), day(4), 1, Cause.ABSENT, warm_up=False),
        Gap(day(5), day(5), 1, Cause.REFUSED, warm_up=False),
        Gap(day(9), day(9), 1, Cause.CONFIRMED, warm_up=False),
    ]


def test_an_inspection_is_of_one_series_its_served_period_and_the_warm_up() -> None:
    exchange = FakeExchange.of(daily(n for n in range(-50, 300) if n != 250), now=day(300) + 600)
    store = loaded(exchange, 150)
    # What lies before the warm-up, or belongs to another series, is not counted.
    marks = [(BTC_DAILY, 0), (BTC_DAILY, 1), (BTC_DAILY, 299), (BTC_DAILY, 300)]
    marks += [(ETH_DAILY, 220), (Series(BTC, MINUTE), 220)]
    for series, number in marks:
        with store.begin(series) as unit:
            unit.quarantine([RefusedCandle(day(number), "odd")], 1)
            unit.finish(changed=False, now=1, checked=False)
    lost = AverageRow(day(0), (None, None, None))
    with store.begin(BTC_DAILY) as unit:
        unit.put_averages([replace(lost, bucket=day(n)) for n in (0, 1, 2, 299)])
        unit.finish(changed=True, now=day(300) + 60, checked=False)
    assert inspect(store, BTC_DAILY, 100, exchange.now + 60) == Inspection(
        BTC_DAILY,
        Span(day(200), day(299)),
        expected=100,
        gaps=(Gap(day(250), day(250), 1, Cause.ABSENT, warm_up=False),),
        wrong_averages=(Span(day(1), day(2)), Span(day(299), day(299))),
        newest=day(299),
        age=660,
        stale=False,
        checked_at=day(300) + 600,
        checked_age=60,
        quarantined=2,
    )


def test_a_repair_without_an_answer_is_the_cause_of_every_gap_that_is_not_confirmed() -> None:
    exchange = FakeExchange.of(daily(range(300)), now=day(300) + 600)
    whole = inspect(loaded(exchange, 100), BTC_DAILY, 100, exchange.now)
    gaps = tuple(Gap(day(n), day(n), 1, cause, n % 2 == 0) for n, cause in enumerate(Cause))
    causes = [gap.cause for gap in replace(whole, gaps=gaps).unanswered().gaps]
    assert causes == [c if c is Cause.CONFIRMED else Cause.UNREACHABLE for c in Cause]
    buckets = [gap.first for gap in replace(whole, gaps=gaps).unanswered().gaps]
    assert buckets == [gap.first for gap in gaps]


@given(holes=st.sets(st.integers(0, 99), max_size=30))
def test_the_gaps_are_exactly_the_missing_buckets(holes: set[int]) -> None:
    candles = [c for n, c in zip(range(100), daily(range(100)), strict=True) if n not in holes]
    exchange = FakeExchange.of(candles, now=day(100))
    found = inspect(loaded(exchange, 50), BTC_DAILY, 50, exchange.now)
    named = {
        warm_up: [n for g in gaps for n in range(g.first, g.last + 1, DAY)]
        for warm_up, gaps in groupby(found.gaps, lambda gap: gap.warm_up)
    }
    before = [day(n) for n in range(-149, 50) if n < 0 or n in holes]
    served = [day(n) for n in sorted(holes) if n >= 50]
    assert named == {True: before, **({False: served} if served else {})}
    assert (found.missing, found.warm_up_missing) == (len(served), len(before))
    assert found.wrong_averages == ()


@pytest.mark.parametrize(
    ("interval", "last", "checked_at", "now", "stale"),
    [
        # The newest candle is there, whoever brought it.
        (DAILY, day(9), None, day(10) + 3600, False),
        # The next one closed less than an hour ago.
        (DAILY, day(9), day(10), day(11) + 3599, False),
        # It closed an hour ago, and nobody asked since.
        (DAILY, day(9), day(10), day(11) + 3600, True),
        # Somebody asked after the close: the exchange has nothing newer.
        (DAILY, day(9), day(11), day(11) + 3600, False),
        # A day later it should have been asked again.
        (DAILY, day(9), day(11) + 60, day(12) + 3600, True),
        # A short interval gets its own length.
        (MINUTE, day(9), day(9) + 60, day(9) + 179, False),
        (MINUTE, day(9), day(9) + 60, day(9) + 180, True),
        (MINUTE, day(9), day(9) + 120, day(9) + 180, False),
        # Nothing was ever stored.
        (DAILY, None, None, day(9), True),
        (DAILY, None, day(9), day(9) + 5, False),
    ],
)
def test_data_is_stale_when_a_newer_closed_candle_was_not_asked_for_in_time(
    interval: Interval, last: int | None, checked_at: int | None, now: int, stale: bool
) -> None:
    state = SeriesState(1, last, last, checked_at)
    assert is_stale(state, interval, now) is stale


class LoadedMeanwhile(MemorySeriesStore):
    """A series without its newest `times` days; each look at the quarantine adds one."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.readings = 0
        self.load()

    def load(self) -> None:
        """What another process does."""
        days = 300 - self.times
        exchange = FakeExchange.of(daily(range(days)), now=day(days) + 600)
        initial(self, exchange, lambda: exchange.now, history_days=50)

    def quarantined(self, *asked: Any, notes: bool = True) -> list[QuarantinedCandle]:
        """Refused candles; then a load commits."""
        self.readings += 1
        found = super().quarantined(*asked, notes=notes)
        if self.times:
            self.times -= 1
            self.load()
        return found


@pytest.mark.parametrize(("loads", "missing"), [(0, 0), (1, 0), (2, 0), (3, 1)])
def test_a_series_that_changes_meanwhile_is_read_again_a_few_times(
    loads: int, missing: int
) -> None:
    store = LoadedMeanwhile(loads)
    assert inspect(store, BTC_DAILY, 50, day(300) + 600).missing == missing
    assert store.times == 0
    # Once more for each load, but not for ever; once where nothing changes.
    assert store.readings == min(loads + 1, 3)


class ReadStore(MemorySeriesStore):
    """Keeps how many spans each read of the stamps of candles was of."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[int] = []

    def buckets(self, series: Series, spans: Sequence[tuple[int, int]]) -> list[int]:
        self.reads.append(len(spans))
        return super().buckets(series, spans)

    def stretches(self, series: Series, first: int, last: int, size: int) -> list[tuple[int, int]]:
        counts = super().stretches(series, first, last, size)
        self.reads.clear()  # those that the counts have needed
        return counts


@pytest.mark.parametrize(("every", "parts"), [(1_000, 90), (800, 1)])
def test_one_read_is_of_few_holes_or_of_all_between_many(every: int, parts: int) -> None:
    store, series, size = ReadStore(), Series(BTC, MINUTE), 90_000
    start = day(0)
    numbers = [n for n in range(size) if n % every != 500]
    rows = []
    for n in numbers:
        after = (n - 501) % every if n > 500 else n
        rows.append(
            AverageRow(
                start + 60 * n, tuple(7 if after + 1 >= window else None for window in WINDOWS)
            )
        )
    with store.begin(series) as unit:
        unit.put_candles([candle(start + 60 * n, 10**8) for n in numbers])
        unit.put_averages(rows)
    holes, wrong = survey(store, series, Span(start, start + 60 * (size - 1)))
    assert holes == [Span(start + 60 * n, start + 60 * n) for n in range(500, size, every)]
    assert wrong == []
    assert store.reads == [parts]


def test_an_inspection_is_kept_until_something_that_it_depends_on_changes() -> None:
    exchange = FakeExchange.of(daily(n for n in range(300) if n != 250), now=day(300) + 600)
    store = loaded(exchange, 100)
    inspector, now = Inspector(store, 100), exchange.now

    def look() -> Inspection | None:
        """What is kept; then there is something."""
        _, kept = inspector.look(BTC_DAILY, now)
        basis, inspection = inspector.inspect(BTC_DAILY, now)
        assert inspection == inspect(store, BTC_DAILY, 100, now)
        assert kept is None or kept == inspection
        assert inspector.look(BTC_DAILY, now) == (basis, inspection)
        return kept

    assert look() is None
    assert look() is not None
    now += 1
    aged = look()
    assert aged is not None
    assert (aged.age, aged.checked_age) == (601, 1)
    with store.begin(BTC_DAILY) as unit:
        unit.note_absent([day(250)], int(exchange.now) + DAY)
    assert look() is None  # the absence is confirmed
    with store.begin(BTC_DAILY) as unit:
        unit.quarantine([RefusedCandle(day(250), "odd")], int(now))
    assert look() is None
    with store.begin(BTC_DAILY) as unit:
        unit.finish(changed=False, now=now)
    assert look() is None
    with store.begin(BTC_DAILY) as unit:
        unit.put_candles(daily([250]))
        unit.finish(changed=True, now=now)
    assert look() is None
    now = day(301)  # another day has closed
    assert look() is None
    now += 119
    assert look() is not None
    now += 1  # and its candle is due
    assert look() is None
    now = day(301) + 3600
    assert look() is None  # it is stale
    assert look() is not None


def test_an_inspection_during_which_the_series_changes_is_not_kept() -> None:
    store = LoadedMeanwhile(3)
    inspector, now = Inspector(store, 50), day(300) + 600
    basis, inspection = inspector.inspect(BTC_DAILY, now)
    assert (basis, inspection.missing) == (None, 1)
    assert inspector.look(BTC_DAILY, now)[1] is None
    basis, inspection = inspector.inspect(BTC_DAILY, now)
    assert inspector.look(BTC_DAILY, now) == (basis, inspection)
    assert inspection.missing == 0
