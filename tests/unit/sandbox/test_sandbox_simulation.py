"""The laws of the simulated market: addressable, aggregating exactly, always a possible candle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.market import DAY, MAX_PRICE, OLDEST_BUCKET, Interval, Pair, Series
from app.domain.fixed_point import exact
from app.sandbox.book import Bar
from app.sandbox.simulation import BASE_PRICES, Simulation
from tests.support.candles import BTC, BTC_DAILY

DAY_ONE = 1_700_006_400  # 2023-11-15 00:00 UTC
LATER = DAY_ONE + 1000 * DAY


@cache
def forty_days(interval: Interval) -> Sequence[Bar]:
    return Simulation(seed=7).candles(Series(BTC, interval), DAY_ONE, DAY_ONE + 40 * DAY - 1, LATER)


def aggregated(minutes: Sequence[Bar], interval: Interval) -> Iterator[Bar]:
    """The candles that the minutes make, by plain exact arithmetic."""
    by_bucket: dict[int, list[Bar]] = {}
    for bar in minutes:
        by_bucket.setdefault(interval.floor(bar.stamp), []).append(bar)
    for bucket, bars in by_bucket.items():
        yield Bar(
            bucket,
            bars[0].open,
            max(bar.high for bar in bars),
            min(bar.low for bar in bars),
            bars[-1].close,
            sum((bar.volume for bar in bars if isinstance(bar.volume, Decimal)), Decimal(0)),
        )


@given(
    seconds=st.integers(min_value=0, max_value=DAY - 1), interval=st.sampled_from(list(Interval))
)
@settings(max_examples=40, deadline=None)
def test_at_any_moment_the_running_candle_is_the_aggregate_of_the_minutes_so_far(
    seconds: int, interval: Interval
) -> None:
    market = Simulation(seed=7)
    now = DAY_ONE + seconds
    minutes = market.candles(Series(BTC, Interval.MINUTE), DAY_ONE, now, now)
    candles = market.candles(Series(BTC, interval), DAY_ONE, DAY_ONE + DAY, now)
    assert list(candles) == list(aggregated(minutes, interval))
    assert all(bar.stamp <= now for bar in candles)


@given(
    data=st.data(),
    interval=st.sampled_from(list(Interval)),
    now=st.integers(min_value=DAY_ONE + 40 * DAY, max_value=LATER),
)
@settings(max_examples=40, deadline=None)
def test_a_candle_is_the_same_whatever_range_it_is_asked_in_and_whenever(
    data: st.DataObject, interval: Interval, now: int
) -> None:
    whole = forty_days(interval)
    last = data.draw(st.integers(min_value=DAY_ONE, max_value=DAY_ONE + 40 * DAY - 1))
    first = data.draw(st.integers(min_value=DAY_ONE, max_value=last))
    part = Simulation(seed=7).candles(Series(BTC, interval), first, last, now)
    assert list(part) == [bar for bar in whole if first <= bar.stamp <= last]


def test_another_seed_or_another_pair_is_another_market() -> None:
    def closes(seed: int, pair: Pair) -> list[Decimal]:
        market = Simulation(seed, {BTC: Decimal(100), Pair("XYZ", "BRL"): Decimal(100)})
        return [
            b.close
            for b in market.candles(Series(pair, Interval.DAY), DAY_ONE, DAY_ONE + 9 * DAY, LATER)
        ]

    one = closes(1, BTC)
    assert one == closes(1, BTC)
    assert all(a != b for a, b in zip(one, closes(2, BTC), strict=True))
    assert all(a != b for a, b in zip(one, closes(1, Pair("XYZ", "BRL")), strict=True))


@pytest.mark.parametrize("price", [None, Decimal("0.01"), Decimal(100_000_000)])
def test_every_candle_is_possible_and_fits_in_fixed_point(price: Decimal | None) -> None:
    pair = Pair("XYZ", "BRL")
    market = Simulation(3, {pair: price})
    for interval in (Interval.MINUTE, Interval.DAY):
        last = DAY_ONE + interval.seconds * 700
        bars = market.candles(Series(pair, interval), DAY_ONE, last, LATER)
        assert bars
        for bar in bars:
            assert 0 < bar.low <= min(bar.open, bar.close)
            assert max(bar.open, bar.close) <= bar.high
            assert exact(str(bar.high)) <= MAX_PRICE
            assert exact(str(bar.volume)) > 0


def test_no_day_is_absent_and_a_few_percent_of_the_minutes_are() -> None:
    market = Simulation(1)
    start = OLDEST_BUCKET
    for pair in BASE_PRICES:
        days = market.candles(Series(pair, Interval.DAY), 0, start + 500 * DAY - 1, LATER)
        assert [bar.stamp for bar in days] == list(range(start, start + 500 * DAY, DAY))
        minutes = market.candles(
            Series(pair, Interval.MINUTE), DAY_ONE, DAY_ONE + 10 * DAY - 1, LATER
        )
        assert 0.01 < 1 - len(minutes) / (10 * 1440) < 0.10


def test_known_candles_never_change_between_releases_or_machines() -> None:
    """Pinned: a demo that was shown yesterday looks the same tomorrow and elsewhere."""
    (bar,) = Simulation(1).candles(BTC_DAILY, DAY_ONE, DAY_ONE, LATER)
    assert bar == PINNED


PINNED = Bar(
    DAY_ONE,
    *map(
        Decimal,
        ("670424.84000000", "673535.29000000", "658218.61780794", "663624.43000000", "4.05540139"),
    ),
)
