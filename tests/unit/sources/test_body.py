"""Bodies are unpacked within a bound."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sources.http import BodyCut, BodyRefused, read_body


def pieces(body: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@given(body=st.binary(max_size=3_000), size=st.integers(1, 100), level=st.integers(0, 9))
def test_a_body_arrives_whole_however_it_is_packed_and_cut_into_pieces(
    body: bytes, size: int, level: int
) -> None:
    assert read_body(pieces(body, size), "", 4_000) == body
    packed = gzip.compress(body, level)
    for name in ("gzip", "GZIP ", "x-gzip"):
        assert read_body(pieces(packed, size), name, 4_000) == body


@given(body=st.binary(min_size=1, max_size=300), data=st.data())
def test_a_gzip_body_cut_anywhere_is_noticed(body: bytes, data: st.DataObject) -> None:
    packed = gzip.compress(body)
    end = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(BodyCut):
        read_body(pieces(packed[:end], 7), "gzip", 4_000)


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_the_limit_itself_is_allowed_and_one_byte_more_is_not(encoding: str) -> None:
    def sent(count: int) -> Iterator[bytes]:
        body = b"x" * count
        return pieces(gzip.compress(body) if encoding else body, 64)

    assert len(read_body(sent(1_000), encoding, 1_000)) == 1_000
    with pytest.raises(BodyRefused, match="1000 bytes"):
        read_body(sent(1_001), encoding, 1_000)


def test_a_bomb_is_refused_before_it_takes_memory() -> None:
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(200)) + packer.flush()
    tracemalloc.start()
    try:
        with pytest.raises(BodyRefused):
            read_body(iter([bomb]), "gzip", 1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize(
    "encoding", ["br", "deflate", "zstd", "gzip, gzip", "identity, gzip", "x" * 999]
)
def test_a_packing_that_was_not_offered_is_refused_by_name(encoding: str) -> None:
    with pytest.raises(BodyRefused, match=encoding[:40]):
        read_body(iter([b"[]"]), encoding, 100)
