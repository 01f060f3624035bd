"""Spans: what is missing, what to ask for, what a change touches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.utils.gaps import Span, affected, missing, pages, spans_of

STEP = 60


def expand(spans: list[Span]) -> list[int]:
    """Every bucket of the spans."""
    return [bucket for span in spans for bucket in range(span.first, span.last + 1, STEP)]


numbers = st.lists(st.integers(0, 300), unique=True).map(sorted)


@given(present=numbers, first=st.integers(0, 300), length=st.integers(0, 300))
def test_missing_names_exactly_what_is_not_present(
    present: list[int], first: int, length: int
) -> None:
    begin, end = first * STEP, (first + length) * STEP
    spans = missing(begin, end, STEP, [number * STEP for number in present])
    absent = [b for b in range(begin, end + 1, STEP) if b // STEP not in present]
    assert expand(spans) == absent
    assert spans == spans_of(absent, STEP)


def test_an_empty_period_misses_nothing() -> None:
    assert missing(STEP, 0, STEP, []) == []


@given(wanted=numbers, size=st.integers(1, 40))
def test_pages_cover_every_span_in_order_and_never_more_than_their_size(
    wanted: list[int], size: int
) -> None:
    spans = spans_of([number * STEP for number in wanted], STEP)
    asked = list(pages(spans, STEP, size))
    covered = expand(asked)
    assert set(expand(spans)) <= set(covered)
    assert covered == sorted(set(covered))
    assert all(1 <= page.count(STEP) <= size for page in asked)
    wanted_buckets = set(expand(spans))
    assert all(page.first in wanted_buckets for page in asked)
    assert all(page.last in wanted_buckets for page in asked)


@given(wanted=numbers, size=st.integers(1, 40))
def test_pages_are_as_few_as_possible(wanted: list[int], size: int) -> None:
    spans = spans_of([number * STEP for number in wanted], STEP)
    fewest, reach = 0, -1
    for bucket in expand(spans):
        if bucket > reach:
            fewest, reach = fewest + 1, bucket + (size - 1) * STEP
    assert len(list(pages(spans, STEP, size))) == fewest


@given(changed=numbers, window=st.integers(1, 50), newest=st.integers(0, 300))
def test_affected_is_every_stored_bucket_within_a_window_after_a_change(
    changed: list[int], window: int, newest: int
) -> None:
    buckets = [number * STEP for number in changed if number <= newest]
    touched = {
        later
        for bucket in buckets
        for later in range(bucket, bucket + window * STEP, STEP)
        if later <= newest * STEP
    }
    assert expand(affected(buckets, STEP, window, newest * STEP)) == sorted(touched)
