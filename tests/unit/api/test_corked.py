"""What is written in one turn of the loop goes out in one piece."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from app.api.corked import MOST, Corked


class RecordingTransport(asyncio.Transport):
    """Remembers what it was told, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []
        self.closed = False

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.told.append([bytes(part) for part in list_of_data])

    def close(self) -> None:
        self.told.append("close")
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return f"the {name}"


async def _corked() -> tuple[RecordingTransport, Corked]:
    transport = RecordingTransport()
    return transport, Corked(transport, asyncio.get_running_loop())


def test_head_and_body_leave_together_at_the_end_of_the_turn() -> None:
    async def turn() -> RecordingTransport:
        transport, corked = await _corked()
        corked.write(b"head")
        corked.write(b"body")
        assert transport.told == []
        await asyncio.sleep(0)
        corked.write(b"next")
        await asyncio.sleep(0)
        return transport

    assert asyncio.run(turn()).told == [[b"head", b"body"], [b"next"]]


def test_what_is_held_leaves_before_the_connection_is_closed_and_nothing_after() -> None:
    async def turn() -> RecordingTransport:
        transport, corked = await _corked()
        corked.write(b"last")
        corked.close()
        corked.write(b"too late")
        await asyncio.sleep(0)
        return transport

    assert asyncio.run(turn()).told == [[b"last"], "close"]


def test_no_more_is_held_than_a_reply_needs() -> None:
    async def turn() -> RecordingTransport:
        transport, corked = await _corked()
        corked.write(b"head")
        corked.write(bytes(MOST))
        assert transport.told == [[b"head", bytes(MOST)]]
        await asyncio.sleep(0)
        return transport

    assert len(asyncio.run(turn()).told) == 1


def test_everything_else_is_the_transports_own() -> None:
    async def turn() -> str:
        _, corked = await _corked()
        assert not corked.is_closing()
        return str(corked.get_extra_info("peername"))

    assert asyncio.run(turn()) == "the peername"
