"""Event streams: what they send, when they end, and how many there are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.api.streams import BLIND_FOR, HEARTBEAT, StreamReply, Streams
from app.core.errors import Overloaded, StoreUnavailable
from app.services.changes import Position

AWAY = StoreUnavailable("the database does not answer")


class FakeChanges:
    """Tells what a test has put into `news`, or raises `error`; `missed` is what one missed."""

    def __init__(self) -> None:
        self.news: list[Any] = []
        self.error: Exception | None = None
        self.position = Position(7, 3)
        self.asked: list[Position | None] = []
        self.looks = 0

    def look(self) -> list[Any]:
        self.looks += 1
        if self.error is not None:
            raise self.error
        news, self.news = self.news, []
        return news

    def since(self, position: Position | None) -> list[Any]:
        self.asked.append(position)
        return ["missed"]


class Shop:
    """Streams over FakeChanges, by a clock that a test moves."""

    def __init__(self, most: int = 3) -> None:
        self.changes = FakeChanges()
        self.draining = threading.Event()
        self.now = 0.0
        self.watchers = 0
        self.streams = Streams(
            self._watch,
            lambda change: (change, b'{"of":"%s"}' % str(change).encode()),  # type: ignore[arg-type, return-value]
            most,
            self.draining,
            lambda: 1_000.0,
            lambda: self.now,
        )

    def _watch(self) -> Any:
        self.watchers += 1
        return self.changes

    async def looks(self) -> None:
        """Let the watcher look at the database once more."""
        seen, self.now = self.changes.looks, self.now + 1
        while self.changes.looks == seen:
            await asyncio.sleep(0.01)


Steps = Callable[[Shop], Awaitable[None]]


def run(steps: Steps, shop: Shop | None = None) -> Shop:
    """Run the steps with streams that look soon."""
    shop = shop or Shop()

    async def whole() -> None:
        try:
            await steps(shop)
        finally:
            shop.draining.set()
            shop.streams.close()
            while shop.streams._watch is not None:
                await asyncio.sleep(0.01)

    asyncio.run(whole())
    return shop


async def next_of(texts: AsyncIterator[bytes]) -> str:
    return (await anext(texts)).decode()


def event(name: str, position: str = "7-3") -> str:
    return f'event: {name}\ndata: {{"of":"{name}"}}\nid: {position}\n\n'


def test_a_stream_begins_with_an_id_and_tells_what_comes() -> None:
    async def steps(shop: Shop) -> None:
        texts = (await shop.streams.open(None)).texts()
        assert await next_of(texts) == "id: 7-3\nretry: 3000\n\n"
        shop.changes.news, shop.changes.position = ["averages", "gaps"], Position(8, 3)
        await shop.looks()
        assert await next_of(texts) == event("averages", "8-3") + event("gaps", "8-3")

    run(steps)


def test_one_watcher_tells_all_and_stops_once_nobody_listens() -> None:
    async def steps(shop: Shop) -> None:
        opened = [await shop.streams.open(None) for _ in range(3)]
        texts = [each.texts() for each in opened]
        shop.changes.news = ["price"]
        for each in texts:
            await anext(each)
        await shop.looks()
        assert [await next_of(each) for each in texts] == [event("price")] * 3
        assert shop.watchers == 1
        for stream in opened:
            stream.close()
        assert len(shop.streams) == 0
        while shop.streams._watch is not None:
            await asyncio.sleep(0.01)
        await shop.streams.open(None)
        assert shop.watchers == 2

    run(steps)


def test_who_connects_again_gets_what_was_missed_first() -> None:
    async def steps(shop: Shop) -> None:
        texts = (await shop.streams.open("6-2")).texts()
        assert await next_of(texts) == "id: 7-3\nretry: 3000\n\n" + event("missed")
        await shop.streams.open("nonsense")
        assert shop.changes.asked == [Position(6, 2), None]

    run(steps)


def test_a_listener_that_is_slow_or_cut_holds_up_nobody_and_loses_nothing() -> None:
    async def steps(shop: Shop) -> None:
        slow, cut, quick = [(await shop.streams.open(None)).texts() for _ in range(3)]
        for each in (slow, cut, quick):
            await anext(each)
        waiting = asyncio.create_task(next_of(cut))
        await asyncio.sleep(0)
        waiting.cancel()
        for name in ("one", "two"):
            shop.changes.news = [name]
            await shop.looks()
            assert await next_of(quick) == event(name)
        assert [await next_of(slow) for _ in range(2)] == [event("one"), event("two")]

    run(steps)


def test_a_quiet_stream_has_a_heartbeat() -> None:
    async def steps(shop: Shop) -> None:
        texts = (await shop.streams.open(None)).texts()
        await anext(texts)
        shop.now += HEARTBEAT
        expected = 'event: heartbeat\ndata: {"timestamp":1000}\nid: 7-3\n\n'
        assert await next_of(texts) == expected

    run(steps)


def test_when_the_process_drains_streams_end_and_new_ones_end_at_once() -> None:
    async def steps(shop: Shop) -> None:
        texts = (await shop.streams.open(None)).texts()
        await anext(texts)
        shop.draining.set()
        assert [text async for text in texts] == []
        # Without an id, which would take the place of the one that the client has.
        late = (await shop.streams.open("6-2")).texts()
        assert [text async for text in late] == [b"retry: 3000\n\n"]

    run(steps)


def test_a_database_that_is_away_for_a_moment_ends_no_stream_and_then_all() -> None:
    async def steps(shop: Shop) -> None:
        texts = (await shop.streams.open(None)).texts()
        await anext(texts)
        shop.changes.error = AWAY
        await shop.looks()
        await shop.looks()
        with pytest.raises(StoreUnavailable):
            await shop.streams.open(None)
        shop.changes.error, shop.changes.news = None, ["gaps"]
        await shop.looks()
        assert await next_of(texts) == event("gaps")
        shop.changes.error = AWAY
        shop.now += BLIND_FOR
        assert [text async for text in texts] == []
        with pytest.raises(StoreUnavailable):
            await shop.streams.open(None)
        assert len(shop.streams) == 1  # the first, which its reply closes

    with capture_logs() as logs:
        run(steps)
    assert [line["event"] for line in logs] == ["stream_blind"]


def test_a_fault_of_ours_ends_the_streams_and_is_logged() -> None:
    async def steps(shop: Shop) -> None:
        texts = (await shop.streams.open(None)).texts()
        await anext(texts)
        shop.changes.error = ZeroDivisionError("a fault")
        shop.now += 1
        assert [text async for text in texts] == []

    with capture_logs() as logs:
        run(steps)
    assert [line["event"] for line in logs] == ["stream_crashed"]


def test_beyond_the_limit_a_stream_is_refused_until_another_has_ended() -> None:
    async def steps(shop: Shop) -> None:
        first = await shop.streams.open(None)
        with pytest.raises(Overloaded, match="MAX_STREAMS"):
            await shop.streams.open(None)
        first.close()
        await shop.streams.open(None)

    run(steps, Shop(most=1))


def test_a_reply_that_is_cut_before_its_first_word_makes_room() -> None:
    async def steps(shop: Shop) -> None:
        stream = await shop.streams.open(None)

        async def gone() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def lost(_message: Any) -> None:
            await asyncio.Event().wait()

        await StreamReply(stream)({"type": "http"}, gone, lost)
        assert len(shop.streams) == 0

    run(steps)
