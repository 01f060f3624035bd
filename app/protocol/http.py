"""uvicorn's HTTP protocol, with limits, and with replies that leave in one piece.

What uvicorn leaves open is closed here: heads and bodies without end, clients that send or take
nothing, requests that another reader would understand differently. `heads` judges a request's
head, `connections` how many there may be and who has waited too long, `corks` sends.

A reply that lies in memory is sent as soon as the request's head has been read, without a task of
its own and without uvicorn's work on single headers (`Edge.answer_now`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api import errors
from app.api.streams import BEGINS
from app.core.logging import structlog
from app.protocol import heads
from app.protocol.connections import Connections
from app.protocol.corks import Corked, Corks
from app.protocol.heads import Refused
from app.protocol.limits import Limits

log = structlog.get_logger()

SLICE: Final = 4_096
"""The most bytes that are parsed at a time. Other connections have their turn before the next."""

LAST_REQUESTS: Final = 0.1
"""Seconds that an idle connection stays at a stop: a request may be on its way, or unread."""

LINGER: Final = 2.0
"""Seconds in which what a client still sends is discarded after the last reply. If the connection
were closed with data unread, the system would take the reply back."""


class _Nothing(Exception):
    """What follows the last request of a connection is no request."""


class Shared:
    """What all connections of one event loop share."""

    def __init__(
        self,
        connections: Connections,
        key_of: Callable[[str], str | None],
        draining: threading.Event,
    ) -> None:
        self.connections = connections
        self.key_of = key_of
        self.limits = connections.limits
        self.draining = draining.is_set
        self.corks = Corks()
        self.lines = _Lines()


def protocol(
    limits: Limits,
    key_of: Callable[[str], str | None],
    draining: threading.Event,
    clock: Callable[[], float] = time.monotonic,
) -> Any:
    """What makes a Protocol, for one event loop.

    `key_of` says which client an address is of; None: one that may have any number of connections.
    While `draining` is set, each reply is its connection's last. `clock` gives seconds.
    """
    return partial(Protocol, shared=Shared(Connections(limits, clock), key_of, draining))


class Protocol(HttpToolsProtocol):
    """One connection. Its application is an Edge.

    `_in_head` and `_in_body` say what is being parsed, `_deadline` when that has to be complete.
    A request is `_held` until its body is complete; `_running` is the one that began last.
    After the `_last` request what arrives is discarded. While `_lingering` nothing is sent either.
    """

    def __init__(self, *args: Any, shared: Shared, **named: Any) -> None:
        super().__init__(*args, **named)
        self._shared = shared
        self._connections = shared.connections
        self._limits = shared.limits
        self._leaving = False
        self._completing = False
        self._in_head = self._in_body = False
        self._upgrade = self._last = self._lingering = False
        self._head_bytes = self._body_bytes = self._slice = 0
        self._ended = False  # a message, in this slice
        self._parsing = False
        self._streams = False  # the reply that is being sent is a stream
        self._rest = memoryview(b"")
        self._refusal: Refused | None = None
        self._held: tuple[Any, Any] | None = None
        self._running: Any = None
        self._deadline = inf
        self._since = 0.0
        self._method = b""  # of a head that is complete
        self._unsent = 0
        self._moved = 0.0

    # What `Connections` asks.

    @property
    def silent_since(self) -> float | None:
        """Since when we have waited for the client; None while it waits for us."""
        if self._unsent:
            return self._moved
        return None if self._busy() else self._since

    def unsent(self) -> int:
        """How many bytes of replies are in memory because the client has not taken all of them."""
        transport: Any = self.transport
        last, queued = transport.last, transport.get_write_buffer_size()
        return int(max(last, queued))

    def cut(self) -> None:
        """Close at once, without a reply."""
        self.transport.abort()

    def look(self, now: float) -> None:
        """Act where the client has taken too long."""
        unsent = self.transport.get_write_buffer_size()
        if unsent:
            if unsent < self._unsent or not self._unsent:
                self._moved = now
            elif now - self._moved >= self._limits.send_seconds:
                self.cut()
        elif self._unsent and not (self._busy() or self._in_head or self._in_body or self._last):
            self._wait()  # from now on: the client has just taken the last of a reply
        self._unsent = unsent
        if unsent or now < self._deadline:
            return
        if self._lingering:
            self.transport.abort()
        elif self._busy():
            pass
        elif self._in_body:
            self._refuse(_late("body", self._limits.body_seconds))
        elif self._in_head:
            self._refuse(_late("head", self._limits.header_seconds))
        else:
            self.transport.close()

    # What the event loop calls.

    def connection_made(self, transport: Any) -> None:
        corked: Any = Corked(transport, self._shared.corks, self._linger)
        super().connection_made(corked)
        self.key = None if self.client is None else self._shared.key_of(self.client[0])
        connections = self._connections
        if not connections.opened(self):
            self.cut()
        self._since = connections.now
        self._deadline = connections.now + self._limits.header_seconds

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.closed(self)
        self.pipeline.clear()
        running = self._running
        if running is not None and not running.response_complete:
            # The base class tells the newest request only.
            running.disconnected = True
            running.message_event.set()
        super().connection_lost(exc)
        self._end()

    def eof_received(self) -> None:
        # The loop closes the transport after this, and nothing that is held would be sent.
        transport: Any = self.transport
        transport.flush()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._connections.stuck(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._connections.flows(self)

    def data_received(self, data: bytes) -> None:
        if self._last:
            return
        if self._rest:
            self._rest = memoryview(bytes(self._rest) + data)
            self.flow.pause_reading()
        elif len(data) <= SLICE:
            self._parse(data)
        else:
            self._rest = memoryview(data)
            self._parse_rest()

    def shutdown(self) -> None:
        self._leaving = True
        if self._busy():
            super().shutdown()
        elif self._lingering:
            self.cut()
        else:
            self.loop.call_later(LAST_REQUESTS, self._leave)

    def _leave(self) -> None:
        if self._busy():
            super().shutdown()
        else:
            self.transport.close()

    # What is read.

    def _parse_rest(self) -> None:
        """Parse what has arrived, as far as its requests have been answered."""
        while self._rest:
            part, self._rest = self._rest[:SLICE], self._rest[SLICE:]
            self._parse(part)
            if self._rest and self._ended:
                self.flow.pause_reading()
                if not self._busy():
                    self.loop.call_soon(self._parse_rest)
                return
        if not self.pipeline:
            self.flow.resume_reading()

    def _parse(self, part: bytes | memoryview) -> None:
        self._slice = len(part)
        self._ended = False
        self._parsing = True
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade:
            self._end()
        except httptools.HttpParserError as error:
            self._refuse_what(error)
        else:
            self._count()
        finally:
            self._parsing = False

    def _count(self) -> None:
        """Refuse a head or a body that is not complete and too long already."""
        if self._in_head:
            if not self._ended:
                self._head_bytes += self._slice
            if self._head_bytes > self._limits.header_bytes:
                self._refuse(self._long_head())
        elif self._in_body:
            if not self._ended:
                self._body_bytes += self._slice
            # Chunks have heads of their own, and trailers.
            if self._body_bytes > self._limits.body_bytes + self._limits.header_bytes:
                self._refuse(heads.body_too_large(self._limits))

    def _end(self) -> None:
        """Discard whatever still arrives."""
        self._last = True
        self._rest = memoryview(b"")

    # What the parser calls.

    def on_message_begin(self) -> None:
        cycle: Any = self.cycle
        if cycle is not None:  # for the first one, time runs since the connection was made
            if not cycle.keep_alive:
                raise _Nothing
            self._deadline = self._connections.now + self._limits.header_seconds
        self._in_head = True
        self._head_bytes = 0
        self._method = b""
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        parser = self.parser
        self._method = parser.get_method()
        headers = self.headers
        limits = self._limits
        # The slice in which it began is not counted, where it holds more than this head.
        may_be_long = self._head_bytes + self._slice + SLICE > limits.header_bytes
        if may_be_long and heads.size(self.url, headers) > limits.header_bytes:
            raise self._long_head()
        self.url, body = heads.judge(
            self._method, self.url, parser.get_http_version(), headers, limits
        )
        self._in_head = False
        self._upgrade = parser.should_upgrade()
        if body and not self._upgrade:
            self._in_body = True
            self._body_bytes = 0
        super().on_headers_complete()
        self.headers = []  # trailers are no headers (RFC 9110, 6.5.1)

    def on_body(self, body: bytes) -> None:
        # Not the base class's, which reads no more than the application takes. The application is
        # not called before the body is complete.
        received = self.cycle.body
        received += body
        if len(received) > self._limits.body_bytes:
            raise heads.body_too_large(self._limits)

    def on_message_complete(self) -> None:
        self._in_body = False
        self._ended = True
        super().on_message_complete()
        held, self._held = self._held, None
        if held is not None:
            self._start_asgi_task(*held)

    # What is answered.

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        asks, cycle.waiting_for_100_continue = cycle.waiting_for_100_continue, False
        if self._in_body and cycle is self.cycle:
            self._held = cycle, app
            self._deadline = self._connections.now + self._limits.body_seconds
            if asks and cycle.scope["http_version"] == "1.1":  # RFC 9110, 10.1.1
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        self._running = cycle
        if self._leaving or self._shared.draining() or (self._upgrade and cycle is self.cycle):
            cycle.keep_alive = False
        if not (self._completing or self.flow.write_paused):
            start = self._shared.lines.of(cycle.default_headers)
            send = partial(_send_whole, self.transport, cycle, start)
            if app.answer_now(cycle.scope, send):
                return
        cycle.scope["extensions"] = {BEGINS: self._stream}
        super()._start_asgi_task(cycle, app)

    def _stream(self) -> None:
        self._streams = True
        self._connections.streams(self)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self._streams:
            self._streams = False
            self._connections.rests(self)
        if self._lingering or self.transport.is_closing():
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            # Answered at once, the next of several requests that were sent together would be one
            # level deeper than this, and its line in the log would come first.
            self._completing = True
            try:
                self._start_asgi_task(cycle, app)
            finally:
                self._completing = False
            if self._held is not None:
                self._read_on()
        elif self._refusal is not None:
            self._send_refusal(self._refusal)
        else:
            self._read_on()
            if self._in_head:
                self._deadline = self._connections.now + self._limits.header_seconds
            elif not self._in_body:
                self._wait()

    def _read_on(self) -> None:
        """Read and parse what follows."""
        if not self._rest:
            self.flow.resume_reading()
        elif not self._parsing:
            self.loop.call_soon(self._parse_rest)

    def _busy(self) -> bool:
        """Whether the application has a request that it has not answered."""
        running = self._running
        return running is not None and not running.response_complete

    def _wait(self) -> None:
        """Wait for the next request."""
        self._since = now = self._connections.now
        self._deadline = now + self.timeout_keep_alive

    def _linger(self) -> bool:
        """Discard what the client may still send, for a while; returns whether it may."""
        if self._lingering:
            return True
        if self.transport.is_closing() or not (self._last or self._upgrade):
            return False
        self._end()
        self._lingering = True
        self._deadline = self._connections.now + LINGER
        self.flow.resume_reading()
        self.transport.write_eof()
        return True

    # What is refused.

    def _long_head(self) -> Refused:
        return heads.too_large(
            f"has a head of more than {self._limits.header_bytes:,} bytes; no more are read"
        )

    def _refuse_what(self, error: httptools.HttpParserError) -> None:
        """Answer what could not be parsed, or what a callback of ours has raised.

        Other exceptions there are faults of ours: the application answers for its own.
        """
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
        if isinstance(cause, _Nothing):
            self._end()
            return
        if isinstance(cause, Refused):
            refused = cause
        elif cause is not None:
            log.error("protocol_crashed", exc_info=cause)
            self.cut()
            return
        else:
            refused = heads.malformed(str(error))
        self._refuse(refused)

    def _refuse(self, refused: Refused) -> None:
        """Answer what is being read, after the requests before it, and nothing more."""
        if self._in_body and self._held is None:
            self.pipeline.popleft()  # it has not had its turn
        self._held = None
        self._in_head = self._in_body = False
        self._end()
        if self._busy():
            self._refusal = refused
        elif not self.transport.is_closing():
            self._send_refusal(refused)

    def _send_refusal(self, refused: Refused) -> None:
        app: Any = self.app
        status, head, body = app.refuse(
            self.app_state,
            self.client,
            refused.answer,
            refused.detail,
            headers=refused.headers,
            method=self._method,
            target=self.url if self._method else b"",
        )
        start = self._shared.lines.of(self.server_state.default_headers)
        if self._method == b"HEAD":
            body = b""
        self.transport.write(
            b"".join((STATUS_LINE[status], start, head, b"connection: close\r\n\r\n", body))
        )
        self._last = True
        self.transport.close()


def _late(part: str, seconds: float) -> Refused:
    return Refused(
        errors.REQUEST_TIMEOUT, f"The request's {part} was not complete after {seconds:g} s."
    )


class _Lines:
    """Headers as lines of a head. uvicorn replaces the list of its own, `date`, each second."""

    def __init__(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._lines = b""

    def of(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The lines of these headers."""
        if headers is not self._headers:
            self._headers = headers
            self._lines = b"".join([b"%b: %b\r\n" % header for header in headers])
        return self._lines


def _send_whole(
    transport: Any, cycle: Any, start: bytes, status: int, head: bytes, body: bytes
) -> None:
    """Send a whole reply as `cycle.send` would.

    `start` and `head` are the lines of the headers; `body` is empty where the request is a HEAD.
    """
    end = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
    cycle.response_started = cycle.response_complete = True
    transport.write(b"".join((STATUS_LINE[status], start, head, end)))
    if body:
        transport.write(body)
    if not cycle.keep_alive:
        transport.close()
    cycle.on_response()
