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
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from app.api.compression import RawHeaders
from app.api.errors import INTERNAL, reply
from app.api.fast_path import NOSNIFF, Answer, FastPath, Uncompressed
from app.core.access_log import AccessLog, request_ids
from app.core.errors import MmsError
from app.core.logging import structlog
from app.core.redaction import redacted

log = structlog.get_logger()

_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_LONGEST_QUERY: Final = 200
_TRIED: Final = "fast_answer"

SendWhole = Callable[[int, bytes, bytes], None]
"""Sends a whole reply: its status, the lines of its head, its body."""


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

    def answer_now(self, scope: Scope, send_whole: SendWhole) -> bool:
        """Answer a request whose reply lies in memory, and return whether it was one.

        A server that offers to send a whole reply calls this first. It saves a task and the work
        on single headers. Where this returns False, the server calls the application as usual.
        """
        state = scope["state"]
        started = time.perf_counter()
        answer = self._tried(scope)
        if not isinstance(answer, Answer):
            state[_TRIED] = answer
            return False
        request_id = _client_id(scope["headers"]) or next(self._ids)
        body = b"" if scope["method"] == "HEAD" else answer.body
        head = answer.head + b"x-request-id: %b\r\n" % request_id.encode("ascii")
        send_whole(answer.status, head, body)
        if state["context"].access_log:
            self._log(scope, request_id, answer.status, started, len(body))
        return True

    def refuse(
        self,
        state: Any,
        client: tuple[str, int] | None,
        answer: Any,
        detail: str,
        *,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> tuple[int, bytes, bytes]:
        """INTERIM"""
        import json

        from app.api.errors import problem

        request_id = next(self._ids)
        body = json.dumps(problem(answer, detail, request_id)).encode()
        head = b"".join(
            b"%b: %b\r\n" % h
            for h in (
                *headers,
                (b"content-type", b"application/problem+json"),
                (b"content-length", b"%d" % len(body)),
                (b"x-request-id", request_id.encode()),
            )
        )
        self._lines.write(
            request_id, "-", "-", "", answer.status, 0.0, len(body), client[0] if client else None
        )
        return answer.status, head, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._start(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _client_id(scope["headers"]) or next(self._ids)
        answer = await self._from_memory(scope)
        if answer is None:
            await self._pass_on(scope, receive, send, started, request_id)
            return
        status, headers, _, body = answer
        body = b"" if scope["method"] == "HEAD" else body
        headers = _with_id(headers, request_id)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        if scope["state"]["context"].access_log:
            self._log(scope, request_id, status, started, len(body))

    async def _from_memory(self, scope: Scope) -> Answer | None:
        """The answer of the fast path, if it has one."""
        state = scope["state"]
        answer = state[_TRIED] if _TRIED in state else self._tried(scope)
        if isinstance(answer, Uncompressed):
            fast: FastPath = state["fast_path"]
            return await fast.compress(answer)
        return answer

    def _tried(self, scope: Scope) -> Answer | Uncompressed | None:
        """What the fast path makes of a request. An error of it is logged, as none may be lost."""
        fast: FastPath | None = scope["state"]["fast_path"]
        try:
            return None if fast is None else fast.answer(scope)
        except Exception:  # The ordinary route may still be right.
            log.exception("fast_path_crashed", method=scope["method"], path=_path(scope))
            return None

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
