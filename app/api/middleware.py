"""The layers around every request, as plain ASGI: each is one call, without a task or a copy."""

from __future__ import annotations

import re
import secrets
import sys
import time
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import INTERNAL, reply
from app.core.errors import MmsError
from app.core.logging import structlog
from app.core.redaction import redacted

log = structlog.get_logger()

_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_LONGEST_QUERY: Final = 200
_NOSNIFF: Final = (b"x-content-type-options", b"nosniff")


class RequestBoundary:
    """Gives each request its id, its log line, and a reply even where everything fails.

    The id is the client's X-Request-ID where that has 1 to 64 letters, digits, dots, underscores or
    hyphens; else a new one. It is in the reply, in each log line of the request and in each error.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _client_id(scope["headers"]) or secrets.token_hex(8)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        extra = ((b"x-request-id", request_id.encode("ascii")), _NOSNIFF)
        status = 0
        size = 0

        async def counted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *extra]
            else:
                size += len(message.get("body", b""))
            await send(message)

        tokens = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, receive, counted)
        except Exception:  # The last resort: an unexpected error is logged and answered.
            log.exception("request_crashed", method=scope["method"], path=_path(scope))
            # A reply that has begun cannot be taken back; the server then cuts the connection.
            if not status:
                await reply(scope, INTERNAL)(scope, receive, counted)
        finally:
            if state["context"].access_log:
                client = scope.get("client")
                log.info(
                    "http_request",
                    method=scope["method"],
                    path=_path(scope),
                    query=_query(scope),
                    status=status,
                    duration_ms=round((time.perf_counter() - started) * 1000, 3),
                    bytes=size,
                    # An IPv4 client of a socket for both families comes as `::ffff:192.0.2.7`.
                    client=client[0].removeprefix("::ffff:") if client else None,
                )
            structlog.contextvars.reset_contextvars(**tokens)


class RootPath:
    """Serves every address under ROOT_PATH, whether the proxy in front removes that path or not.

    As ASGI has it, `path` begins with `root_path`; the router and all that names an address go by
    that.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root = scope["state"]["context"].root_path if scope["type"] == "http" else ""
        if root:
            path = scope["path"]
            if not f"{path}/".startswith(f"{root}/"):
                path = root + path
            elif path == root:
                path = f"{root}/"
            scope = {**scope, "path": path, "root_path": root}
        await self._app(scope, receive, send)


class HeadAsGet:
    """Answers HEAD wherever GET is answered, with the same headers and no body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def bodiless(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        # A copy: the server must go on seeing HEAD.
        await self._app({**scope, "method": "GET"}, receive, bodiless)


class PlainStartFailure:
    """Ends a start that fails with one of our errors in its one sentence, not in a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def plain(message: Message) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed":
                text = str(error) if isinstance(error, MmsError) else message["message"]
                message = {**message, "message": redacted(text)}
            await send(message)

        await self._app(scope, receive, plain)


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
