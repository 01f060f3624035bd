"""Blocks: a fixed run of buckets of one averaging window, rendered once and sliced as bytes.

The buckets of a series fall into blocks of BLOCK buckets, counted from 1970. A block holds the rows
that exist, rendered and joined by commas. It also holds the bucket of each row and the offset where
the row ends, so that any period is one slice of the bytes. A full block takes at most 0.53 MB, half
of memcached's limit for a value.

Packed form: the number of rows (4 bytes), the buckets (8 bytes each), the row ends (4 bytes each),
the body. Numbers are as the machine writes them, which FORMAT says.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

from app.core.market import Interval
from app.domain.rendering import average_row

BLOCK: Final = 8_192

FORMAT: Final = f"2 {sys.byteorder}"
"""A part of each key: a block of another version, or of another byte order, is a miss."""

_ROWS: Final = Struct("=I")
_NOTHING: Final = memoryview(b"")
_OVERHEAD: Final = 400  # of the objects themselves


@dataclass(frozen=True, slots=True)
class Block:
    """The rows of one block.

    `ends[i]` is the offset in `body` where row i ends. A comma follows each row but the last.
    """

    stamps: array[int]
    ends: array[int]
    body: bytes

    @property
    def size(self) -> int:
        """Bytes of memory, roughly."""
        return len(self.body) + 12 * len(self.stamps) + _OVERHEAD

    def slice(self, first: int, last: int) -> tuple[int, memoryview]:
        """The number of rows whose bucket is in [first, last], and these rows joined by commas."""
        begin = bisect_left(self.stamps, first)
        end = bisect_right(self.stamps, last)
        if begin >= end:
            return 0, _NOTHING
        start = self.ends[begin - 1] + 1 if begin else 0
        return end - begin, memoryview(self.body)[start : self.ends[end - 1]]


def numbers(interval: Interval, first: int, last: int) -> range:
    """The numbers of the blocks that hold the buckets [first, last]."""
    size = BLOCK * interval.seconds
    return range(first // size, last // size + 1)


def bounds(interval: Interval, number: int) -> tuple[int, int]:
    """The first and the last bucket of a block."""
    size = BLOCK * interval.seconds
    return number * size, (number + 1) * size - interval.seconds


def render(rows: Iterable[tuple[int, int]]) -> Block:
    """Render ascending (bucket, average in 1e-8) rows."""
    stamps, ends, parts = array("q"), array("I"), []
    position = -1
    for bucket, value in rows:
        part = average_row(bucket, value)
        position += len(part) + 1
        stamps.append(bucket)
        ends.append(position)
        parts.append(part)
    return Block(stamps, ends, ",".join(parts).encode("ascii"))


def join(slices: Sequence[tuple[int, memoryview]]) -> tuple[int, bytes]:
    """The number of rows in slices of consecutive blocks, and the slices as one JSON array.

    A line feed ends it, as it ends every body.
    """
    count = 0
    parts: list[bytes | memoryview] = [b"["]
    for rows, body in slices:
        if rows:
            parts += [b",", body] if count else [body]
            count += rows
    parts.append(b"]\n")
    return count, b"".join(parts)


def pack(block: Block) -> bytes:
    """The block as it is stored."""
    return b"".join((_ROWS.pack(len(block.stamps)), block.stamps, block.ends, block.body))


def unpack(packed: memoryview) -> Block:
    """The block that `pack` made this from.

    Nothing is checked. A Cache gives back what was stored under a key of this FORMAT, or nothing.
    """
    (rows,) = _ROWS.unpack_from(packed)
    at_ends, at_body = _ROWS.size + rows * 8, _ROWS.size + rows * 12
    stamps, ends = array("q"), array("I")
    stamps.frombytes(packed[_ROWS.size : at_ends])
    ends.frombytes(packed[at_ends:at_body])
    return Block(stamps, ends, bytes(packed[at_body:]))
