"""The fast path: plain reads of averages, answered in the event loop from memory.

FastAPI and the hand-over to a thread cost many times as much as such a read. Whatever is not in
memory, and everything that would be refused, is left to the ordinary route. Where both answer, the
two replies are the same, byte for byte: the fast path calls the same functions.

A finished reply is kept for the next request with the same text. It is right while the state of its
series is the one that it shows, until the moment at which it could differ without new data
(`services.averages.next_change`). It is kept at the second request: most requests for varying
periods never come again, and keeping all of them costs a fifth of the speed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from app.api.compression import RawHeaders, accepts_gzip, compressed, is_large
from app.api.context import Context
from app.api.parameters import averages_request
from app.api.responses import averages_reply, headers_of_304, is_held
from app.core.errors import InvalidRequest
from app.core.market import Series, SeriesState
from app.core.ports import WarmAverages
from app.core.settings import OWN_ADDRESSES
from app.services.averages import next_change, warm_averages

CAPACITY: Final = 32 * 1024 * 1024
"""Total size of the kept replies, in bytes."""

_OVERHEAD: Final = 2_000
"""Bytes of a kept reply beside its body and its query, roughly."""

_MOST_SEEN: Final = 10_000
"""How many requests are remembered to have come once."""

_Key = tuple[str, bytes, bool]
"""Path, query, and whether the client accepts gzip."""

Answer = tuple[int, RawHeaders, bytes]
"""Status, headers and body."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A finished reply, and when it is right: in this state, from `made` until `expires`.

    `made` and `expires` are unix seconds. `tag` is the strong entity tag, `sent_tag` the one in
    `headers`.
    """

    series: Series
    state: SeriesState
    made: float
    expires: float
    tag: str
    sent_tag: bytes
    headers: RawHeaders
    headers_of_304: RawHeaders
    body: bytes


class KeptReplies:
    """Replies by key, at most `capacity` bytes of them.

    They are in two generations. Once the younger one takes half of the capacity, the older one is
    dropped. A reply that is used again moves into the younger one. So the replies that go are those
    that were not used for longest, and a use costs next to nothing.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._half = capacity // 2
        self._young: dict[_Key, Kept] = {}
        self._old: dict[_Key, Kept] = {}
        self._size = 0
        self._seen: set[int] = set()

    def get(self, key: _Key) -> Kept | None:
        """The reply that is kept under this key."""
        reply = self._young.get(key)
        if reply is None:
            reply = self._old.get(key)
            if reply is not None:
                self._put(key, reply)
        return reply

    def offer(self, key: _Key, reply: Kept) -> None:
        """Keep the reply if one was offered under this key before."""
        # Hashes take little room, however long the queries. Two of one hash do no harm here.
        seen = hash(key)
        if seen in self._seen:
            self._put(key, reply)
            return
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        self._seen.add(seen)

    def _put(self, key: _Key, reply: Kept) -> None:
        size = len(reply.body) + len(key[1]) + _OVERHEAD
        before = self._young.pop(key, None)
        if before is not None:
            self._size -= len(before.body) + len(key[1]) + _OVERHEAD
        if size > self._half:
            return
        if self._size + size > self._half:
            self._old, self._young, self._size = self._young, {}, 0
        self._young[key] = reply
        self._size += size


class FastPath:
    """Answers plain reads of averages from `warm`, in one event loop."""

    def __init__(
        self, context: Context, warm: WarmAverages, kept: KeptReplies | None = None
    ) -> None:
        self._context = context
        self._clock = context.runtime.clock
        self._ttl = context.runtime.settings.cache_ttl_seconds
        self._warm = warm
        self._kept = kept or KeptReplies()
        self._pairs = _paths(context)

    async def answer(self, scope: Scope) -> Answer | None:
        """The answer to a GET or HEAD, with the body of a GET; None: ask the ordinary route."""
        path: str = scope["path"]
        pair = self._pairs.get(path)
        if pair is None:
            return None
        fields: RawHeaders = scope["headers"]
        headers = dict(fields)
        if len(headers) != len(fields):
            return None  # several lines of one header are one list, which the ordinary route reads
        query: bytes = scope["query_string"]
        key = path, query, accepts_gzip(headers.get(b"accept-encoding"))
        reply = self._kept.get(key)
        if reply is not None:
            state = self._warm.warm_state(reply.series)
            if state is None:
                return None
            if state is not reply.state or not reply.made <= self._clock() < reply.expires:
                reply = None
        if reply is None:
            reply = await self._made(key, pair)
            if reply is None:
                return None
        held = headers.get(b"if-none-match")
        if held is not None and (
            held == reply.sent_tag or is_held(held.decode("latin-1"), reply.tag)
        ):
            return 304, reply.headers_of_304, b""
        return 200, reply.headers, reply.body

    async def _made(self, key: _Key, pair: str) -> Kept | None:
        """The reply, computed from memory; None: ask the ordinary route."""
        _, query, gzip = key
        try:
            buckets, window = averages_request(self._context, pair, query)
        except InvalidRequest:
            return None
        reading = warm_averages(self._warm, window, buckets)
        if reading is None:
            return None
        whole = averages_reply(window, buckets, reading)
        headers, body = whole.headers, whole.body
        if gzip:
            if is_large(body):
                headers, body = await asyncio.to_thread(compressed, headers, body)
            else:
                headers, body = compressed(headers, body)
        expires = min(next_change(buckets.series.interval, buckets.now), buckets.now + self._ttl)
        reply = Kept(
            series=buckets.series,
            state=reading.state,
            made=buckets.now,
            expires=expires,
            tag=whole.tag,
            sent_tag=dict(headers)[b"etag"],
            headers=headers,
            headers_of_304=headers_of_304(headers),
            body=body,
        )
        self._kept.offer(key, reply)
        return reply


def _paths(context: Context) -> dict[str, str]:
    """The paths of averages in their usual spellings, and the pair that each names.

    The ordinary route reads all others.
    """
    root = context.root_path
    paths: dict[str, str] = {}
    for pair in context.runtime.settings.allowed_pairs:
        for name in (pair.legacy, pair.symbol, pair.legacy.lower(), pair.symbol.lower()):
            if name not in OWN_ADDRESSES:
                paths |= {f"{prefix}/{name}/mms": name for prefix in ("", root)}
    return paths
