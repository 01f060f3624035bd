"""Blocks: a fixed run of buckets of one averaging window, rendered once and sliced as bytes.

The buckets of a series fall into blocks of BLOCK buckets, counted from 1970. A block holds the rows
that exist, rendered and joined by commas. It also holds the bucket of each row and the offset where
the row ends, so that any period is one slice of the bytes. A full block takes at most 0.53 MB, half
of memcached's limit for a value.

Packed form, in this order:
- `MMSB`; the version (1 byte: 1 where what follows is little-endian, else 2);
- a digest of the key that the block was stored under (16 bytes);
- the number of rows, the length of the body (4 bytes each);
- the CRC-32 of these two numbers and of what follows (4 bytes);
- the buckets (8 bytes each), the row ends (4 bytes each), the body.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import Final

from app.core.market import Interval
from app.domain.rendering import average_row

BLOCK: Final = 8_192

_HEADER: Final = Struct("=4sB16sIII")
_COUNTS: Final = Struct("<II")
_NOTHING: Final = memoryview(b"")
_OVERHEAD: Final = 400  # of the objects themselves
_MAGIC: Final = b"MMSB"
_VERSION: Final = 1 if sys.byteorder == "little" else 2
"""Machines of different byte order treat each other's blocks as foreign."""


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
    """The number of rows in slices of consecutive blocks, and the slices as one JSON array."""
    count = 0
    parts: list[bytes | memoryview] = [b"["]
    for rows, body in slices:
        if rows:
            parts += [b",", body] if count else [body]
            count += rows
    parts.append(b"]")
    return count, b"".join(parts)


def pack(key: str, block: Block) -> bytes:
    """The block as it is stored under `key`."""
    content = block.stamps.tobytes() + block.ends.tobytes() + block.body
    return (
        _HEADER.pack(
            _MAGIC,
            _VERSION,
            _digest(key),
            len(block.stamps),
            len(block.body),
            _checksum(len(block.stamps), len(block.body), content),
        )
        + content
    )


def unpack(key: str, packed: bytes) -> Block | None:
    """The block that was stored under `key`; None for anything else: cut, altered, or foreign."""
    if len(packed) < _HEADER.size:
        return None
    magic, version, digest, rows, length, checksum = _HEADER.unpack_from(packed)
    content = packed[_HEADER.size :]
    if (
        (magic, version, digest) != (_MAGIC, _VERSION, _digest(key))
        or len(content) != rows * 12 + length
        or _checksum(rows, length, content) != checksum
    ):
        return None
    stamps, ends = array("q"), array("I")
    stamps.frombytes(content[: rows * 8])
    ends.frombytes(content[rows * 8 : rows * 12])
    return Block(stamps, ends, content[rows * 12 :])


def _digest(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=16).digest()


def _checksum(rows: int, length: int, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(_COUNTS.pack(rows, length)))
