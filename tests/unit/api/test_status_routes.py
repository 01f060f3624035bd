"""GET /pairs, /health, /healthz, /readyz and the addresses around them."""

from __future__ import annotations

import asyncio
from threading import Event

import httpx
from anyio.to_thread import current_default_thread_limiter
from asgi_lifespan import LifespanManager
from structlog.testing import capture_logs

from app.api.checks import Checks
from app.core.errors import StoreError, StoreUnavailable, StoreUnusable
from app.core.market import DAY, Series, SeriesState
from app.main import create_app
from app.testing.series import MemorySeriesStore
from tests.support.api import LAST, FakeRuntime, load, serving, settings, started
from tests.support.processes import DEADLINE


def test_pairs_says_what_is_served_and_how_complete_it_is() -> None:
    runtime = FakeRuntime()
    load(runtime.store, without=[LAST - 3 * DAY])
    with serving(runtime) as api:
        btc, eth = api.get("/pairs").json()["pairs"]
    assert btc == {
        "pair": "BRLBTC",
        "symbol": "BTC-BRL",
        "interval": "1d",
        "windows": [20, 50, 200],
        "first": "2023-03-31T00:00:00Z",
        "last": "2024-03-29T00:00:00Z",
        "expected": 365,
        "stored": 364,
        "missing": 1,
        "warm_up_missing": 0,
        "as_of": "2024-03-29T00:00:00Z",
        "checked_at": "2024-03-30T00:05:00Z",
        "stale": False,
    }
    assert eth["pair"] == "BRLETH"
    assert (eth["first"], eth["last"], eth["as_of"], eth["checked_at"]) == (None,) * 4
    assert (eth["stored"], eth["missing"], eth["stale"]) == (0, 365, True)
    assert eth["warm_up_missing"] == 199
    assert "no load of it has begun" in eth["message"]


class TroubledStore(MemorySeriesStore):
    """A store that raises `trouble` while a test sets it, and counts how often it was read."""

    trouble: StoreError | None = None
    reads = 0

    def state(self, series: Series) -> SeriesState:
        self.reads += 1
        if self.trouble is not None:
            raise self.trouble
        return super().state(series)


def test_health_and_readiness_are_the_databases_and_being_alive_is_nobodys() -> None:
    store = TroubledStore()
    with serving(FakeRuntime(store)) as api:
        for trouble in (None, StoreUnavailable("10.1.2.3 refused"), StoreUnusable("not migrated")):
            store.trouble = trouble
            health, ready = api.get("/health"), api.get("/readyz")
            assert health.status == ready.status == (503 if trouble else 200)
            said = "unavailable" if trouble else "ok"
            assert health.json() == {"status": said, "database": said, "cache": "ok"}
            assert ready.json()["status"] == ("unavailable" if trouble else "ready")
            assert b"10.1.2.3" not in ready.body
            alive = api.get("/healthz")
            assert (alive.status, alive.json()) == (200, {"status": "alive"})


def test_readiness_reads_the_database_once_and_the_log_says_why_that_fails() -> None:
    store = TroubledStore()
    load(store)
    with serving(FakeRuntime(store), access_log="off") as api, capture_logs() as lines:
        assert (api.get("/readyz").status, store.reads) == (200, 1)
        store.trouble = StoreUnusable("not migrated")
        assert (api.get("/readyz").status, store.reads) == (503, 2)
        assert (api.get("/readyz").status, store.reads) == (503, 3)
    why = {"event": "database_unusable", "problem": "not migrated", "times": 1}
    assert lines == [why | {"log_level": "warning"}]


def test_health_is_answered_while_every_thread_for_requests_is_taken() -> None:
    app = create_app(settings(), FakeRuntime().build)

    async def ask() -> None:
        async with (
            LifespanManager(app, startup_timeout=60, shutdown_timeout=60) as manager,
            httpx.AsyncClient(
                transport=httpx.ASGITransport(manager.app), base_url="http://test"
            ) as client,
        ):
            threads = current_default_thread_limiter()
            for _ in range(int(threads.total_tokens)):
                threads.acquire_on_behalf_of_nowait(object())
            for path in ("/healthz", "/readyz", "/health"):
                assert (await client.get(path)).status_code == 200

    asyncio.run(ask())


def test_checks_share_the_one_that_runs_and_do_not_wait_for_ever() -> None:
    end = Event()
    runs: list[int] = []

    def check() -> bool:
        runs.append(len(runs))
        return end.wait(DEADLINE)

    async def ask() -> None:
        hasty = Checks(longest_wait=0)
        assert [await hasty.outcome("disk", check) for _ in range(3)] == [None] * 3
        patient = Checks(longest_wait=DEADLINE)
        probes = [asyncio.create_task(patient.outcome("disk", check)) for _ in range(50)]
        await asyncio.sleep(0)
        end.set()
        assert await asyncio.gather(*probes) == [True] * 50
        assert len(runs) == 2
        # The next one is a new one.
        assert await patient.outcome("disk", check) is True
        assert len(runs) == 3

    with capture_logs() as lines:
        asyncio.run(ask())
    problem = "The check of disk has had no answer for 0 s."
    assert [(line["event"], line["problem"]) for line in lines] == [("database_unusable", problem)]


def test_a_dead_cache_only_degrades() -> None:
    with serving(FakeRuntime(cache_works=False)) as api:
        said = {"status": "degraded", "database": "ok", "cache": "degraded"}
        assert (api.get("/health").status, api.get("/health").json()) == (200, said)
        assert (api.get("/readyz").status, api.get("/readyz").json()["cache"]) == (200, "degraded")


def test_an_empty_database_is_ready_and_says_what_to_run() -> None:
    runtime = FakeRuntime()
    with serving(runtime) as api:
        got = api.get("/readyz")
        assert (got.status, got.json()["data"]) == (200, "empty")
        assert "python -m app load" in got.json()["message"]
        load(runtime.store)
        assert api.get("/readyz").json() == {"status": "ready", "data": "present", "cache": "ok"}


def test_a_process_that_shuts_down_is_alive_and_healthy_but_not_ready() -> None:
    draining = Event()
    runtime = FakeRuntime()
    with started(create_app(settings(), runtime.build, draining=draining)) as api:
        assert api.get("/readyz").status == 200
        draining.set()
        got = api.get("/readyz")
        assert got.status == 503
        assert "shutting down" in got.json()["message"]
        assert api.get("/healthz").status == api.get("/health").status == 200


def test_a_probe_may_carry_any_query() -> None:
    with serving(FakeRuntime()) as api:
        for path in ("/health", "/healthz", "/readyz"):
            assert api.get(f"{path}?t=1711670400&t=2").status == 200
