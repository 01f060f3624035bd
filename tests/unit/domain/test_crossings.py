"""Crossings, distance and trend: the definition, its mirror, and exact rounding."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.market import DAY, MAX_PRICE
from app.domain.crossings import Levels, crossings, distance, trend

values = st.integers(1, 4) | st.integers(1, MAX_PRICE)
averages = st.tuples(*[st.none() | values] * 3)
buckets = st.builds(Levels, st.just(0), values, averages)
MIRROR = str.maketrans("<>", "><")


def mirrored(levels: Levels) -> Levels:
    """The same lines upside down."""
    averages = tuple(None if mean is None else -mean for mean in levels.averages)
    return Levels(levels.bucket, -levels.close, averages)


@pytest.mark.parametrize(
    ("before", "newest", "crossed"),
    [
        ((9, 10), (11, 10), ("close>mms_20",)),
        ((10, 10), (11, 10), ("close>mms_20",)),
        ((10, 10), (9, 10), ("close<mms_20",)),
        ((11, 10), (9, 10), ("close<mms_20",)),
        ((11, 10), (12, 10), ()),
        ((9, 10), (10, 10), ()),
        ((10, 10), (10, 10), ()),
        ((9, None), (11, 10), ()),
        ((9, 10), (11, None), ()),
    ],
)
def test_a_line_crosses_another_where_it_was_not_beyond_it_and_is_now(
    before: tuple[int, int | None], newest: tuple[int, int | None], crossed: tuple[str, ...]
) -> None:
    (close0, mean0), (close1, mean1) = before, newest
    old, new = Levels(0, close0, (mean0, None, None)), Levels(DAY, close1, (mean1, None, None))
    assert crossings(old, new, DAY) == crossed


def test_all_six_pairs_are_told_the_close_first_and_the_shorter_window_first() -> None:
    before, newest = Levels(0, 1, (2, 3, 4)), Levels(DAY, 4, (3, 2, 1))
    assert crossings(before, newest, DAY) == (
        "close>mms_20",
        "close>mms_50",
        "close>mms_200",
        "mms_20>mms_50",
        "mms_20>mms_200",
        "mms_50>mms_200",
    )


@given(buckets, buckets)
def test_the_mirror_of_two_buckets_crosses_the_other_way_and_no_pair_crosses_both_ways(
    before: Levels, newest: Levels
) -> None:
    newest = newest._replace(bucket=DAY)
    crossed = crossings(before, newest, DAY)
    other_way = tuple(each.translate(MIRROR) for each in crossed)
    assert crossings(mirrored(before), mirrored(newest), DAY) == other_way
    assert not set(crossed) & set(other_way)


@given(buckets, buckets, st.sampled_from([0, DAY - 1, 2 * DAY, -DAY]))
def test_nothing_crosses_between_buckets_that_are_no_neighbours(
    before: Levels, newest: Levels, apart: int
) -> None:
    assert crossings(before, newest._replace(bucket=apart), DAY) == ()


@pytest.mark.parametrize(
    ("close", "average", "text"),
    [
        (10_942, 10_000, "0.0942"),
        (9_900, 10_000, "-0.0100"),
        (10_000, 10_000, "0.0000"),
        (99_999_999, 100_000_000, "0.0000"),
        (100_005, 100_000, "0.0000"),
        (100_015, 100_000, "0.0002"),
        (99_985, 100_000, "-0.0002"),
        (35_000, 1_000, "34.0000"),
    ],
)
def test_a_distance_is_rounded_half_to_even_and_has_four_places(
    close: int, average: int, text: str
) -> None:
    assert distance(close, average) == text


@given(values, values)
def test_a_distance_is_exact_and_its_sign_is_that_of_the_trend(close: int, average: int) -> None:
    text = distance(close, average)
    with localcontext(prec=200):
        exact = (Decimal(close) - average) / average
        assert Decimal(text) == exact.quantize(Decimal("0.0001"), ROUND_HALF_EVEN)
    sides = {"above": close > average, "at": close == average, "below": close < average}
    assert sides[trend(close, average)]
    assert not text.startswith("-") or trend(close, average) == "below"
    assert text != "-0.0000"
