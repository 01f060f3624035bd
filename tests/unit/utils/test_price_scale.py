"""A change of scale is told from a market that moved."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.core.market import Candle
from app.utils.price_scale import LEAST_FACTOR, scale_change
from tests.support.candles import candle, day

BASE = [
    Candle(day(n), 10**12 + 7 * n, 10**12 + 900 + n, 10**12 - 800, 10**12 + 55 * n, n)
    for n in range(4)
]


def scaled(item: Candle, up: int, down: int = 1) -> Candle:
    """The candle with its prices multiplied by up / down and rounded to the tick."""

    def of(price: int) -> int:
        return round(Fraction(price * up, down))

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


@pytest.mark.parametrize(("up", "down"), [(1, 1), (4, 1), (1, 4), (499, 100)])
def test_a_smaller_factor_is_not(up: int, down: int) -> None:
    assert scale_change([(item, scaled(item, up, down)) for item in BASE]) is None


def test_a_single_candle_is_enough() -> None:
    assert scale_change([(BASE[0], scaled(BASE[0], 5))]) == 5


@pytest.mark.parametrize(("high", "found"), [(100_010, 10), (100_011, None)])
def test_a_price_may_be_one_in_ten_thousand_beside_the_factor(high: int, found: int | None) -> None:
    before = Candle(day(0), 10_000, 10_000, 10_000, 10_000, 1)
    now = Candle(day(0), 100_000, high, 100_000, 100_000, 1)
    assert scale_change([(before, now)]) == found


def test_nothing_to_compare_is_no_change() -> None:
    assert scale_change([]) is None


@given(untouched=st.integers(0, 3), factor=st.integers(LEAST_FACTOR, 10**4))
def test_one_candle_that_kept_its_prices_means_that_the_scale_did_not_change(
    untouched: int, factor: int
) -> None:
    pairs = [(c, c if n == untouched else scaled(c, factor)) for n, c in enumerate(BASE)]
    assert scale_change(pairs) is None


@given(closes=st.lists(st.integers(10**8, 10**14), min_size=2, max_size=6))
def test_candles_that_were_each_revised_in_their_own_way_are_revisions(closes: list[int]) -> None:
    pairs = [(candle(day(n), 10**10 + n), candle(day(n), c)) for n, c in enumerate(closes)]
    ratios = {Fraction(new.close, old.close) for old, new in pairs}
    assume(max(ratios) / min(ratios) > Fraction(101, 100))
    assert scale_change(pairs) is None
