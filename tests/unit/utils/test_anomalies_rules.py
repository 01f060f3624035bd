"""The rules' parameters are checked, and the recent changes are summed up exactly."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidParameter
from app.core.prices import parse_threshold
from app.utils.anomaly_rules import (
    RecentChanges,
    RobustRule,
    Usual,
)

changes = st.fractions(min_value=-1, max_value=3, max_denominator=20)


@given(sample=st.lists(changes, min_size=1, max_size=25))
def test_median_and_deviation_are_those_of_their_definitions(sample: list[Fraction]) -> None:
    recent = RecentChanges(sample)
    centre = median(sample)
    assert len(recent) == len(sample)
    assert recent.median() == centre
    assert recent.deviation() == median(abs(change - centre) for change in sample)


@given(sample=st.lists(changes, min_size=1, max_size=25), width=st.integers(1, 8))
def test_a_sliding_sample_equals_a_fresh_one(sample: list[Fraction], width: int) -> None:
    sliding = RecentChanges()
    for at, change in enumerate(sample):
        sliding.add(change)
        if at >= width:
            sliding.drop(sample[at - width])
        fresh = RecentChanges(sample[max(0, at + 1 - width) : at + 1])
        assert len(sliding) == len(fresh)
        assert (sliding.median(), sliding.deviation()) == (fresh.median(), fresh.deviation())


def test_a_change_on_the_limit_does_not_exceed_it() -> None:
    usual = Usual(centre=Fraction(1, 7), limit=Fraction(1, 3))
    hair = Fraction(1, 10**40)
    for side in (1, -1):
        assert not usual.exceeded_by(usual.centre + side * usual.limit)
        assert usual.exceeded_by(usual.centre + side * (usual.limit + hair))


def test_the_limit_is_the_multiple_of_the_deviation_that_a_normal_distribution_calls_sigma() -> (
    None
):
    sample = [Fraction(number, 100) for number in (-3, -2, -1, 0, 1, 2, 3)]
    rule = RobustRule(window=7, minimum=7, multiple=Decimal("3.5"))
    # The distances to the median are 0 1 1 2 2 3 3 hundredths, so the MAD is 2 of them.
    assert rule.usual(RecentChanges(sample)) == Usual(Fraction(0), Fraction("0.103782"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.05", "0.05"),
        ("5", "5"),
        ("1000", "1000"),
        ("0.00000001", "0.00000001"),
        ("007.5", "7.5"),
    ],
)
def test_thresholds_are_read_as_people_write_them(text: str, value: str) -> None:
    assert parse_threshold(text) == Decimal(value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0", "is not above 0"),
        ("1000.00000001", "is above 1000"),
        ("0.000000001", "has more than 8 decimal places"),
        *(
            (text, "is not a plain decimal number")
            for text in ("", "5%", "-0.05", "0,05", ".05", "1e-2", "nan")
        ),
    ],
)
def test_a_threshold_that_cannot_be_used_is_refused_with_what_is_allowed(
    text: str, problem: str
) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_threshold(text, "limit")
    assert str(refused.value).startswith(f"limit={text!r} {problem}. Write a fraction above 0 ")
