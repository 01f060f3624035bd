"""Replies: their headers and bytes, and the answer to a conditional request."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from email.utils import formatdate
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple
from urllib.parse import quote

from fastapi import Response
from fastapi.responses import JSONResponse

from app.api.compression import VARY, RawHeaders
from app.api.negotiation import MEDIA_TYPES
from app.core.market import SeriesState, Window
from app.domain.revisions import changed_at
from app.domain.tables import PLAIN, Format, Layout
from app.domain.times import iso
from app.services.averages import Reading, Selection
from app.services.gaps import is_stale
from app.services.reasons import why_absent

# A client may use a stored reply only after revalidation, which costs little.
_STALE: Final = (b"x-data-stale", b"true")
_CURRENT: Final = (b"x-data-stale", b"false")
_CACHING: Final = (b"cache-control", b"public, no-cache")
_TYPES: Final = {
    each: (b"content-type", media_type.encode()) for each, media_type in MEDIA_TYPES.items()
} | {Format.CSV: (b"content-type", b"text/csv; charset=utf-8; header=present")}
_ASCII: Final = f" {string.ascii_letters}{string.digits}{string.punctuation}"
_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')


class JsonBytes(JSONResponse):
    """JSON that is already rendered, without the line feed that ends every body."""

    def render(self, content: bytes) -> bytes:
        """The bytes and a line feed."""
        return content + b"\n"


class TaggedReply(NamedTuple):
    """A reply of 200 with an entity tag; `tag` is that, without `W/`."""

    headers: RawHeaders
    body: bytes
    tag: str


class _Whole(Response):
    """A reply whose headers and body are ready."""

    def __init__(self, status: int, headers: RawHeaders, body: bytes) -> None:
        self.status_code = status
        self.body = body
        self.raw_headers = list(headers)
        self.background = None


def conditional_response(reply: TaggedReply, held: str | None) -> Response:
    """The reply, or 304 where the client holds it; `held` is the request's If-None-Match."""
    if is_held(held, reply.tag):
        return _Whole(304, headers_of_304(reply.headers), b"")
    return _Whole(200, reply.headers, reply.body)


def tagged_reply(content: bytes, headers: RawHeaders | None = None) -> TaggedReply:
    """The reply with this JSON and these headers, whose entity tag names its bytes."""
    tag = _tag(content)
    return _conditional(tag, tag, content + b"\n", _TYPES[Format.JSON], headers or ())


def file_reply(body: bytes, media_type: str) -> TaggedReply:
    """The reply with a file, whose entity tag names its bytes."""
    tag = _tag(body)
    return _conditional(tag, tag, body, _content_type(media_type))


def _content_type(media_type: str) -> tuple[bytes, bytes]:
    return b"content-type", media_type.encode("ascii")


def weak_reply(content: bytes, tag: str) -> TaggedReply:
    """The reply with a weak entity tag (RFC 9110, 8.8.1): bodies under one tag may differ a little.

    `tag` comes without `W/`.
    """
    return _conditional(f"W/{tag}", tag, content + b"\n", _TYPES[Format.JSON])


def _conditional(
    written: str,
    tag: str,
    body: bytes,
    media_type: tuple[bytes, bytes],
    more: Iterable[tuple[bytes, bytes]] = (),
) -> TaggedReply:
    headers = [
        (b"etag", written.encode()),
        _CACHING,
        VARY,
        *more,
        (b"content-length", b"%d" % len(body)),
        media_type,
    ]
    return TaggedReply(headers, body, tag)


def freshness(
    as_of: int | None, stale: bool, missing: int, reason: str | None = None
) -> RawHeaders:
    """The headers that say what the data of a reply are: `as_of` is their newest bucket."""
    headers = [_STALE if stale else _CURRENT, (b"x-data-missing", b"%d" % missing)]
    if as_of is not None:
        headers.append((b"x-data-as-of", iso(as_of).encode()))
    if reason is not None:
        headers.append(reason_header(reason))
    return headers


def reason_header(reason: str) -> tuple[bytes, bytes]:
    """The header that says why a reply is empty, or lacks something."""
    return b"x-data-reason", _ascii(reason)


def averages_reply(
    window: Window, buckets: Selection, reading: Reading, layout: Layout = PLAIN
) -> TaggedReply:
    """The reply with averages over `window`."""
    return series_reply(f"mms {window}", buckets, reading, window, layout)


def series_reply(
    kind: str,
    buckets: Selection,
    reading: Reading,
    window: Window | None = None,
    layout: Layout = PLAIN,
    media_type: str | None = None,
) -> TaggedReply:
    """The reply with the body of `reading`, written in this layout, or of another media type.

    `kind` is the endpoint with everything else that shapes the body, and `window` that of the
    averages, if any. The ETag depends on the revision and the buckets. So it changes with every
    change of the body and, for a period that ends now, with every new bucket.
    """
    state = reading.state
    if layout != PLAIN or buckets.limit is not None or buckets.descending:
        kind = f"{kind} {layout} {buckets.limit} {buckets.descending}"
    tag = _etag(kind, buckets, reading)
    headers = [
        _STALE if is_stale(state, buckets.series.interval, buckets.now) else _CURRENT,
        (b"x-data-missing", b"%d" % reading.missing),
        *_of_state(state),
    ]
    reason = why_absent(reading.shown(buckets), state, window, reading.rows)
    if reason is not None:
        headers.append(reason_header(reason))
    written = _TYPES[layout.format] if media_type is None else _content_type(media_type)
    return _conditional(tag, tag, reading.body, written, headers)


def _etag(kind: str, buckets: Selection, reading: Reading) -> str:
    """The entity tag of one representation."""
    pair, interval = buckets.series.pair, buckets.series.interval
    name = (
        f"{kind} {pair.base}-{pair.quote} {interval.seconds} {buckets.first} "
        f"{min(buckets.last, buckets.closed)} {reading.state.revision} {reading.missing}"
    )
    return tag_of(name)


def tag_of(name: str) -> str:
    """The entity tag of the reply that `name` tells from all others, without `W/`."""
    return _tag(name.encode())


def _tag(content: bytes) -> str:
    return f'"{blake2b(content, digest_size=12).hexdigest()}"'


def headers_of_304(headers: RawHeaders) -> RawHeaders:
    """The headers of a 304 in the place of a reply with these."""
    return [header for header in headers if not header[0].startswith(b"content-")]


@lru_cache(maxsize=256)
def _of_state(state: SeriesState) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that only the state of the series decides."""
    headers = []
    if state.revision:
        changed = formatdate(changed_at(state.revision), usegmt=True)
        headers.append((b"last-modified", changed.encode()))
    if state.last is not None:
        headers.append((b"x-data-as-of", iso(state.last).encode()))
    return tuple(headers)


@lru_cache(maxsize=256)
def _ascii(reason: str) -> bytes:
    # A header is ASCII, and a pair's name may not be.
    return quote(reason, safe=_ASCII).encode()


def is_held(if_none_match: str | None, tag: str) -> bool:
    """Whether the client's If-None-Match (RFC 9110, 13.1.2) names this representation."""
    if if_none_match is None:
        return False
    if if_none_match == tag:
        return True
    return if_none_match.strip() == "*" or tag in _TAG.findall(if_none_match)
