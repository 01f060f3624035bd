"""Books of candles: holes, replacements, and walking back from an end."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from app.core.market import DAY, Interval, Pair, Series
from app.sandbox.book import Bar, EditableBook, ReplayBook, newest
from app.sandbox.simulation import Simulation
from tests.support.candles import BTC, BTC_DAILY, ETH_DAILY
from tests.support.exchange import T, bar

ETH = Pair("ETH", "BRL")
NOW = T + 10_000 * DAY


def days(*numbers: int, price: str = "100") -> list[Bar]:
    return [bar(T + number * DAY, price) for number in numbers]


def test_an_edited_book_hides_whole_buckets_of_every_interval_and_sends_other_candles() -> None:
    hourly = Series(BTC, Interval.HOUR)
    hours = [bar(T + hour * 3600) for hour in range(72)]
    base = {BTC_DAILY: days(0, 1, 2), hourly: hours, ETH_DAILY: days(1)}  # fmt: skip
    book = EditableBook(ReplayBook(base))

    def found(series: Series = BTC_DAILY) -> list[Bar]:
        return list(book.candles(series, T, NOW + 9 * DAY, NOW))

    second = (T + DAY, T + 2 * DAY)
    book.remove(BTC, second)
    book.remove(BTC, (T + 2 * DAY, T + 3 * DAY - 1))  # which is not a whole day
    assert found() == days(0, 2)
    assert found(hourly) == [*hours[:24], hours[71]]
    assert found(ETH_DAILY) == days(1)
    book.restore(BTC, second)
    assert found() == days(0, 1, 2)
    book.replace(BTC_DAILY, [*days(1, 7, price="5"), bar(NOW + DAY)])
    assert found() == [*days(0), *days(1, price="5"), *days(2), *days(7, price="5")]
    book.reset()
    assert (found(), found(hourly)) == (days(0, 1, 2), hours)


@given(
    present=st.sets(st.integers(0, 3000), max_size=40),
    first=st.integers(-5, 3005),
    last=st.integers(-5, 3005),
    limit=st.integers(1, 50),
    offset=st.integers(0, DAY - 1),
)
def test_walking_back_finds_the_newest_candles_however_far_apart_they_lie(
    present: set[int], first: int, last: int, limit: int, offset: int
) -> None:
    bars = [dataclasses.replace(b, stamp=b.stamp + offset) for b in days(*sorted(present))]
    replay = ReplayBook({BTC_DAILY: bars})
    low, high = T + first * DAY, T + last * DAY
    found = newest(replay, BTC_DAILY, low, high, NOW, limit)
    assert found == [b for b in bars if low <= b.stamp <= high][-limit:]


def test_walking_back_over_all_of_time_asks_a_simulation_for_little() -> None:
    asked: list[int] = []

    class Counting(Simulation):
        def candles(self, series: Series, first: int, last: int, now: float) -> list[Bar]:
            asked.append((last - first) // series.step + 1)
            return list(super().candles(series, first, last, now))

    found = newest(Counting(1), Series(BTC, Interval.MINUTE), 0, 2 * NOW, NOW, 1000)
    assert len(found) == 1000
    assert sum(asked) < 5000
