"""The edge: what every request passes before FastAPI, as plain ASGI.

One module decides what passes, in this order, outermost first:
- the request's id, its line in the log, and a reply even where everything else fails;
- the fast path, which answers plain reads of averages from memory (`app.api.fast_path`);
- FastAPI, with the layers of `app.main` around its routes.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from app.api.compression import RawHeaders
from app.api.errors import INTERNAL, reply
from app.api.fast_path import NOSNIFF
from app.core.access_log import AccessLog, request_ids
from app.core.errors import MmsError
from app.core.logging import structlog
from app.core.redaction import redacted

log = structlog.get_logger()

_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
READY: Final = "mms.ready_reply"
"""The ASGI extension of a server that takes a whole reply at once: a function of the status, the
lines of the head, and the body, which returns whether it has sent them."""

_NONE: Final[Mapping[str, Any]] = {}
_LONGEST_QUERY: Final = 200
_READS: Final = ("GET", "HEAD")


class Edge:
    """The application as a server calls it; `api` is FastAPI behind the edge.

    The id of a request is the client's X-Request-ID where that has 1 to 64 letters, digits, dots,
    underscores or hyphens; else a new one. It is in the reply, in each log line of the request and
    in each error.
    """

    def __init__(self, api: FastAPI) -> None:
        self.api = api
        self._lines = AccessLog()
        self._ids = request_ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._start(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _client_id(scope["headers"]) or next(self._ids)
        state = scope["state"]
        fast = state["fast_path"]
        if fast is not None and scope["method"] in _READS:
            answer = await fast.answer(scope)
            if answer is not None:
                body = b"" if scope["method"] == "HEAD" else answer.body
                ready = scope.get("extensions", _NONE).get(READY)
                head = answer.head + b"x-request-id: %b\r\n" % request_id.encode("ascii")
                if ready is None or not ready(answer.status, head, body):
                    headers = _with_id(answer.headers, request_id)
                    status = answer.status
                    await send(
                        {"type": "http.response.start", "status": status, "headers": headers}
                    )
                    await send({"type": "http.response.body", "body": body})
                if state["context"].access_log:
                    self._log(scope, request_id, answer.status, started, len(body))
                return
        await self._pass_on(scope, receive, send, started, request_id)

    async def _pass_on(
        self, scope: Scope, receive: Receive, send: Send, started: float, request_id: str
    ) -> None:
        """Let FastAPI answer."""
        state = scope["state"]
        state["request_id"] = request_id
        status = 0
        size = 0

        async def counted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_id(message.get("headers", ()), request_id)
            else:
                size += len(message.get("body", b""))
            await send(message)

        tokens = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self.api(scope, receive, counted)
        except Exception:  # The last resort: an unexpected error is logged and answered.
            log.exception("request_crashed", method=scope["method"], path=_path(scope))
            # A reply that has begun cannot be taken back; the server then cuts the connection.
            if not status:
                await reply(scope, INTERNAL)(scope, receive, counted)
        finally:
            structlog.contextvars.reset_contextvars(**tokens)
            if state["context"].access_log:
                self._log(scope, request_id, status, started, size)

    def _log(self, scope: Scope, request_id: str, status: int, started: float, size: int) -> None:
        client = scope.get("client")
        self._lines.write(
            request_id,
            scope["method"],
            _path(scope),
            _query(scope),
            status,
            round((time.perf_counter() - started) * 1000, 3),
            size,
            # An IPv4 client of a socket for both families comes as `::ffff:192.0.2.7`.
            client[0].removeprefix("::ffff:") if client else None,
        )

    async def _start(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start or end the application.

        A start that fails with one of our errors ends in its one sentence, not in a traceback.
        """

        async def plain(message: Message) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed":
                text = str(error) if isinstance(error, MmsError) else message["message"]
                message = {**message, "message": redacted(text)}
            await send(message)

        await self.api(scope, receive, plain)


def _with_id(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> RawHeaders:
    return [*headers, NOSNIFF, (b"x-request-id", request_id.encode("ascii"))]


def _client_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The client's X-Request-ID, if it is usable."""
    for name, value in headers:
        if name == b"x-request-id":
            return value.decode("ascii") if _ID.fullmatch(value) else None
    return None


def _path(scope: Scope) -> str:
    """The path as it came, percent-encoded: it can neither forge a line nor control a terminal."""
    raw: bytes | None = scope.get("raw_path")
    return raw.decode("ascii", "replace") if raw else quote(scope["path"], errors="replace")


def _query(scope: Scope) -> str:
    """The query as it came; only its beginning where it is long."""
    raw: bytes = scope.get("query_string", b"")
    shown = raw[:_LONGEST_QUERY].decode("ascii", "replace")
    return shown if len(raw) <= _LONGEST_QUERY else f"{shown}…"
