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


def test_what_is_written_in_one_turn_leaves_together_and_nothing_after_a_close() -> None:
    async def turns() -> RecordingTransport:
        transport = RecordingTransport()
        corked = Corked(transport, asyncio.get_running_loop())
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

    assert asyncio.run(turns()).told == [[b"head", b"body"], [b"last"], "close"]


def test_no_more_is_held_than_a_reply_needs() -> None:
    async def turn() -> RecordingTransport:
        transport = RecordingTransport()
        corked = Corked(transport, asyncio.get_running_loop())
        corked.write(b"head")
        corked.write(bytes(MOST))
        assert transport.told == [[b"head", bytes(MOST)]]
        await asyncio.sleep(0)
        return transport

    assert len(asyncio.run(turn()).told) == 1
