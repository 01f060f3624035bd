"""The edge: what every request passes before FastAPI, as plain ASGI.

One module decides what passes, in this order, outermost first:
- the request's id, its line in the log, and a reply even where everything else fails;
- its Host, its client's address, the page that sends it, its key, and how many requests its client
  has sent (`app.api.admission`);
- the fast path, which answers plain reads of averages from memory (`app.api.fast_path`);
- FastAPI, with the layers of `app.main` around its routes.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from app.api import errors
from app.api.admission import Admission, Verdict
from app.api.clients import Client, peer_of
from app.api.compression import RawHeaders
from app.api.context import Context
from app.api.fast_path import Answer, FastPath, Uncompressed, answer_of
from app.api.refusals import Refusal
from app.core.access_log import AccessLog, request_ids
from app.core.errors import MmsError, Overloaded
from app.core.logging import structlog
from app.core.redaction import redacted

log = structlog.get_logger()

_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_LONGEST: Final = 200
"""Characters of a path or a query in the log."""

_CUT_OFF: Final = "The service stops, and this request took too long: try again."

_VISIT: Final = "visit"
_UNKNOWN: Final = Client("-", "-")
_UNREAD: Final = {"method": "-", "path": "-", "raw_path": b"-"}

SendWhole = Callable[[int, bytes, bytes], None]
"""Sends a whole reply: its status, the lines of its head, its body."""


Visit = tuple[str, Verdict, Answer | Uncompressed | None]
"""The request's id, the verdict on it, and the answer; None: let FastAPI answer."""


class Edge:
    """The application as a server calls it; `api` is FastAPI behind the edge.

    The id of a request is the client's X-Request-ID where that has 1 to 64 letters, digits, dots,
    underscores or hyphens; else a new one. It is in the reply, in each log line of the request and
    in each error.
    """

    def __init__(self, api: FastAPI, *, plain: bool = False) -> None:
        """`plain` says that uvicorn itself calls, which may have changed the peer's address."""
        self.api = api
        self._plain = plain
        self._lines = AccessLog()
        self._ids = request_ids()

    def answer_now(self, scope: Scope, send_whole: SendWhole) -> bool:
        """Answer a request whose reply lies in memory, and return whether it was one.

        So is every refusal. A server that offers to send a whole reply calls this first. It saves a
        task and the work on single headers. Where this returns False, the server calls the
        application as usual.
        """
        state = scope["state"]
        started = time.perf_counter()
        visit = self._visit(scope, scope.get("client"))
        request_id, (_, lines, _, _), answer = visit
        if not isinstance(answer, Answer):
            state[_VISIT] = visit
            return False
        body = b"" if scope["method"] == "HEAD" else answer.body
        head = b"".join((answer.head, b"x-request-id: ", request_id.encode(), b"\r\n", lines))
        send_whole(answer.status, head, body)
        if state["context"].access_log:
            self._log(scope, visit, answer.status, started, len(body))
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._start(scope, receive, send)
            return
        started = time.perf_counter()
        state = scope["state"]
        visit: Visit | None = state.get(_VISIT)
        if visit is None:
            peer = peer_of(scope, send) if self._plain else scope.get("client")
            visit = self._visit(scope, peer)
        answer = visit[-1]
        if isinstance(answer, Uncompressed):
            fast: FastPath = state["fast_path"]
            answer = await fast.compress(answer)
        if answer is None:
            await self._pass_on(scope, receive, send, started, visit)
            return
        status, headers, _, body = answer
        body = b"" if scope["method"] == "HEAD" else body
        headers = [*headers, *_own(visit)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        if state["context"].access_log:
            self._log(scope, visit, status, started, len(body))

    def refuse(
        self,
        state: Mapping[str, Any],
        peer: tuple[str, int] | None,
        problem: errors.Answer,
        detail: str,
        *,
        headers: Iterable[tuple[bytes, bytes]] = (),
        method: bytes = b"",
        target: bytes = b"",
    ) -> tuple[int, bytes, bytes]:
        """Refuse what is no request to the application, on behalf of a server.

        `state` is the application's; `method` and `target` are empty where the head could not be
        read. Returns the status, the lines of the head and the body, and writes the line of the
        log, in which `-` stands for what could not be read.
        """
        started = time.perf_counter()
        admission: Admission = state["admission"]
        request_id = next(self._ids)
        answer = _refused(state, Refusal(problem, detail, list(headers)), request_id)
        visit = request_id, (admission.client(peer), b"", "", None), answer
        if state["context"].access_log:
            read = _read(method, target) if method else _UNREAD
            self._log(read, visit, answer.status, started, len(answer.body))
        head = b"%bx-request-id: %b\r\n" % (answer.head, request_id.encode("ascii"))
        return answer.status, head, answer.body

    def _visit(self, scope: Scope, peer: Any) -> Visit:
        """Decide about a request of this peer, a (host, port) or None."""
        state = scope["state"]
        request_id = _client_id(scope["headers"]) or next(self._ids)
        admission: Admission = state["admission"]
        try:
            verdict = admission.admit(scope, peer)
        except Exception:  # Nothing may pass unjudged.
            log.exception("admission_crashed", method=scope["method"], path=_path(scope))
            verdict = _UNKNOWN, b"", "", Refusal(errors.INTERNAL, "", [])
        answer = verdict[-1]
        if answer is None:
            return request_id, verdict, self._tried(scope)
        if isinstance(answer, Refusal):
            answer = _refused(state, answer, request_id)
        return request_id, verdict, answer

    def _tried(self, scope: Scope) -> Answer | Uncompressed | None:
        """What the fast path makes of a request. An error of it is logged, as none may be lost."""
        fast: FastPath | None = scope["state"]["fast_path"]
        try:
            return None if fast is None else fast.answer(scope)
        except Exception:  # The ordinary route may still be right.
            log.exception("fast_path_crashed", method=scope["method"], path=_path(scope))
            return None

    async def _pass_on(
        self, scope: Scope, receive: Receive, send: Send, started: float, visit: Visit
    ) -> None:
        """Let FastAPI answer. Its routes have the client's key as `client_key`."""
        state = scope["state"]
        request_id, (client, _, _, _), _ = visit
        state["request_id"] = request_id
        state["client_key"] = client.key
        context: Context = state["context"]
        status = 0
        size = 0

        async def counted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = context.headers.completed(list(message.get("headers", ())))
                message["headers"] = [*headers, *_own(visit)]
            else:
                size += len(message.get("body", b""))
            await send(message)

        tokens = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self.api(scope, receive, counted)
        except asyncio.CancelledError:
            # The server has stopped waiting, and says so in the log.
            if not status:
                answer = errors.ANSWERS[Overloaded]
                reply = errors.reply(scope, answer, _CUT_OFF, {"retry-after": "1"})
                await reply(scope, receive, counted)
        except Exception:  # The last resort: an unexpected error is logged and answered.
            log.exception("request_crashed", method=scope["method"], path=_path(scope))
            # A reply that has begun cannot be taken back; the server then cuts the connection.
            if not status:
                await errors.reply(scope, errors.INTERNAL)(scope, receive, counted)
        finally:
            structlog.contextvars.reset_contextvars(**tokens)
            if context.access_log:
                self._log(scope, visit, status, started, size)

    def _log(self, scope: Scope, visit: Visit, status: int, started: float, size: int) -> None:
        request_id, (client, _, key, _), _ = visit
        self._lines.write(
            request_id,
            scope["method"],
            _path(scope),
            _beginning(scope.get("query_string", b"")),
            status,
            round((time.perf_counter() - started) * 1000, 3),
            size,
            client.address,
            key,
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


def _refused(state: Mapping[str, Any], refusal: Refusal, request_id: str) -> Answer:
    """The reply to a request that is refused."""
    answer, detail, more = refusal
    body = errors.problem_body(answer, detail, request_id)
    length = str(len(body)).encode("ascii")
    headers = [
        *more,
        (b"content-length", length),
        (b"content-type", errors.PROBLEM_JSON.encode("ascii")),
    ]
    context: Context = state["context"]
    return answer_of(answer.status, context.headers.completed(headers), body)


def _read(method: bytes, target: bytes) -> Scope:
    """What the log says of a request that never reached the application."""
    path, _, query = target.partition(b"?")
    return {"method": method.decode("latin-1"), "raw_path": path, "query_string": query}


def _own(visit: Visit) -> RawHeaders:
    """The headers of this request's reply alone: its id, its rates, what its page may read."""
    request_id, (_, lines, _, _), _ = visit
    parts = [line.partition(b": ") for line in lines.splitlines()]
    own = [(name, value) for name, _, value in parts]
    return [(b"x-request-id", request_id.encode("ascii")), *own]


def _client_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The client's X-Request-ID, if it is usable."""
    for name, value in headers:
        if name == b"x-request-id":
            return value.decode("ascii") if _ID.fullmatch(value) else None
    return None


def _path(scope: Scope) -> str:
    """The path as it came, percent-encoded: it can neither forge a line nor control a terminal."""
    raw: bytes | None = scope.get("raw_path")
    return _beginning(raw or quote(scope["path"], errors="replace").encode("ascii"))


def _beginning(raw: bytes) -> str:
    """A path or a query as it came; only its beginning where it is long."""
    shown = raw[:_LONGEST].decode("ascii", "replace")
    return shown if len(raw) <= _LONGEST else f"{shown}…"
