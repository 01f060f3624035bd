"""Spans: what is missing, what to ask for, what a change touches."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.core.market import WARM_UP, WINDOWS
from app.domain.gaps import (
    Span,
    affected,
    anchored,
    contradictions,
    doubtful,
    missing,
    pages,
    spans_of,
)

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
    assert all(1 <= len(expand([page])) <= size for page in asked)
    wanted_buckets = set(expand(spans))
    assert all(page.first in wanted_buckets for page in asked)
    assert all(page.last in wanted_buckets for page in asked)


@given(wanted=numbers, size=st.integers(1, 40), overlap=st.integers(0, 5))
def test_a_page_that_goes_on_begins_with_the_end_of_the_one_before(
    wanted: list[int], size: int, overlap: int
) -> None:
    spans = spans_of([number * STEP for number in wanted], STEP)
    asked = list(pages(spans, STEP, size, overlap))
    assert set(expand(spans)) <= set(expand(asked))
    assert all(1 <= len(expand([page])) <= size for page in asked)
    repeated = min(overlap, size // 2)
    for span in spans:
        within = [page for page in asked if page.first <= span.last and page.last >= span.first]
        for before, page in pairwise(within):
            assert page.first == before.last + STEP - repeated * STEP


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


FIRST, COUNT = 1_000, 900
anywhere = st.integers(FIRST - WARM_UP, FIRST + COUNT - 1)


@given(
    holes=st.sets(anywhere, max_size=5) | st.integers(2, 40).map(lambda n: {*range(800, 1_900, n)}),
    spoilt=st.dictionaries(anywhere, st.integers(0, 7) | st.none(), max_size=4),
    size=st.integers(WARM_UP, 400),
)
def test_what_counts_leave_out_needs_no_reading(
    holes: set[int], spoilt: dict[int, int | None], size: int
) -> None:
    numbers = range(FIRST - WARM_UP, FIRST + COUNT)
    candles = [n for n in numbers if n not in holes]
    right = {
        n: sum(
            1 << bit
            for bit, window in enumerate(WINDOWS)
            if not any(n - window < hole <= n for hole in holes)
            and n - window >= FIRST - WARM_UP - 1
        )
        for n in candles
    }
    stored = {n: which for n, which in (right | spoilt).items() if which is not None}
    wrong = [
        n
        for n in numbers
        if n >= FIRST and (stored.get(n, 0) != right[n] if n in right else n in stored)
    ]
    counts = [
        (
            sum(n in right for n in stretch),
            sum(stored.get(n) == 7 for n in stretch),
        )
        for start in range(FIRST, FIRST + COUNT, size)
        for stretch in [range(start, min(start + size, FIRST + COUNT))]
    ]
    whole = Span(FIRST * STEP, (FIRST + COUNT - 1) * STEP)
    parts = doubtful(whole, STEP, size, counts)
    seen = [
        bucket
        for first, last in parts
        for bucket in contradictions(
            first,
            STEP,
            [n * STEP for n in candles if first - WARM_UP * STEP <= n * STEP <= last],
            [(n * STEP, stored[n]) for n in sorted(stored) if first <= n * STEP <= last],
        )
    ]
    assert seen == [n * STEP for n in wrong]
    unread = set(expand([whole])) - set(expand(parts))
    assert not unread & {n * STEP for n in holes}
    assert parts == sorted(parts)


def test_only_the_stretch_of_a_hole_and_the_one_after_it_are_read() -> None:
    size = 250
    counts = [(size, size)] * 10
    counts[4] = (size - 1, size - 20)
    whole = Span(0, (10 * size - 1) * STEP)
    assert doubtful(whole, STEP, size, counts) == [
        Span(0, (size - 1) * STEP),  # what lies before it was not counted
        Span(4 * size * STEP, (6 * size - 1) * STEP),
    ]
