"""What a reply consists of goes out in one piece."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from app.protocol import MOST, Corked, Corks, protocol


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


class AtOnce:
    """An application whose replies lie in memory."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("No request goes the ordinary way.")

    def answer_now(self, _scope: Any, send_whole: Any) -> bool:
        send_whole(200, b"content-length: 2\r\n", b"{}")
        return True


def test_a_request_that_arrives_as_the_server_stops_is_answered_and_the_last() -> None:
    async def stopped() -> tuple[RecordingTransport, RecordingTransport]:
        config = uvicorn.Config(AtOnce(), http=protocol(), proxy_headers=False, log_config=None)
        config.load()
        transports = (RecordingTransport(), RecordingTransport())
        make: Any = config.http_protocol_class
        asking, idle = (make(config, ServerState(), {}) for _ in transports)
        for each, transport in zip((asking, idle), transports, strict=True):
            each.connection_made(transport)
            each.shutdown()
        asking.data_received(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
        while not all(transport.closed for transport in transports):
            await asyncio.sleep(0.01)
        return transports

    asking, idle = asyncio.run(stopped())
    [reply, close] = asking.told[:2]
    assert b"connection: close" in b"".join(reply)
    assert close == "close"
    assert idle.told == ["close"]
