"""Runs of buckets: which are missing, how to request them in pages, which averages they affect.

A span is an inclusive run [first, last] of bucket starts, both on the grid of `step` seconds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from app.core.market import WARM_UP, WINDOWS

_COMPLETE: Final = [
    sum(1 << number for number, window in enumerate(WINDOWS) if window <= length)
    for length in range(WARM_UP + 2)
]
"""The averages that exist after so many candles without a gap, as bits."""


class Span(NamedTuple):
    """The buckets first, first + step, …, last."""

    first: int
    last: int


def missing(first: int, last: int, step: int, present: Iterable[int]) -> list[Span]:
    """The spans of [first, last] without any of the `present` buckets.

    `present` is ascending; buckets outside [first, last] are ignored.
    """
    spans = []
    expected = first
    for bucket in present:
        if bucket < expected:
            continue
        if bucket > last:
            break
        if bucket > expected:
            spans.append(Span(expected, bucket - step))
        expected = bucket + step
    if expected <= last:
        spans.append(Span(expected, last))
    return spans


def doubtful(span: Span, step: int, size: int, counts: Iterable[tuple[int, int]]) -> list[Span]:
    """The parts of `span` where a candle may be missing or an average wrong: fewest, ascending.

    `counts` are the numbers of candles and of buckets with every average, in each `size` buckets
    of `span`; `size` is at least WARM_UP. Where all candles of such a stretch exist, and all of the
    one before it, every window that ends there is complete. So every bucket must have all averages.
    """
    doubts, full_before = [], False
    for number, (candles, averaged) in enumerate(counts):
        start = span.first + number * size * step
        end = min(start + (size - 1) * step, span.last)
        buckets = (end - start) // step + 1
        if not (full_before and candles == averaged == buckets):
            doubts.append(Span(start, end))
        full_before = candles == buckets
    return _merged(doubts, step)


def contradictions(
    first: int, step: int, candles: Iterable[int], averaged: Iterable[tuple[int, int]]
) -> list[int]:
    """The buckets whose averages contradict the candles, from `first` on and ascending.

    That is a candle without an average although its window is complete, a candle with one although
    its window is not, or averages without a candle. Each is a fault of the writer. `candles` are
    the buckets with a candle, ascending, from WARM_UP buckets before `first` on. `averaged` are the
    buckets with averages from `first` on, with a bit for each average, in the order of WINDOWS.
    """
    unmatched = dict(averaged)
    wrong, before, run = [], None, 0
    for bucket in candles:
        run = min(run + 1, WARM_UP + 1) if before == bucket - step else 1
        before = bucket
        if bucket >= first and unmatched.pop(bucket, 0) != _COMPLETE[run]:
            wrong.append(bucket)
    return sorted([*wrong, *unmatched])


def spans_of(buckets: Iterable[int], step: int) -> list[Span]:
    """Group buckets into the fewest spans, ascending."""
    return _merged((Span(bucket, bucket) for bucket in buckets), step)


def count_within(spans: Sequence[Span], step: int, first: int, last: int) -> int:
    """How many buckets of the spans (ascending, disjoint) lie in [first, last]."""
    count = 0
    for span in spans[bisect_left(spans, first, key=lambda span: span.last) :]:
        if span.first > last:
            break
        count += max(0, (min(span.last, last) - max(span.first, first)) // step + 1)
    return count


def anchored(spans: Sequence[Span], stored: Sequence[int], step: int, count: int) -> list[Span]:
    """The spans (ascending, disjoint), with nearby stored buckets for each that has none inside.

    `stored` is ascending. A span without a stored bucket brings up to `count` nearest ones, on
    whichever side they lie.
    """
    nearest: list[Span] = []
    for span in spans:
        begin, end = bisect_left(stored, span.first), bisect_right(stored, span.last)
        if begin == end:
            around = stored[max(0, begin - count) : end + count]
            around = sorted(around, key=lambda bucket: max(span.first - bucket, bucket - span.last))
            nearest += (Span(bucket, bucket) for bucket in around[:count])
    return _merged([*spans, *nearest], step)


def _merged(spans: Iterable[Span], step: int) -> list[Span]:
    """The same buckets as the fewest spans, ascending."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.first <= merged[-1].last + step:
            merged[-1] = Span(merged[-1].first, max(merged[-1].last, span.last))
        else:
            merged.append(span)
    return merged


def pages(spans: Sequence[Span], step: int, size: int, overlap: int = 0) -> Iterator[Span]:
    """The fewest requests of at most `size` buckets that cover all `spans` (ascending, disjoint).

    A request may cover the buckets between two spans: one request is cheaper than two. It never
    reaches beyond the last bucket that it needs. A request that continues a span repeats the last
    `overlap` buckets of the request before, but never more than half of `size`.
    """
    back = min(overlap, size // 2) * step
    lasts = [span.last for span in spans]
    cursor: int | None = spans[0].first if spans else None
    while cursor is not None:
        reach = cursor + (size - 1) * step
        # The first span that does not end within reach: everything before it is covered.
        beyond = bisect_left(lasts, reach)
        if beyond < len(spans) and spans[beyond].first <= reach:
            yield Span(cursor, reach)
            following = reach + step
            continues = spans[beyond].last >= following
            cursor = following - back if continues else _start(spans, beyond + 1)
        else:
            yield Span(cursor, lasts[beyond - 1])
            cursor = _start(spans, beyond)


def _start(spans: Sequence[Span], index: int) -> int | None:
    return spans[index].first if index < len(spans) else None


def affected(changed: Sequence[int], step: int, window: int, newest: int) -> list[Span]:
    """The spans of buckets whose average over up to `window` buckets may contain a changed close.

    `changed` is ascending. No span reaches beyond the `newest` stored bucket.
    """
    reach = (window - 1) * step
    return _merged((Span(bucket, min(bucket + reach, newest)) for bucket in changed), step)
