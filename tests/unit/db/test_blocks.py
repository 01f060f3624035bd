"""Blocks: what comes out is what went in, any slice of it, or nothing at all."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.core.market import MAX_PRICE, Interval
from app.db.cache import blocks
from app.db.cache.blocks import BLOCK, Block
from app.domain.times import LATEST

Rows = list[tuple[int, int]]

buckets = st.integers(-(2**40), 2**40)
rows = st.dictionaries(buckets, st.integers(0, MAX_PRICE), max_size=40).map(
    lambda found: sorted(found.items())
)

A_BLOCK: Rows = [(60 * number, 35_000_000_000_000 + number**3) for number in range(12)]


def read(body: bytes) -> Rows:
    """The rows of a JSON array, by the standard library alone."""
    points = json.loads(body, parse_float=Decimal)
    return [(point["timestamp"], int(point["mms"].scaleb(8))) for point in points]


def same(one: Block, other: Block) -> bool:
    return (one.stamps, one.ends, one.body) == (
        other.stamps,
        other.ends,
        other.body,
    )


@given(rows)
def test_what_was_packed_is_unpacked_to_the_last_byte(found: Rows) -> None:
    block = blocks.render(found)
    assert same(blocks.unpack(memoryview(blocks.pack(block))), block)


@given(rows, buckets, buckets)
@example(A_BLOCK, 0, 0)
@example(A_BLOCK, 60 * 11, 60 * 11)
@example(A_BLOCK, 61, 119)
@example(A_BLOCK, 60 * 12, 60 * 99)
@example(A_BLOCK, 600, 60)
@example([], 0, 60)
def test_any_slice_holds_exactly_the_rows_of_its_period(found: Rows, first: int, last: int) -> None:
    count, body = blocks.join([blocks.render(found).slice(first, last)])
    wanted = [row for row in found if first <= row[0] <= last]
    assert count == len(wanted)
    assert read(body) == wanted


@given(
    st.lists(st.lists(st.integers(0, MAX_PRICE), max_size=3), min_size=2, max_size=5),
    st.integers(0, 5),
    st.integers(0, 50),
)
def test_slices_of_consecutive_blocks_join_to_the_slice_of_all(
    parts: list[list[int]], first: int, last: int
) -> None:
    # Each part's rows lie behind those of the part before it.
    found = [
        [(10 * part + place, value) for place, value in enumerate(items)]
        for part, items in enumerate(parts)
    ]
    together = [row for items in found for row in items]
    joined = blocks.join([blocks.render(items).slice(first, last) for items in found])
    assert joined == blocks.join([blocks.render(together).slice(first, last)])


@pytest.mark.parametrize("interval", list(Interval))
@given(number=st.integers(-5, 5))
def test_blocks_follow_each_other_without_a_gap_and_without_sharing_a_bucket(
    interval: Interval, number: int
) -> None:
    first, last = blocks.bounds(interval, number)
    assert interval.count(first, last) == BLOCK
    assert blocks.bounds(interval, number + 1)[0] == last + interval.seconds
    assert blocks.numbers(interval, first, last) == range(number, number + 1)
    assert blocks.numbers(interval, first - interval.seconds, last + interval.seconds) == range(
        number - 1, number + 2
    )


def test_the_largest_block_fits_into_a_memcached_value() -> None:
    step = Interval.DAY.seconds
    newest = LATEST // step * step
    largest = [(newest - number * step, MAX_PRICE) for number in reversed(range(BLOCK))]
    packed = blocks.pack(blocks.render(largest))
    assert len(packed) < 1_000_000
    count, body = blocks.join([blocks.render(largest).slice(0, LATEST)])
    assert (count, len(json.loads(body))) == (BLOCK, BLOCK)
