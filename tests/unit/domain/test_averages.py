"""Averages are exact, half to even, and absent wherever a bucket is missing."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import UnrepresentablePrice
from app.core.market import MAX_PRICE, WINDOWS
from app.domain.averages import moving_averages

STEP = 86_400


def averages(
    closes: list[int], windows: tuple[int, ...], buckets: list[int] | None = None
) -> list[list[int | None]]:
    """The averages as plain lists, None where there is none."""
    stamps = [index * STEP for index in range(len(closes))] if buckets is None else buckets
    values, exists = moving_averages(
        np.asarray(stamps, dtype=np.int64), np.asarray(closes, dtype=np.int64), STEP, windows
    )
    return [
        [int(value) if there else None for value, there in zip(row, known, strict=True)]
        for row, known in zip(values, exists, strict=True)
    ]


def by_fractions(closes: list[int], window: int) -> list[int | None]:
    """The same by rational arithmetic: Python rounds a Fraction half to even."""
    return [
        None if end < window else round(Fraction(sum(closes[end - window : end]), window))
        for end in range(1, len(closes) + 1)
    ]


@given(
    closes=st.lists(st.integers(0, MAX_PRICE), max_size=250),
    windows=st.lists(st.integers(1, 200), min_size=1, max_size=4, unique=True),
)
def test_every_average_equals_rational_arithmetic(closes: list[int], windows: list[int]) -> None:
    found = averages(closes, tuple(windows))
    assert found == [by_fractions(closes, window) for window in windows]


@given(
    present=st.lists(st.booleans(), min_size=1, max_size=60),
    seed=st.integers(0, 2**32 - 1),
)
def test_an_average_exists_exactly_where_all_its_buckets_do(present: list[bool], seed: int) -> None:
    kept = [index for index, there in enumerate(present) if there]
    closes = np.random.default_rng(seed).integers(1, 10**14, len(kept)).tolist()
    windows = (1, 2, 5, 20)
    found = averages(closes, windows, [index * STEP for index in kept])
    close_at = dict(zip(kept, closes, strict=True))
    for row, window in zip(found, windows, strict=True):
        for index, value in zip(kept, row, strict=True):
            needed = range(index - window + 1, index + 1)
            if all(number in close_at for number in needed):
                assert value == round(Fraction(sum(close_at[n] for n in needed), window))
            else:
                assert value is None


@pytest.mark.parametrize(("total", "mean"), [(10, 0), (30, 2), (50, 2), (70, 4), (11, 1), (29, 1)])
def test_a_tie_goes_to_the_even_neighbour(total: int, mean: int) -> None:
    closes = [0] * 19 + [total]
    assert averages(closes, (20,))[0][-1] == mean


def test_a_price_above_three_million_is_exact_where_floats_are_not() -> None:
    closes = np.random.default_rng(7).integers(3 * 10**14, 4 * 10**14, 20_000).tolist()
    exact = by_fractions(closes, 200)
    sums = np.convolve(np.asarray(closes, dtype=object), np.ones(200, dtype=object), "valid")
    by_float = np.rint(sums.astype(np.float64) / 200).astype(np.int64).tolist()
    assert averages(closes, (200,))[0] == exact
    assert any(rough != right for rough, right in zip(by_float, exact[199:], strict=True))


def test_a_window_whose_sum_could_overflow_is_refused() -> None:
    with pytest.raises(UnrepresentablePrice, match="64 bits"):
        averages([MAX_PRICE + 1] * 3, (200,))
    with pytest.raises(UnrepresentablePrice, match="-1"):
        averages([-1, 5], (2,))


def test_a_sum_of_63_bits_is_exact_and_one_of_64_is_refused() -> None:
    assert averages([2**62 - 1, 2**62 - 1], (2,)) == [[None, 2**62 - 1]]
    with pytest.raises(UnrepresentablePrice):
        averages([2**62, 0], (2,))


def test_no_rows_have_no_averages() -> None:
    assert averages([], WINDOWS) == [[], [], []]
    assert averages([1, 2], ()) == []
