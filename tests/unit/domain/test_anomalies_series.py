"""A series is judged as each of its points is, and a hole is no change."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.anomalies import (
    AnomalousPoint,
    Outcome,
    RelativeRule,
    RobustRule,
    Rule,
    judge,
    judge_series,
    relative_change,
    warm_up,
)

STEP = 60
RULES: list[Rule] = [
    RelativeRule(Decimal("0.05")),
    RobustRule(),
    RobustRule(window=6, minimum=3, multiple=Decimal(2), floor=Decimal("0.001")),
    RobustRule(window=2, minimum=2, multiple=Decimal(1), floor=Decimal("0.00000001")),
]

closes_strategy = st.one_of(
    st.lists(st.integers(1, 12), max_size=60),
    st.lists(st.integers(9_000, 11_000), max_size=60),
    st.lists(st.integers(1, 2**63 - 1), max_size=60),
)


@st.composite
def holed(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Buckets with holes among them, and their closes."""
    closes = draw(closes_strategy)
    steps = draw(
        st.lists(
            st.sampled_from([1, 1, 1, 1, 2, 3, 40]), min_size=len(closes), max_size=len(closes)
        )
    )
    buckets, at = [], draw(st.integers(0, 10**6))
    for step in steps:
        at += step
        buckets.append(at * STEP)
    return buckets, closes


def grid(count: int) -> list[int]:
    """Buckets without a hole."""
    return [at * STEP for at in range(count)]


@given(closes=closes_strategy, rule=st.sampled_from(RULES))
def test_a_series_is_judged_as_each_of_its_points_is(closes: list[int], rule: Rule) -> None:
    found = judge_series(grid(len(closes)), closes, STEP, rule)
    alone = [judge(closes[: at + 1], rule) for at in range(len(closes))]
    assert found.anomalies == tuple(
        AnomalousPoint(at * STEP, judgement)
        for at, judgement in enumerate(alone)
        if judgement.anomalous
    )
    insufficient = sum(judgement.outcome is Outcome.INSUFFICIENT for judgement in alone)
    assert (found.judged, found.insufficient) == (len(closes) - insufficient, insufficient)


@given(series=holed(), rule=st.sampled_from(RULES))
def test_changes_are_those_between_neighbouring_buckets_of_the_window(
    series: tuple[list[int], list[int]], rule: Rule
) -> None:
    close_at = dict(zip(*series, strict=True))
    change_at = {
        bucket: relative_change(close_at[bucket - STEP], close)
        for bucket, close in close_at.items()
        if bucket - STEP in close_at
    }
    judged, anomalous = 0, []
    for bucket, change in change_at.items():
        window = [bucket - back * STEP for back in range(1, rule.window + 1)]
        usual = rule.usual([change_at[at] for at in window if at in change_at])
        if usual is not None:
            judged += 1
            anomalous += [bucket] * usual.exceeded_by(change)
    found = judge_series(*series, STEP, rule)
    assert [point.bucket for point in found.anomalies] == anomalous
    assert (found.judged, found.insufficient) == (judged, len(close_at) - judged)


@given(series=holed(), rule=st.sampled_from(RULES), data=st.data())
def test_a_slice_with_its_warm_up_is_judged_as_the_whole_is(
    series: tuple[list[int], list[int]], rule: Rule, data: st.DataObject
) -> None:
    buckets, closes = series
    whole = judge_series(buckets, closes, STEP, rule)
    ends = st.sampled_from(buckets) if buckets else st.just(0)
    first, last = data.draw(ends), data.draw(ends)
    kept = [
        (bucket, close)
        for bucket, close in zip(buckets, closes, strict=True)
        if first - warm_up(rule) * STEP <= bucket <= last
    ]
    part = judge_series([row[0] for row in kept], [row[1] for row in kept], STEP, rule, first)
    assert part.anomalies == tuple(
        point for point in whole.anomalies if first <= point.bucket <= last
    )
    assert part.judged + part.insufficient == sum(first <= bucket <= last for bucket in buckets)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bad", [0, -5, 2**63])
def test_what_is_no_price_is_refused_anywhere_in_a_series(rule: Rule, bad: int) -> None:
    for at in range(3):
        closes = [100, 100, 100]
        closes[at] = bad
        with pytest.raises(ValueError, match=f"The price {bad} "):
            judge_series(grid(3), closes, STEP, rule, first=2 * STEP)


@pytest.mark.parametrize("second", [0, -STEP, STEP // 2, STEP + 1])
def test_buckets_that_do_not_ascend_by_whole_steps_are_refused(second: int) -> None:
    with pytest.raises(ValueError, match=f"Bucket {second} does not follow 0 by whole steps of 60"):
        judge_series([0, second], [1, 1], STEP, RULES[0])
