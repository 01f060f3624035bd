"""The fast path: plain reads of averages, answered in the event loop from memory.

FastAPI and the hand-over to a thread cost many times as much as such a read. Whatever is not in
memory, and everything that would be refused, is left to the ordinary route. Where both answer, the
two replies are the same, byte for byte: the fast path calls the same functions.

A finished reply is kept for the next request with the same text. It is right while the state of its
series is the one that it shows, until the moment at which it could differ without new data
(`services.averages.next_change`). It is kept at the second request: most requests for varying
periods never come again, and keeping each would cost more than it saves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from starlette.types import Scope

from app.api.compression import RawHeaders, accepts_gzip, gzipped, is_large
from app.api.context import Context
from app.api.negotiation import accepted
from app.api.parameters import plain_averages
from app.api.responses import TaggedReply, averages_reply, headers_of_304, is_held
from app.core.errors import InvalidRequest
from app.core.market import Series, SeriesState
from app.core.ports import WarmAverages
from app.core.settings import OWN_ADDRESSES
from app.db.cache.memory import MemoryCache
from app.domain.tables import Format
from app.services.averages import Selection, next_change, warm_averages

CAPACITY: Final = 32 * 1024 * 1024
"""Total size of the kept replies, in bytes."""

_OVERHEAD: Final = 4_000
"""Bytes of a kept reply beside its body, roughly; a query has 2,048 at most."""

_READS: Final = ("GET", "HEAD")
_MOST_SEEN: Final = 10_000
"""How many requests are remembered to have come once."""

_Key = tuple[str, bytes, bool]
"""Path, query, and whether the client accepts gzip."""


class Answer(NamedTuple):
    """A reply without its id. `head` are its headers as lines, for a server that sends bytes."""

    status: int
    headers: RawHeaders
    head: bytes
    body: bytes


class Uncompressed(NamedTuple):
    """A reply that a thread has to compress: its key, and what it shows."""

    key: _Key
    buckets: Selection
    state: SeriesState
    reply: TaggedReply


@dataclass(frozen=True, slots=True)
class Kept:
    """A finished reply, and when it is right: in this state, from `begins` until `expires`.

    `begins` and `expires` are unix seconds.
    """

    series: Series
    state: SeriesState
    begins: float
    expires: float
    tag: str
    whole: Answer
    not_modified: Answer


class FastPath:
    """Answers plain reads of averages from `warm`, in one event loop."""

    def __init__(self, context: Context, warm: WarmAverages, capacity: int = CAPACITY) -> None:
        self._context = context
        self._clock = context.runtime.clock
        self._completed = context.headers.completed
        self._warm = warm
        ttl = context.runtime.settings.cache_ttl_seconds
        self._kept = MemoryCache[_Key, Kept](
            ttl, lambda kept: len(kept.whole.body) + _OVERHEAD, capacity
        )
        self._came_once: set[int] = set()
        self._pairs = _paths(context)

    def answer(self, scope: Scope) -> Answer | Uncompressed | None:
        """The answer to a GET or HEAD, with the body of a GET; None: ask the ordinary route.

        A large one is Uncompressed, where the client accepts gzip: see `compress`.
        """
        path: str = scope["path"]
        pair = self._pairs.get(path)
        if pair is None or scope["method"] not in _READS:
            return None
        fields: RawHeaders = scope["headers"]
        headers = dict(fields)
        if len(headers) != len(fields):
            return None  # several lines of one header are one list, which the ordinary route reads
        if accepted(headers.get(b"accept")) is not Format.JSON:
            return None
        key = path, scope["query_string"], accepts_gzip(headers.get(b"accept-encoding"))
        kept = self._kept.get(key)
        if kept is not None:
            state = self._warm.warm_state(kept.series)
            if state is None:
                return None
            if state is kept.state and kept.begins <= self._clock() < kept.expires:
                return kept.not_modified if _holds(headers, kept.tag) else kept.whole
        return self._computed(key, pair, headers)

    def _computed(
        self, key: _Key, pair: str, request: Mapping[bytes, bytes]
    ) -> Answer | Uncompressed | None:
        """The answer from averages in memory; `request` are the request's headers."""
        _, query, gzip = key
        try:
            plain = plain_averages(self._context, pair, query)
        except InvalidRequest:
            return None
        if plain is None:
            return None
        buckets, window = plain
        reading = warm_averages(self._warm, window, buckets)
        if reading is None:
            return None
        reply = averages_reply(window, buckets, reading)
        held = _holds(request, reply.tag)
        if gzip and is_large(reply.body):
            if held:  # then its body is not needed
                headers, _ = gzipped(reply.headers, b"")
                return self._answer(304, headers_of_304(headers))
            return Uncompressed(key, buckets, reading.state, reply)
        reply = _compressed(reply) if gzip else reply
        whole = self._finished(key, buckets, reading.state, reply)
        return self._answer(304, headers_of_304(reply.headers)) if held else whole

    async def compress(self, answer: Uncompressed) -> Answer:
        """The finished answer; a thread compresses it."""
        key, buckets, state, reply = answer
        return self._finished(key, buckets, state, await asyncio.to_thread(_compressed, reply))

    def _finished(
        self, key: _Key, buckets: Selection, state: SeriesState, reply: TaggedReply
    ) -> Answer:
        """The whole answer as it is sent; it is kept if the same was asked before."""
        headers, body, tag = reply
        whole = self._answer(200, headers, body)
        if self._came_before(key):
            kept = Kept(
                series=buckets.series,
                state=state,
                begins=buckets.now,
                expires=next_change(buckets.series.interval, buckets.now),
                tag=tag,
                whole=whole,
                not_modified=self._answer(304, headers_of_304(headers)),
            )
            self._kept.set(key, kept)
        return whole

    def _answer(self, status: int, headers: RawHeaders, body: bytes = b"") -> Answer:
        return answer_of(status, self._completed(headers), body)

    def _came_before(self, key: _Key) -> bool:
        """Whether a request with this key was computed before."""
        # Hashes take little room, however long the queries. Two keys of one hash do no harm.
        seen = hash(key)
        if seen in self._came_once:
            return True
        if len(self._came_once) >= _MOST_SEEN:
            self._came_once.clear()
        self._came_once.add(seen)
        return False


def _compressed(reply: TaggedReply) -> TaggedReply:
    headers, body = gzipped(reply.headers, reply.body)
    return TaggedReply(headers, body, reply.tag)


def answer_of(status: int, headers: RawHeaders, body: bytes) -> Answer:
    """The reply with its head as lines."""
    head = b"".join([b"%b: %b\r\n" % header for header in headers])
    return Answer(status, headers, head, body)


def _holds(request: Mapping[bytes, bytes], tag: str) -> bool:
    """Whether the client holds the reply already; `request` are the request's headers."""
    held = request.get(b"if-none-match")
    return held is not None and is_held(held.decode("latin-1"), tag)


def _paths(context: Context) -> dict[str, str]:
    """The paths of averages in their usual spellings, and the pair that each names.

    The ordinary route reads all others.
    """
    root = context.root_path
    paths: dict[str, str] = {}
    for pair in context.runtime.settings.allowed_pairs:
        for name in (pair.legacy, pair.symbol, pair.legacy.lower(), pair.symbol.lower()):
            if name not in OWN_ADDRESSES:
                paths |= {f"{prefix}/{name}/mms": pair.legacy for prefix in ("", root)}
    return paths
