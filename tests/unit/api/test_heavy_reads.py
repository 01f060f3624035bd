"""Reads of many rows: a few at a time, while all others are answered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Final

import httpx
import pytest
from anyio.to_thread import current_default_thread_limiter
from asgi_lifespan import LifespanManager
from fastapi import Request, Response
from starlette.types import Message
from structlog.testing import capture_logs

from app.api.heavy_reads import CLIENT_GONE, read_in_turn
from app.api.turns import Turns
from app.core.errors import Overloaded
from app.core.market import AverageRow, Candle, SeriesState
from app.main import create_app
from app.testing.series import MemorySeriesStore
from tests.support.api import FakeRuntime, settings
from tests.support.processes import DEADLINE

HEAVY: Final = (
    "/BRLBTC/candles?interval=1m",
    "/BRLBTC/chart.svg?interval=1m&range=100h",
    "/BRLBTC/anomalies?interval=1m",
    "/BRLBTC/gaps?interval=1m",
    "/BRLBTC/mms?interval=1m&range=20",
    "/history/BTC?limit=1001",
)
LIGHT: Final = (
    "/BRLBTC/candles",
    "/BRLBTC/chart.svg",
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
        self, *args: Any, **options: Any
    ) -> tuple[SeriesState, list[tuple[Candle, AverageRow]]]:
        self.reads += 1
        if not self.reading.is_set():
            self.reading.set()
            self.end.wait()
        return super().rows(*args, **options)


class Client:
    """Who reads in turn: a client of its own name, who may go."""

    def __init__(self, turns: Turns, name: str) -> None:
        self._turns = turns
        self._name = name
        self.gone = asyncio.Event()
        self._body_read = False

    async def _receive(self) -> Message:
        if not self._body_read:
            self._body_read = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    def read(
        self, answer: Callable[[], Response], *, wait: float = DEADLINE
    ) -> asyncio.Task[Response]:
        """Begin a read in turn."""
        scope = {"type": "http", "state": {"client_key": self._name}}
        request = Request(scope, self._receive)
        return asyncio.create_task(read_in_turn(self._turns, request, answer, wait=wait))


class Work:
    """A heavy read that lasts until a test ends it."""

    def __init__(self) -> None:
        self._begun = threading.Event()
        self._end = threading.Event()

    def __call__(self) -> Response:
        self._begun.set()
        self._end.wait(DEADLINE)
        return Response(status_code=200)

    @property
    def has_begun(self) -> bool:
        """Whether a thread works on it."""
        return self._begun.is_set()

    async def begun(self) -> None:
        """Wait until a thread works on it."""
        assert await asyncio.to_thread(self._begun.wait, DEADLINE)

    def end(self) -> None:
        """Let it be done."""
        self._end.set()


async def idle() -> None:
    """Let every task go on until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_heavy_reads_without_a_turn_are_refused_while_light_ones_are_answered() -> None:
    store = HeldStore()
    app = create_app(settings(intervals="1m,1d", access_log="off"), FakeRuntime(store).build)

    async def ask() -> None:
        async with (
            LifespanManager(app, startup_timeout=60, shutdown_timeout=60) as manager,
            httpx.AsyncClient(
                transport=httpx.ASGITransport(manager.app), base_url="http://127.0.0.1"
            ) as client,
        ):
            running = asyncio.create_task(client.get(HEAVY[0]))
            await asyncio.to_thread(store.reading.wait, DEADLINE)
            try:
                waiting = [asyncio.create_task(client.get(target)) for target in HEAVY]
                for target in LIGHT:
                    assert (await client.get(target)).status_code == 200
                replies = await asyncio.gather(*waiting)
                assert current_default_thread_limiter().borrowed_tokens == 1
            finally:
                store.end.set()
            codes = [reply.json()["code"] for reply in replies]
            assert codes == ["overloaded"] * len(HEAVY)
            assert {reply.headers["retry-after"] for reply in replies} == {"1"}
            assert (await running).status_code == 200
            assert (await client.get(HEAVY[0])).status_code == 200

    with capture_logs() as lines:
        asyncio.run(ask())
    assert [(line["event"], line["log_level"]) for line in lines] == [("overloaded", "warning")]


def test_gaps_that_are_kept_do_not_wait_for_a_turn() -> None:
    store = HeldStore()
    app = create_app(settings(intervals="1m,1d"), FakeRuntime(store).build)

    async def ask() -> None:
        async with LifespanManager(app, startup_timeout=60, shutdown_timeout=60) as manager:
            transport = httpx.ASGITransport(manager.app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1"
            ) as client:
                gaps = "/BRLBTC/gaps?interval=1m"
                tag = (await client.get(gaps)).headers["etag"]
                running = asyncio.create_task(client.get(HEAVY[0]))
                await asyncio.to_thread(store.reading.wait, DEADLINE)
                try:
                    for headers, status in (({}, 200), ({"if-none-match": tag}, 304)):
                        assert (await client.get(gaps, headers=headers)).status_code == status
                    assert not running.done()
                finally:
                    store.end.set()
                await running

    asyncio.run(ask())


def test_many_reads_of_one_client_do_not_stand_before_the_first_of_another() -> None:
    order: list[str] = []

    def noted(name: str) -> Callable[[], Response]:
        def answer() -> Response:
            order.append(name)
            return Response(status_code=200)

        return answer

    async def ask() -> None:
        turns = Turns(1, 1)
        work = Work()
        running = Client(turns, "greedy").read(work)
        await work.begun()
        reads = [Client(turns, "greedy").read(noted("greedy")) for _ in range(43)]
        await idle()
        reads.append(Client(turns, "modest").read(noted("modest")))
        await idle()
        assert len(turns) == 2
        work.end()
        await asyncio.gather(running, *reads)
        await idle()
        assert len(turns) == 0

    asyncio.run(ask())
    assert order == ["modest", *["greedy"] * 43]


def test_a_client_that_goes_while_it_waits_frees_its_place_and_its_read_is_not_begun() -> None:
    async def ask() -> None:
        turns = Turns(1, 1)
        work, never = Work(), Work()
        running = Client(turns, "first").read(work)
        await work.begun()
        client = Client(turns, "second")
        waiting = client.read(never)
        await idle()
        assert len(turns) == 2
        client.gone.set()
        assert (await waiting).status_code == CLIENT_GONE
        await idle()
        assert len(turns) == 1
        work.end()
        assert (await running).status_code == 200
        # Also where a turn is free: the client has gone before.
        assert (await client.read(never)).status_code == CLIENT_GONE
        assert not never.has_begun

    asyncio.run(ask())


def test_a_read_that_has_begun_keeps_its_turn_until_its_thread_is_done() -> None:
    async def ask() -> None:
        turns = Turns(1, 1)
        work = Work()
        stopped = Client(turns, "first").read(work)
        await work.begun()
        stopped.cancel()
        await asyncio.wait({stopped})
        with pytest.raises(Overloaded):
            await Client(turns, "second").read(Work(), wait=0)
        work.end()
        following = Client(turns, "second").read(lambda: Response(status_code=200))
        assert (await following).status_code == 200

    asyncio.run(ask())
