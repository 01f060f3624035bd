"""What goes wrong at the demo's exchange: on which days, and what its candles are then."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from app.core.market import DAY, Interval, Pair, Series
from app.sandbox.book import Bar, EditableBook
from app.sandbox.incidents import NEEDED_DAYS, Incidents, MissingDays
from app.sandbox.simulation import Simulation

BTC = Series(Pair("BTC", "BRL"), Interval.DAY)
HOURS = Series(Pair("BTC", "BRL"), Interval.HOUR)
NOW = 1_796_072_400.0  # 2026-11-30 21:00 UTC
YESTERDAY = int(NOW) // DAY * DAY - DAY


def number(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def test_the_missing_days_cost_no_newest_average_and_lie_in_the_history_that_they_need() -> None:
    today = int(NOW) // DAY
    for now in range(today, today + 1_500):
        days = MissingDays.before(now * DAY + 3_600)
        ages = [now - each // DAY for each in (days.lasting, days.late, days.refused)]
        assert max(ages) < NEEDED_DAYS
        assert min(ages) > 201  # the newest candle may be that of the day before yesterday


def test_the_missing_days_stay_the_same_for_months() -> None:
    today = int(NOW) // DAY
    firsts = [MissingDays.before(now * DAY).lasting for now in range(today, today + 1_400)]
    assert len(set(firsts)) == 11
    assert firsts == sorted(firsts)


def test_the_averages_over_20_and_50_days_that_the_documents_show_have_them_all() -> None:
    begin, end = number(date(2026, 10, 1)) - 49, number(date(2026, 11, 1))
    today = int(NOW) // DAY
    for now in range(today, today + 1_500):
        days = MissingDays.before(now * DAY)
        for each in (days.lasting, days.late, days.refused):
            assert not begin <= each // DAY <= end, datetime.fromtimestamp(each, UTC)


def bars(book: EditableBook, series: Series, day: int) -> list[Bar]:
    return list(book.candles(series, day, day + DAY - series.step, NOW))


def test_a_day_stays_missing_at_every_interval_and_another_one_comes() -> None:
    book, days = EditableBook(Simulation(1)), MissingDays.before(NOW)
    incidents = Incidents(book, BTC, days, NOW)
    incidents.begin()
    for series in (BTC, HOURS):
        assert bars(book, series, days.lasting) == bars(book, series, days.late) == []
    incidents.end()
    for series in (BTC, HOURS):
        assert bars(book, series, days.lasting) == []
        assert bars(book, series, days.late) == bars(EditableBook(Simulation(1)), series, days.late)


def test_a_close_is_changed_back_to_the_simulated_one() -> None:
    book = EditableBook(Simulation(1))
    (true,) = bars(book, BTC, YESTERDAY - DAY)
    incidents = Incidents(book, BTC, None, NOW)
    assert bars(book, BTC, YESTERDAY - DAY) == [true]
    incidents.begin()
    (provisional,) = bars(book, BTC, YESTERDAY - DAY)
    assert provisional.close > true.close
    assert provisional.low <= provisional.close <= provisional.high
    incidents.end()
    assert bars(book, BTC, YESTERDAY - DAY) == [true]


@pytest.mark.parametrize("series", [BTC, HOURS])
def test_one_candle_closes_above_its_high(series: Series) -> None:
    book, days = EditableBook(Simulation(1)), MissingDays.before(NOW)
    Incidents(book, series, days, NOW)
    impossible = [bar.stamp for bar in bars(book, series, days.refused) if bar.close > bar.high]
    assert impossible == [days.refused]
