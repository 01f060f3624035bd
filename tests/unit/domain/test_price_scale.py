"""A change of scale is told from a market that moved."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.market import Candle
from app.domain.price_scale import LEAST_FACTOR, scale_change
from tests.support.candles import day

BASE = [
    Candle(day(n), 10**12 + 7 * n, 10**12 + 900 + n, 10**12 - 800, 10**12 + 55 * n, n)
    for n in range(4)
]


def scaled(item: Candle, up: int, down: int = 1) -> Candle:
    """The candle with prices times up / down, rounded to the tick, one tick at least."""

    def of(price: int) -> int:
        return max(1, round(Fraction(price * up, down)))

    return replace(
        item, open=of(item.open), high=of(item.high), low=of(item.low), close=of(item.close)
    )


@pytest.mark.parametrize(
    ("up", "down"), [(5, 1), (1000, 1), (1, 5), (1, 1000), (10**6, 1), (37, 7)]
)
def test_one_common_factor_of_five_or_more_is_a_change_of_scale(up: int, down: int) -> None:
    found = scale_change([(item, scaled(item, up, down)) for item in BASE])
    assert found is not None
    assert abs(found / Fraction(up, down) - 1) < Fraction(1, 10**6)


cheap = st.integers(10, 10**5)


@given(
    prices=st.lists(st.tuples(cheap, cheap, cheap, cheap), min_size=1, max_size=6),
    up=st.fractions(2 * LEAST_FACTOR, 10**4),
    upwards=st.booleans(),
)
def test_prices_of_few_ticks_are_rounded_to_them_and_the_scale_is_seen_all_the_same(
    prices: list[tuple[int, int, int, int]], up: Fraction, upwards: bool
) -> None:
    factor = up if upwards else 1 / up
    candles = [
        Candle(day(n), sorted(p)[1], max(p), min(p), sorted(p)[2], 1) for n, p in enumerate(prices)
    ]
    sent = [scaled(item, factor.numerator, factor.denominator) for item in candles]
    assert scale_change(list(zip(candles, sent, strict=True))) is not None


@pytest.mark.parametrize("ticks", [1, 2, 3, 10])
def test_cheap_candles_that_are_as_they_were_or_a_tick_beside_it_did_not_change_their_scale(
    ticks: int,
) -> None:
    flat = Candle(day(0), ticks, ticks, ticks, ticks, 1)
    assert scale_change([(flat, flat)]) is None
    higher = Candle(day(0), ticks + 1, ticks + 1, ticks + 1, ticks + 1, 1)
    assert scale_change([(flat, higher)]) is None
    assert scale_change([(higher, flat)]) is None


@pytest.mark.parametrize(
    ("factors", "scale"),
    [
        ([], None),
        ([5], 5),
        ([100, 90, 1.01], 100),
        ([0.01, 0.02, 4], Fraction(1, 50)),
        ([100, 1.01, 1.02], None),
        ([100, 0.01, 1.01], None),
    ],
)
def test_half_of_the_candles_at_the_least_changed_in_one_direction(
    factors: list[float], scale: Fraction | None
) -> None:
    known = [Candle(day(n), 10**9, 10**9, 10**9, 10**9, n) for n, _ in enumerate(factors)]
    sent = [scaled(item, round(f * 100), 100) for item, f in zip(known, factors, strict=True)]
    assert scale_change(list(zip(known, sent, strict=True))) == scale
