"""Event streams: in each process one watcher looks at the database and tells all who listen.

It sees what any process commits, because it reads what is stored. It runs while somebody listens.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, TypeVar

from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

from app.core import open_files
from app.core.errors import Overloaded, StoreError
from app.core.logging import structlog
from app.core.ports import Clock
from app.core.seldom import Seldom
from app.core.settings import Settings
from app.services.changes import Change, Changes, Position

log = structlog.get_logger()

LOOK_EVERY: Final = 0.5
"""Seconds between two looks at the database."""

HEARTBEAT: Final = 15.0
"""Seconds between two heartbeats. Load balancers cut a connection that is silent for a minute."""

BLIND_FOR: Final = 10.0
"""Seconds without a look at the database after which streams end: silence would look like peace."""

RECONNECT: Final = 3_000
"""Milliseconds after which a browser connects again."""

THREAD_NAME: Final = "stream"
"""What the name of the watcher's thread begins with."""

BEGINS: Final = "mms.stream"
"""The extension of ASGI by which a server learns that a reply is a stream: a function to call."""

_TICK: Final = 0.1
"""Seconds between two looks at whether the process stops."""

_RETRY_AFTER: Final = 30

_FULL: Final = (
    "As many event streams are open as this process may have (MAX_STREAMS): try again later. "
    "Conditional requests now and then tell the same."
)
_NONE: Final = (
    "This process opens no event streams: MAX_STREAMS is 0, or uvicorn alone serves, which could "
    "not end them (mms serve can). Conditional requests now and then tell the same."
)

Outcome = TypeVar("Outcome")
Event = tuple[str, bytes]
"""The name of an event, and its data."""


def most_streams(settings: Settings) -> int:
    """MAX_STREAMS, but no more than half of the connections that the process may have."""
    files = open_files.for_connections()
    return settings.max_streams if files is None else min(settings.max_streams, files // 2)


@dataclass(eq=False)
class _Batch:
    """Events that were sent at once, and what comes next; None: the stream ends."""

    text: bytes
    following: asyncio.Future[_Batch | None]


@dataclass(eq=False)
class _Watch:
    """One run of the watcher. `ready` is done after its first look; `following` comes next.

    `trouble` is why it cannot look at the database now.
    """

    changes: Changes
    ready: asyncio.Future[None]
    following: asyncio.Future[_Batch | None]
    trouble: StoreError | None = field(default=None)

    def tell(self, text: bytes) -> None:
        """Send this to all who listen."""
        following = asyncio.get_running_loop().create_future()
        self.following.set_result(_Batch(text, following))
        self.following = following


class Streams:
    """The streams of one process, `most` at a time. Use it in one event loop, and close it.

    `render` makes an event of a change. Once `draining` is set, all streams end.
    """

    def __init__(
        self,
        watch: Callable[[], Changes],
        render: Callable[[Change], Event],
        most: int,
        draining: threading.Event,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._new_changes = watch
        self._render = render
        self._most = most
        self._draining = draining
        self._clock = clock
        self._monotonic = monotonic
        self._open = 0
        self._watch: _Watch | None = None
        self._task: asyncio.Task[None] | None = None
        # One thread: looks, and what listeners missed, are read one after the other.
        self._thread = ThreadPoolExecutor(1, THREAD_NAME)
        self._told = Seldom()

    def __len__(self) -> int:
        """The number of open streams."""
        return self._open

    async def open(self, last_event_id: str | None) -> Stream:
        """Open a stream that goes on after the event of this id, if there is one.

        Close it. Raises Overloaded where there are `most`, and StoreError.
        """
        if self._open >= self._most:
            raise Overloaded(_FULL if self._most else _NONE, retry_after=_RETRY_AFTER)
        self._open += 1
        try:
            return await self._opened(last_event_id)
        except BaseException:
            self._open -= 1
            raise

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False)

    def closed(self) -> None:
        """Forget a stream."""
        self._open -= 1

    async def _opened(self, last_event_id: str | None) -> Stream:
        if self._draining.is_set():
            # No id: whoever connects again keeps its own.
            return Stream(self, format_sse_event(retry=RECONNECT), None)
        watch = self._watch or self._begin()
        await asyncio.shield(watch.ready)
        if watch.trouble is not None:
            raise watch.trouble
        following, changes = watch.following, watch.changes
        text = _opening(changes.position)
        if last_event_id is not None:
            told = Position.parse(last_event_id)
            missed = await self._on_thread(lambda: changes.since(told))
            text += self._events(missed, changes.position)
        return Stream(self, text, following)

    def _begin(self) -> _Watch:
        loop = asyncio.get_running_loop()
        self._watch = watch = _Watch(
            self._new_changes(), loop.create_future(), loop.create_future()
        )
        self._task = asyncio.create_task(self._run(watch))
        return watch

    async def _run(self, watch: _Watch) -> None:
        """Watch until nobody listens, the process stops, or the database is away for too long."""
        try:
            await self._tell(watch)
        except Exception as error:  # A fault of ours must not leave silent streams behind.
            if not isinstance(error, StoreError):
                log.exception("stream_crashed")
            if not watch.ready.done():
                watch.ready.set_exception(error)
                watch.ready.exception()  # whoever waited may have gone
        finally:
            self._watch = None
            watch.following.set_result(None)

    async def _tell(self, watch: _Watch) -> None:
        await self._on_thread(watch.changes.look)
        watch.ready.set_result(None)
        seen = beat = looked = self._monotonic()
        while self._open and not self._draining.is_set():
            await asyncio.sleep(_TICK)
            now = self._monotonic()
            if now - beat >= HEARTBEAT:
                beat = now
                watch.tell(self._heartbeat(watch.changes.position))
            if now - looked < LOOK_EVERY:
                continue
            looked = now
            try:
                changes = await self._on_thread(watch.changes.look)
            except StoreError as error:
                watch.trouble = error
                if times := self._told.due(None):
                    log.warning("stream_blind", problem=str(error), times=times)
                if self._monotonic() - seen >= BLIND_FOR:
                    raise
                continue
            watch.trouble, seen = None, self._monotonic()
            if changes:
                watch.tell(self._events(changes, watch.changes.position))

    async def _on_thread(self, work: Callable[[], Outcome]) -> Outcome:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _events(self, changes: Iterable[Change], position: Position) -> bytes:
        return b"".join(_event(*self._render(change), position) for change in changes)

    def _heartbeat(self, position: Position) -> bytes:
        return _event("heartbeat", b'{"timestamp":%d}' % int(self._clock()), position)


class Stream:
    """One open stream. `texts` is what it sends, until it ends."""

    def __init__(
        self, streams: Streams, text: bytes, following: asyncio.Future[_Batch | None] | None
    ) -> None:
        self._streams = streams
        self._text = text
        self._following = following

    async def texts(self) -> AsyncIterator[bytes]:
        """What this stream sends, as it comes."""
        yield self._text
        following = self._following
        while following is not None:
            # Shielded: a stream that is cut must not cancel what all others wait for.
            batch = await asyncio.shield(following)
            if batch is None:
                return
            yield batch.text
            following = batch.following

    def close(self) -> None:
        """Make room for another one."""
        self._streams.closed()


class StreamReply(EventSourceResponse):
    """The reply that sends a stream, and closes it at the end. A HEAD is answered at once."""

    def __init__(self, stream: Stream) -> None:
        # nginx hands on what it gets as it comes.
        super().__init__(stream.texts(), headers={"x-accel-buffering": "no"})
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope.get("is_head", False):
                await send(
                    {
                        "type": "http.response.start",
                        "status": self.status_code,
                        "headers": self.raw_headers,
                    }
                )
                await send({"type": "http.response.body"})
                return
            begins = scope.get("extensions", {}).get(BEGINS)
            if begins is not None:
                begins()
            await super().__call__(scope, receive, send)
        finally:
            self._stream.close()


def _opening(position: Position) -> bytes:
    """What a stream begins with: an id to go on from, and when to connect again."""
    return format_sse_event(id=str(position), retry=RECONNECT)


def _event(name: str, data: bytes, position: Position) -> bytes:
    return format_sse_event(event=name, data_str=data.decode(), id=str(position))
