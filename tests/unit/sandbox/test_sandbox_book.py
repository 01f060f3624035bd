"""Books of candles: holes, replacements, and walking back from an end."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.market import DAY, Interval, Pair
from app.sandbox.book import Bar, EditableBook, ReplayBook, newest
from app.sandbox.simulation import Simulation

BTC, ETH = Pair("BTC", "BRL"), Pair("ETH", "BRL")
T = 1_700_006_400
NOW = T + 10_000 * DAY


def bar(stamp: int, price: int = 100) -> Bar:
    value = Decimal(price)
    return Bar(stamp, value, value, value, value, Decimal(1))


def days(*numbers: int, price: int = 100) -> list[Bar]:
    return [bar(T + number * DAY, price) for number in numbers]


def stamps_in(book: EditableBook, interval: Interval = Interval.DAY, pair: Pair = BTC) -> list[int]:
    step = interval.seconds
    return [(b.stamp - T) // step for b in book.candles(pair, interval, T - DAY, NOW, NOW)]


@pytest.fixture
def book() -> EditableBook:
    return EditableBook(
        ReplayBook(
            {
                (BTC, Interval.DAY): days(*range(6)),
                (BTC, Interval.HOUR): [bar(T + hour * 3600) for hour in range(72)],
                (ETH, Interval.DAY): days(*range(6)),
            }
        )
    )


def test_a_replayed_candle_is_not_sent_before_it_has_begun() -> None:
    replay = ReplayBook({(BTC, Interval.DAY): days(0, 1, 2)})
    seen = replay.candles(BTC, Interval.DAY, 0, NOW, T + DAY + 0.5)
    assert list(seen) == days(0, 1)
    assert list(replay.candles(BTC, Interval.DAY, 0, NOW, T + DAY - 0.5)) == days(0)


def test_removed_days_are_absent_at_every_interval_and_come_back(book: EditableBook) -> None:
    book.remove(BTC, T + DAY, T + 2 * DAY)
    assert stamps_in(book) == [0, 3, 4, 5]
    assert stamps_in(book, Interval.HOUR) == list(range(24))
    assert stamps_in(book, pair=ETH) == [0, 1, 2, 3, 4, 5]
    book.restore(BTC, T + 2 * DAY, T + 2 * DAY)
    assert stamps_in(book) == [0, 2, 3, 4, 5]
    book.restore(BTC, T, T + 5 * DAY)
    assert stamps_in(book) == [0, 1, 2, 3, 4, 5]


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["remove", "restore"]), st.integers(0, 9), st.integers(0, 9)
        ).filter(lambda step: step[1] <= step[2])
    )
)
def test_removing_and_restoring_in_any_order_is_like_doing_it_on_a_set_of_days(
    steps: list[tuple[str, int, int]],
) -> None:
    book = EditableBook(ReplayBook({(BTC, Interval.DAY): days(*range(10))}))
    present = set(range(10))
    for action, first, last in steps:
        span = set(range(first, last + 1))
        if action == "remove":
            book.remove(BTC, T + first * DAY, T + last * DAY)
            present -= span
        else:
            book.restore(BTC, T + first * DAY, T + last * DAY)
            present |= span
    assert stamps_in(book) == sorted(present)


def test_a_replaced_candle_is_sent_instead_and_an_added_one_beside(book: EditableBook) -> None:
    book.replace(BTC, Interval.DAY, [*days(1, 7, price=5), bar(NOW + DAY)])
    sent = book.candles(BTC, Interval.DAY, T, NOW + 9 * DAY, NOW)
    wanted = [*days(0), *days(1, price=5), *days(2, 3, 4, 5), *days(7, price=5)]
    assert list(sent) == wanted
    assert stamps_in(book, Interval.HOUR) == list(range(72))
    assert list(book.candles(BTC, Interval.DAY, T + DAY, T + DAY, NOW)) == days(1, price=5)


def test_a_reset_undoes_every_edit(book: EditableBook) -> None:
    book.remove(BTC, T, T)
    book.replace(BTC, Interval.DAY, days(1, price=5))
    book.reset()
    assert list(book.candles(BTC, Interval.DAY, T, NOW, NOW)) == days(*range(6))


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
    replay = ReplayBook({(BTC, Interval.DAY): bars})
    low, high = T + first * DAY, T + last * DAY
    found = newest(replay, BTC, Interval.DAY, low, high, NOW, limit)
    assert found == [b for b in bars if low <= b.stamp <= high][-limit:]


def test_walking_back_over_all_of_time_asks_a_simulation_for_little() -> None:
    asked: list[int] = []

    class Counting(Simulation):
        def candles(
            self, pair: Pair, interval: Interval, first: int, last: int, now: float
        ) -> list[Bar]:
            asked.append((last - first) // interval.seconds + 1)
            return list(super().candles(pair, interval, first, last, now))

    found = newest(Counting(1), BTC, Interval.MINUTE, 0, 2 * NOW, NOW, 1000)
    assert len(found) == 1000
    assert sum(asked) < 5000
