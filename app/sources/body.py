"""Reading a reply's body within a bound: a small compressed body can hold gigabytes."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final

ENCODINGS: Final = "gzip"
"""What requests offer in `Accept-Encoding`, and all that `read_body` unpacks."""


class BodyRefused(ValueError):
    """The body is too long, is damaged, or is packed in a way that was not offered."""


class BodyCut(ValueError):
    """The body ends before its compressed form does."""


def read_body(pieces: Iterable[bytes], encoding: str, limit: int) -> bytes:
    """Unpack and join `pieces` as the `Content-Encoding` header says.

    Neither the packed nor the unpacked body may pass `limit` bytes, and no more than that and one
    piece is ever held. Raises BodyRefused and BodyCut.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        inflate = None
    elif name in ("gzip", "x-gzip"):
        inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    else:
        raise BodyRefused(f"its body is packed as {name[:40]!r}, but only {ENCODINGS} was offered")
    body = bytearray()
    received = 0
    try:
        for piece in pieces:
            received += len(piece)
            if inflate is None:
                body += piece
            else:
                # zlib makes no more than it is asked for, and one byte above the limit is enough
                # to see that the limit is passed; what it leaves unread is then of no interest.
                body += inflate.decompress(piece, limit + 1 - len(body))
                if inflate.unused_data:
                    raise BodyRefused("something follows the end of its gzip body")
            if max(received, len(body)) > limit:
                raise BodyRefused(f"its body is longer than {limit} bytes")
    except zlib.error as error:
        raise BodyRefused(f"its gzip body is damaged ({error})") from error
    if inflate is not None and not inflate.eof:
        raise BodyCut("its gzip body ends too early")
    return bytes(body)
