"""Reads of many rows: one at a time, while all others are answered."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Final

import httpx
from anyio.to_thread import current_default_thread_limiter
from asgi_lifespan import LifespanManager

from app.core.market import AverageRow, Candle, Series, SeriesState
from app.main import create_app
from app.testing.series import MemorySeriesStore
from tests.support.api import FakeRuntime, settings

HEAVY: Final = (
    "/BRLBTC/candles?interval=1m",
    "/BRLBTC/anomalies?interval=1m",
    "/BRLBTC/gaps?interval=1m",
    "/BRLBTC/mms?interval=1m&range=20",
    "/history/BTC?limit=1001",
)
LIGHT: Final = (
    "/BRLBTC/candles",
    "/BRLBTC/anomalies",
    "/BRLBTC/gaps",
    "/BRLBTC/mms?range=20",
    "/history/BTC?limit=1000",
    "/pairs",
)


class HeldStore(MemorySeriesStore):
    """A store whose first read of rows lasts until a test ends it."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = threading.Event()
        self.end = threading.Event()
        self.reads = 0

    def rows(
        self, series: Series, first: int, last: int
    ) -> tuple[SeriesState, list[tuple[Candle, AverageRow]]]:
        self.reads += 1
        if not self.reading.is_set():
            self.reading.set()
            self.end.wait()
        return super().rows(series, first, last)


def test_heavy_reads_run_one_at_a_time_and_those_that_wait_take_no_thread() -> None:
    store = HeldStore()
    app = create_app(settings(intervals="1m,1d"), FakeRuntime(store).build)

    async def ask() -> None:
        async with (
            LifespanManager(app, startup_timeout=60, shutdown_timeout=60) as manager,
            httpx.AsyncClient(
                transport=httpx.ASGITransport(manager.app), base_url="http://127.0.0.1"
            ) as client,
        ):
            running = asyncio.create_task(client.get(HEAVY[0]))
            await asyncio.to_thread(store.reading.wait)
            waiting = [asyncio.create_task(client.get(target)) for target in HEAVY]
            try:
                for target in LIGHT:
                    assert (await client.get(target)).status_code == 200
                assert not any(task.done() for task in (running, *waiting))
                assert current_default_thread_limiter().borrowed_tokens == 1
            finally:
                store.end.set()
            replies = await asyncio.gather(running, *waiting)
            assert [reply.status_code for reply in replies] == [200] * len(replies)

    asyncio.run(ask())


def test_a_heavy_read_whose_client_has_gone_is_not_begun() -> None:
    store = HeldStore()
    app = create_app(settings(intervals="1m,1d"), FakeRuntime(store).build)

    async def ask() -> None:
        async with LifespanManager(app, startup_timeout=60, shutdown_timeout=60) as manager:
            transport = httpx.ASGITransport(manager.app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1"
            ) as client:
                running = asyncio.create_task(client.get(HEAVY[0]))
                await asyncio.to_thread(store.reading.wait)
                gone = asyncio.create_task(_ask_and_go(manager.app))
                await asyncio.sleep(0)
                store.end.set()
                assert (await running).status_code == 200
                await gone

    asyncio.run(ask())
    assert store.reads == 1


async def _ask_and_go(app: Any) -> None:
    """Send a heavy read over a connection that is closed while it waits."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": "/BRLBTC/candles",
        "raw_path": b"/BRLBTC/candles",
        "query_string": b"interval=1m",
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        """Lead nowhere."""

    await app(scope, receive, send)
