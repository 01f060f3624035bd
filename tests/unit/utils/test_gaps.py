"""Spans: what is missing, what to ask for, what a change touches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.utils.gaps import Span, affected, anchored, missing, pages, spans_of

STEP = 60


def expand(spans: list[Span]) -> list[int]:
    """Every bucket of the spans."""
    return [bucket for span in spans for bucket in range(span.first, span.last + 1, STEP)]


# Few numbers close to each other as well as far apart: spans of one bucket and of many.
numbers = st.integers(0, 300).flatmap(
    lambda most: st.lists(st.integers(0, most), unique=True, max_size=60).map(sorted)
)


@given(present=numbers, first=st.integers(0, 300), length=st.integers(0, 300))
def test_missing_names_exactly_what_is_not_present(
    present: list[int], first: int, length: int
) -> None:
    begin, end = first * STEP, (first + length) * STEP
    spans = missing(begin, end, STEP, [number * STEP for number in present])
    absent = [b for b in range(begin, end + 1, STEP) if b // STEP not in present]
    assert expand(spans) == absent
    assert spans == spans_of(absent, STEP)


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


@given(wanted=numbers, size=st.integers(1, 40), overlap=st.integers(0, 5))
def test_a_page_that_goes_on_begins_with_the_end_of_the_one_before(
    wanted: list[int], size: int, overlap: int
) -> None:
    spans = spans_of([number * STEP for number in wanted], STEP)
    asked = list(pages(spans, STEP, size, overlap))
    assert set(expand(spans)) <= set(expand(asked))
    assert all(1 <= page.count(STEP) <= size for page in asked)
    repeated = min(overlap, size // 2)
    for span in spans:
        within = [page for page in asked if page.first <= span.last and page.last >= span.first]
        for before, page in pairwise(within):
            assert page.first == before.last + STEP - repeated * STEP


@pytest.mark.parametrize(
    ("size", "asked"),
    [
        (1, [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6)]),
        (2, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)]),
        (5, [(0, 4), (3, 6)]),
        (6, [(0, 5), (3, 6)]),
        (7, [(0, 6)]),
    ],
)
def test_no_more_than_half_a_page_is_repeated(size: int, asked: list[tuple[int, int]]) -> None:
    found = pages([Span(0, 6 * STEP)], STEP, size, 3)
    assert [(page.first // STEP, page.last // STEP) for page in found] == asked


@given(wanted=numbers, stored=numbers, count=st.integers(1, 4))
def test_a_span_without_a_stored_bucket_comes_with_the_nearest_ones(
    wanted: list[int], stored: list[int], count: int
) -> None:
    spans = spans_of([number * STEP for number in wanted], STEP)
    known = [number * STEP for number in stored]
    found = anchored(spans, known, STEP, count)
    asked = expand(found)
    assert asked == sorted(set(asked))
    assert found == spans_of(asked, STEP)
    for span in spans:
        distances = sorted(max(span.first - b, b - span.last) for b in known)
        if distances and distances[0] > 0:
            compared = sorted(max(span.first - b, b - span.last) for b in known if b in asked)
            assert compared[:count] == distances[:count]
    needed = set(expand(spans))
    assert needed <= set(asked) <= needed | set(known)


@pytest.mark.parametrize(
    ("spans", "stored", "asked"),
    [
        ([(5, 5)], range(5), [(2, 5)]),
        ([(5, 9)], range(10, 20), [(5, 12)]),
        ([(5, 6)], [0, 1, 2, 3, 4, 7, 8, 9], [(3, 7)]),
        ([(5, 9)], [0, 100], [(0, 0), (5, 9), (100, 100)]),
        ([(5, 9)], [7], [(5, 9)]),
        ([(5, 9), (10, 12)], [], [(5, 12)]),
        ([], [1, 2], []),
    ],
)
def test_what_is_asked_for_besides_a_span(
    spans: list[tuple[int, int]], stored: Sequence[int], asked: list[tuple[int, int]]
) -> None:
    found = anchored([Span(*span) for span in spans], stored, 1, 3)
    assert found == [Span(*span) for span in asked]


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
    assert affected(buckets, STEP, window, newest * STEP) == spans_of(sorted(touched), STEP)
