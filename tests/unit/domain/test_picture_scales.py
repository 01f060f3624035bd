"""Ticks are round, few, and inside; slots lie side by side."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from app.core.market import DAY, Interval
from app.domain.picture.scales import (
    TimeScale,
    ValueScale,
    price_scale,
    price_ticks,
    time_ticks,
)
from app.domain.picture.words import WORDS, Language

FIRST = 1_709_251_200
"""2024-03-01."""


@pytest.mark.parametrize("power", range(12))
@pytest.mark.parametrize("spread", [1, 2, 3, 7, 10])
def test_prices_have_a_few_round_ticks_inside(power: int, spread: int) -> None:
    low = 35 * 10**power
    scale = price_scale([low, low + spread * 10**power], 0, 1_000)
    ticks, places = price_ticks(scale, 7)
    assert 1 <= len(ticks) <= 7
    assert scale.low <= ticks[0] <= ticks[-1] <= scale.high
    assert str(ticks.step).rstrip("0") in ("1", "2", "5")
    english = WORDS[Language.ENGLISH]
    labels = [english.decimal(tick, places) for tick in ticks]
    assert len({*labels}) == len(labels)
    assert all(len(label.partition(".")[2]) == places for label in labels)


def test_a_flat_series_has_a_scale_and_the_extremes_are_inside() -> None:
    flat = price_scale([5], 0, 1_000)
    assert flat.low < 5 < flat.high
    scale = ValueScale(0, 3, 100, 30)
    assert [scale.y(value) for value in range(4)] == [130, 120, 110, 100]


@pytest.mark.parametrize("interval", Interval)
@pytest.mark.parametrize("count", [1, 2, 7, 60, 180, 365, 10_000])
def test_times_have_a_few_round_ticks_that_are_buckets(interval: Interval, count: int) -> None:
    first = interval.floor(FIRST + 12_345)
    last = first + (count - 1) * interval.seconds
    ticks, apart = time_ticks(first, last, interval.seconds, 10)
    assert 1 <= len(ticks) <= 10
    assert all(first <= tick <= last and tick % interval.seconds == 0 for tick in ticks)
    if apart > 14 * DAY:
        assert {datetime.fromtimestamp(tick, UTC).day for tick in ticks} == {1}
    labels = [WORDS[Language.PORTUGUESE].tick(tick, apart) for tick in ticks]
    if apart >= DAY:
        assert len({*labels}) == len(labels)


def test_weeks_begin_on_monday_and_midnight_has_its_day() -> None:
    ticks, _ = time_ticks(FIRST, FIRST + 50 * DAY, DAY, 10)
    assert {datetime.fromtimestamp(tick, UTC).weekday() for tick in ticks} == {0}
    ticks, apart = time_ticks(FIRST - 6 * 3_600, FIRST + 6 * 3_600, 60, 10)
    labels = [WORDS[Language.ENGLISH].tick(tick, apart) for tick in ticks]
    assert labels == ["18:00", "21:00", "1 Mar", "03:00", "06:00"]


def test_slots_lie_side_by_side_and_fill_the_width() -> None:
    scale = TimeScale(FIRST, 60, 7, 100, 1_000)
    edges = [scale.edge(FIRST + number * 60) for number in range(8)]
    assert (edges[0], edges[-1]) == (100, 1_100)
    assert {right - left for left, right in pairwise(edges)} == {142, 143}
