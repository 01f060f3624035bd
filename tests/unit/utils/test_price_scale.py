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
    """The candle with its prices multiplied by up / down and rounded to the tick, one at the least."""

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


@pytest.mark.parametrize(("up", "down"), [(1, 1), (4, 1), (1, 4), (499, 100)])
def test_a_smaller_factor_is_not(up: int, down: int) -> None:
    assert scale_change([(item, scaled(item, up, down)) for item in BASE]) is None


def test_a_single_candle_is_enough() -> None:
    assert scale_change([(BASE[0], scaled(BASE[0], 5))]) == 5


@pytest.mark.parametrize(
    ("high", "is_one"), [(10**11 + 2 * 10**7, True), (10**11 + 3 * 10**7, False)]
)
def test_each_price_may_be_one_in_ten_thousand_beside_the_factor(high: int, is_one: bool) -> None:
    before = Candle(day(0), 10**10, 10**10, 10**10, 10**10, 1)
    now = Candle(day(0), 10**11, high, 10**11, 10**11, 1)
    assert (scale_change([(before, now)]) is not None) == is_one


cheap = st.integers(10, 10**5)


@given(
    prices=st.lists(st.tuples(cheap, cheap, cheap, cheap), min_size=1, max_size=6),
    up=st.fractions(LEAST_FACTOR, 10**4),
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
    found = scale_change(list(zip(candles, sent, strict=True)))
    assert found is not None
    # As near as the highest price shows it, half a tick of which is rounded away.
    highest = max(item.high for item in candles)
    assert abs(found - factor) * highest <= max(Fraction(1, 2), 1 - factor * highest)


@given(
    prices=st.lists(st.tuples(cheap, cheap, cheap, cheap), min_size=1, max_size=4),
    last=st.tuples(cheap, cheap, cheap, cheap),
    crash=st.integers(LEAST_FACTOR, 100),
)
def test_the_newest_cheap_candle_may_crash_while_the_others_stay(
    prices: list[tuple[int, int, int, int]], last: tuple[int, int, int, int], crash: int
) -> None:
    candles = [candle(day(n), max(p)) for n, p in enumerate([*prices, last])]
    sent = [*candles[:-1], scaled(candles[-1], 1, crash)]
    assert scale_change(list(zip(candles, sent, strict=True))) is None


@pytest.mark.parametrize("ticks", [1, 2, 3, 10])
def test_cheap_candles_that_are_as_they_were_or_a_tick_beside_it_did_not_change_their_scale(
    ticks: int,
) -> None:
    flat = Candle(day(0), ticks, ticks, ticks, ticks, 1)
    assert scale_change([(flat, flat)]) is None
    higher = Candle(day(0), ticks + 1, ticks + 1, ticks + 1, ticks + 1, 1)
    assert scale_change([(flat, higher)]) is None
    assert scale_change([(higher, flat)]) is None


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
    assume(max(ratios) / min(ratios) >= LEAST_FACTOR**2)
    assert scale_change(pairs) is None


@given(
    factor=st.integers(LEAST_FACTOR, 10**4),
    upwards=st.booleans(),
    corrected=st.sets(st.integers(0, 3), max_size=1),
    by=st.integers(51, 199),
)
def test_a_minority_that_was_corrected_besides_does_not_hide_the_change(
    factor: int, upwards: bool, corrected: set[int], by: int
) -> None:
    up, down = (factor, 1) if upwards else (1, factor)
    known = [scaled(c, by, 100) if n in corrected else c for n, c in enumerate(BASE)]
    sent = [scaled(item, up, down) for item in BASE]
    found = scale_change(list(zip(known, sent, strict=True)))
    assert found is not None
    assert abs(found / Fraction(up, down) - 1) < Fraction(1, 1000)


def test_one_price_of_a_candle_may_have_been_corrected_as_well() -> None:
    sent = [scaled(item, 1000) for item in BASE]
    sent[1] = replace(sent[1], close=sent[1].close + sent[1].close // 100)
    assert scale_change(list(zip(BASE, sent, strict=True))) == 1000


@pytest.mark.parametrize("corrected", [0, 1, 2, 3])
def test_a_candle_that_is_five_times_beside_the_factor_was_not_multiplied_by_it(
    corrected: int,
) -> None:
    sent = [scaled(item, 5000 if n == corrected else 1000) for n, item in enumerate(BASE)]
    assert scale_change(list(zip(BASE, sent, strict=True))) is None


def test_one_candle_that_was_corrected_by_a_tick_did_not_change_its_scale_either() -> None:
    raised = replace(BASE[0], high=BASE[0].high + 1)
    sent = [raised, *(scaled(item, LEAST_FACTOR) for item in BASE[1:])]
    assert scale_change(list(zip(BASE, sent, strict=True))) is None


def times(*factors: int) -> Fraction | None:
    """The verdict on as many candles, each of which came multiplied by a factor of its own."""
    known = [
        Candle(day(n), 10**9 + n, 10**9 + 900, 10**9 - 800, 10**9 + n, n)
        for n, _ in enumerate(factors)
    ]
    return scale_change([(c, scaled(c, f)) for c, f in zip(known, factors, strict=True)])


def test_half_of_the_candles_at_the_least_share_the_factor() -> None:
    assert times(100, 90, 100, 110) == 100
    assert times(100, 90, 100, 110, 120) is None
    assert times(100, 110, 120, 130) is None


def test_the_factor_is_the_one_that_most_candles_share() -> None:
    assert times(100, 200, 200) == 200
    assert times(200, 200, 100) == 200
    assert times(50, 50, 200, 200, 200) == 200


def test_a_correction_is_a_fraction_and_not_a_factor_of_its_own() -> None:
    assert times(100, 100, 100, 30) == 100
    assert times(100, 100, 100, 20) is None
    assert times(100, 100, 100, 450) == 100
    assert times(100, 100, 100, 500) is None


def test_a_cheap_candle_that_may_be_as_it_was_did_not_change_its_scale() -> None:
    cheap = Candle(day(9), 2, 2, 2, 2, 1)
    pairs = [(item, scaled(item, LEAST_FACTOR)) for item in BASE]
    assert scale_change(pairs) == LEAST_FACTOR
    for ticks in (3, 2):  # three may have been two and a half, and two and a half may have been two
        now = replace(cheap, open=ticks, high=ticks, low=ticks, close=ticks)
        assert scale_change([*pairs, (cheap, now)]) is None
        assert scale_change([*pairs, (now, cheap)]) is None
