"""What a reply consists of goes out in one piece."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from app.protocol.corks import MOST, Corked, Corks
from app.protocol.http import protocol
from app.protocol.limits import Limits
from tests.support.api import settings
from tests.support.processes import DEADLINE


class RecordingTransport(asyncio.Transport):
    """Remembers what it was told, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.told.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.told.append([bytes(part) for part in list_of_data])

    def close(self) -> None:
        self.told.append("close")
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return None if name == "socket" else f"the {name}"


def test_what_is_written_in_one_turn_leaves_together_and_nothing_after_a_close() -> None:
    async def turns() -> RecordingTransport:
        transport = RecordingTransport()
        corked = Corked(transport, Corks())
        assert corked.get_extra_info("peername") == "the peername"  # as all else: the transport's
        for part in (b"head", b"body"):
            corked.write(part)
        assert transport.told == []
        await asyncio.sleep(0)
        corked.write(b"last")
        corked.close()
        corked.write(b"too late")
        await asyncio.sleep(0)
        return transport

    assert asyncio.run(turns()).told == [[b"head", b"body"], b"last", "close"]


def test_what_several_hold_is_sent_with_the_turn_in_every_turn() -> None:
    async def turns() -> list[RecordingTransport]:
        corks = Corks()
        transports = [RecordingTransport() for _ in range(3)]
        corked = [Corked(transport, corks) for transport in transports]
        for _ in range(2):
            for each in corked:
                each.write(b"head")
            await asyncio.sleep(0)
        return transports

    assert [each.told for each in asyncio.run(turns())] == [[b"head"] * 2] * 3


def test_no_more_is_held_than_a_reply_needs() -> None:
    async def turn() -> RecordingTransport:
        transport = RecordingTransport()
        corked = Corked(transport, Corks())
        corked.write(b"head")
        corked.write(bytes(MOST))
        assert transport.told == [[b"head", bytes(MOST)]]
        await asyncio.sleep(0)
        return transport

    assert len(asyncio.run(turn()).told) == 1


def served(app: Any, transport: RecordingTransport) -> Any:
    """A connection of `app` over this transport."""
    config = uvicorn.Config(app, log_config=None, proxy_headers=False)
    config.load()
    make = protocol(Limits.of(settings()), lambda address: address, threading.Event())
    connection = make(config=config, server_state=ServerState(), app_state={})
    connection.connection_made(transport)
    return connection


class AtOnce:
    """An application whose replies lie in memory."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("No request goes the ordinary way.")

    def answer_now(self, _scope: Any, send_whole: Any) -> bool:
        send_whole(200, b"content-length: 2\r\n", b"{}")
        return True


def test_a_request_that_arrives_as_the_server_stops_is_answered_and_the_last() -> None:
    async def stopped() -> tuple[RecordingTransport, RecordingTransport]:
        transports = (RecordingTransport(), RecordingTransport())
        asking, idle = (served(AtOnce(), transport) for transport in transports)
        for each in (asking, idle):
            each.shutdown()
        asking.data_received(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
        async with asyncio.timeout(DEADLINE):
            while not all(transport.closed for transport in transports):
                await asyncio.sleep(0.01)
        return transports

    asking, idle = asyncio.run(stopped())
    [reply, close] = asking.told[:2]
    assert b"connection: close" in b"".join(reply)
    assert close == "close"
    assert idle.told == ["close"]


class Unconnected(RecordingTransport):
    """A transport of which nothing else is known."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        """Nothing is read."""

    resume_reading = pause_reading


class Finishing:
    """An application that has a reply to /ready at hand, and remembers which requests it ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def answer_now(self, scope: Scope, send_whole: Any) -> bool:
        if scope["path"] != "/ready":
            return False
        send_whole(200, b"content-length: 0\r\n", b"")
        self.ended.append(scope["path"])
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        self.ended.append(scope["path"])


def test_of_requests_that_were_sent_at_once_none_ends_before_the_one_in_front_of_it() -> None:
    async def ends() -> list[str]:
        app = Finishing()
        connection = served(app, Unconnected())
        for path in (b"/ready", b"/made", b"/ready", b"/made"):
            connection.data_received(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path)
        for _ in range(100):
            await asyncio.sleep(0)
        connection.connection_lost(None)
        return app.ended

    assert asyncio.run(ends()) == ["/ready", "/made", "/ready", "/made"]


def test_a_client_that_ends_its_side_after_the_request_gets_its_reply() -> None:
    async def half_closed() -> RecordingTransport:
        transport = RecordingTransport()
        connection = served(AtOnce(), transport)
        connection.data_received(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
        connection.eof_received()
        transport.close()
        await asyncio.sleep(0)
        connection.connection_lost(None)
        return transport

    [reply, *_] = asyncio.run(half_closed()).told
    assert reply[-1] == b"{}"
