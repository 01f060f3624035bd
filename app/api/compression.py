"""Replies compressed with gzip, for clients that accept it (RFC 9110, 12.5.3).

A compressed reply has other bytes under the same address. So its entity tag is a weak one, which
names the content and not the bytes, and `Vary` tells caches what the choice depends on.
"""

from __future__ import annotations

import asyncio
import gzip
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEAST: Final = 1_000
"""Bytes from which a body is compressed: a smaller one fits into a packet or two anyway."""

LARGE: Final = 100_000
"""Bytes from which a body is compressed in a thread: the event loop would stand still for long."""

VARY: Final = (b"vary", b"Accept, Accept-Encoding")
"""What replies depend on: the formats (`app.api.negotiation`) and the codings of a client."""

_LEVEL: Final = 4
_NAMES: Final = (b"gzip", b"x-gzip", b"*")
_SHORT: Final = 200
_ROWS: Final = (b"application/x-ndjson", b"application/vnd.mms.")
_TEXTS: Final = (
    b"application/json",
    b"application/problem+json",
    b"text/",
    *_ROWS,
    b"image/svg+xml",
)

RawHeaders = list[tuple[bytes, bytes]]


def accepts_gzip(accept_encoding: bytes | None) -> bool:
    """Whether a client with this Accept-Encoding gets gzip."""
    if accept_encoding is None or len(accept_encoding) > _SHORT:
        return False
    return _prefers_gzip(accept_encoding)


@lru_cache(maxsize=256)
def _prefers_gzip(accept_encoding: bytes) -> bool:
    weights: dict[bytes, float] = {}
    for item in accept_encoding.lower().split(b","):
        coding, _, parameter = item.partition(b";")
        weights[coding.strip()] = _weight(parameter.strip())
    weight = next((weights[name] for name in _NAMES if name in weights), 0.0)
    return weight > 0 and weight >= weights.get(b"identity", 0.0)


def _weight(parameter: bytes) -> float:
    """The weight in `q=0.5`; 1 without one, 0 for what is none."""
    name, _, value = parameter.replace(b" ", b"").partition(b"=")
    if not name:
        return 1.0
    try:
        return float(value) if name == b"q" else 1.0
    except ValueError:
        return 0.0


def is_large(body: bytes) -> bool:
    """Whether the body should be compressed in a thread."""
    return len(body) >= LARGE


def gzipped(headers: RawHeaders, body: bytes, level: int = _LEVEL) -> tuple[RawHeaders, bytes]:
    """The headers and the body for a client that accepts gzip; a small body stays as it is."""
    headers = [_weak(header) if header[0] == b"etag" else header for header in headers]
    if len(body) < LEAST:
        return headers, body
    packed = gzip.compress(body, level, mtime=0)
    kept = [header for header in headers if header[0] != b"content-length"]
    length = (b"content-length", b"%d" % len(packed))
    return [*kept, length, (b"content-encoding", b"gzip")], packed


def _weak(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    name, tag = header
    return name, tag if tag.startswith(b"W/") else b"W/" + tag


class Compression:
    """Compresses replies that are text and come in one piece.

    A part of a file (206) stays as it is: its range counts the bytes of the file. So does what a
    route has compressed itself.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        values = [value for name, value in scope["headers"] if name == b"accept-encoding"]
        accepted = accepts_gzip(b",".join(values))
        start: Message = {}

        async def coded(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if not start:
                await send(message)
                return
            headers, body = list(start["headers"]), message.get("body", b"")
            whole = not message.get("more_body", False)
            if whole and (start["status"] == HTTPStatus.NOT_MODIFIED or _is_text(headers)):
                if not any(name == VARY[0] for name, _ in headers):
                    headers.append(VARY)
                packs = accepted and start["status"] != HTTPStatus.PARTIAL_CONTENT
                packs = packs and not any(name == b"content-encoding" for name, _ in headers)
                if packs and is_large(body):
                    headers, body = await asyncio.to_thread(gzipped, headers, body)
                elif packs:
                    headers, body = gzipped(headers, body)
            first, start = start, {}
            await send({**first, "headers": headers})
            await send({**message, "body": body})

        await self._app(scope, receive, coded)


def _is_text(headers: RawHeaders) -> bool:
    return any(name == b"content-type" and value.startswith(_TEXTS) for name, value in headers)
