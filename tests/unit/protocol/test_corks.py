"""What a reply consists of goes out in one piece."""

from __future__ import annotations

import asyncio

from app.protocol.corks import MOST, Corked, Corks
from tests.support.protocol import RecordingTransport


def test_what_is_written_in_one_turn_leaves_together_and_nothing_after_a_close() -> None:
    async def turns() -> RecordingTransport:
        transport = RecordingTransport("127.0.0.9")
        corked = Corked(transport, Corks())
        assert corked.get_extra_info("peername") == (
            "127.0.0.9",
            50_000,
        )  # as all else: the transport's
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
